"""The comparison of the paper as stages: arms x label budgets."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

from deeplab_contrast.studies import arms as arms_lib
from deeplab_contrast.studies import schedule as schedule_lib
from deeplab_contrast.studies import stages
from deeplab_contrast.utils import errors

# {name: {role: bindings}}.
_Variants: TypeAlias = Mapping[str, Mapping[str, Sequence[str]]]
_ONE: _Variants = {'': {}}


@dataclasses.dataclass(frozen=True)
class _Study:
  """The arguments of `expand`."""

  labels: Sequence[int]
  # {role, such as 'scratch' or 'finetune_of_many': gin files}.
  files: dict[str, Sequence[str]]
  arms: Sequence[str]
  bindings: Sequence[str]
  rounds: int
  # None keeps the schedules of the files.
  schedule: schedule_lib.Schedule | None
  many_labels: int | None
  variants: _Variants

  def has(self, name: str) -> bool:
    """Whether an arm trains as 'softmax' or 'contrastive' does."""
    bases = {arms_lib.OVERLAID.get(arm, arm.split('_'))[0] for arm in self.arms}
    return name in bases


def expand(
  labels: Sequence[int],
  scratch: Sequence[str],
  pretrain: Sequence[str] = (),
  finetune: Sequence[str] = (),
  pseudo_label: Sequence[str] = ('gin_configs/tasks/pseudo_label.gin',),
  second_round: Sequence[str] = ('gin_configs/sources/pseudo_labelled.gin',),
  joint: Sequence[str] = ('gin_configs/tasks/joint.gin',),
  consistency: Sequence[str] = ('gin_configs/tasks/consistency.gin',),
  arms: Sequence[str] = arms_lib.PAPER,
  bindings: Sequence[str] = (),
  rounds: int = 1,
  schedule: schedule_lib.Schedule | None = None,
  variants: _Variants = _ONE,
  many_labels: int | None = None,
  scratch_of_many: Sequence[str] = (),
  finetune_of_many: Sequence[str] = (),
) -> tuple[stages.Stage, ...]:
  """The stages of a study; those that several arms need occur once.

  'softmax' trains from scratch, 'contrastive' pretrains and fine-tunes. With
  '_pseudo', that network labels the remaining images, and the same is repeated
  with both kinds of labels (the paper's semi-supervised protocol). 'joint',
  'consistency' and 'contrastive_consistency' have overlays: see arms.OVERLAID.

  Args:
    labels: numbers of labelled images.
    scratch: gin files of softmax training from scratch.
    pretrain: gin files of contrastive pretraining.
    finetune: gin files of softmax fine-tuning.
    pseudo_label: gin files of pseudo-labelling.
    second_round: gin files that add the pseudo-labelled images to a training.
    joint: gin files that add the contrastive loss to `scratch`.
    consistency: gin files that add the teacher to `scratch` and `finetune`.
    arms: which of arms.ARMS.
    bindings: applied to all trainings, after the files.
    rounds: how often the '_pseudo' arms label and train again.
    schedule: the steps of each training; None keeps those of the files.
    variants: {name: {'scratch', 'pretrain', 'finetune' or an overlay:
      bindings}}; for searches: each arm is trained with each, as 'arm name'.
    many_labels: above this number of images, labelled or pseudo-labelled,
      trainings use the files `..._of_many`; None for no such limit.
    scratch_of_many: gin files, like `scratch`.
    finetune_of_many: gin files, like `finetune`.

  Returns:
    The stages, in the order of `labels`.

  Raises:
    ConfigError: an arm is unknown or lacks its gin files, or a number is wrong.
  """
  files = {'scratch': scratch, 'pretrain': pretrain, 'finetune': finetune}
  files |= {'pseudo_label': pseudo_label, 'second_round': second_round}
  files |= {'joint': joint, 'consistency': consistency}
  files['scratch_of_many'] = scratch_of_many
  files['finetune_of_many'] = finetune_of_many
  study = _Study(
    labels, files, arms, bindings, rounds, schedule, many_labels, variants
  )
  return _expand(study)


def search(split: str = 'train', percent: int = 20) -> tuple[str, ...]:
  """Bindings for `expand`: a study that chooses settings, without val.

  Every arm is evaluated on the last part of the training images, which no
  training sees: budgets are drawn from the rest.

  Args:
    split: of the training images.
    percent: of them that are held out.

  Raises:
    ConfigError: `percent` leaves nothing to one of the two.
  """
  if not 0 < percent < 100:
    raise errors.ConfigError(
      f'search.percent is {percent}; give a number from 1 to 99.'
    )
  return (
    f"train/sources.TfdsSplit.split = '{split}[:{100 - percent}%]'",
    f"val/sources.TfdsSplit.split = '{split}[{100 - percent}%:]'",
  )


def _expand(study: _Study) -> tuple[stages.Stage, ...]:
  _check(study)
  return tuple(
    stage
    for count in study.labels
    for variant in study.variants
    for stage in _Budget(count, study, variant).make()
  )


class _Budget:
  """The stages of one number of labelled images, in one variant."""

  def __init__(self, count: int, study: _Study, variant: str):
    self._count = count
    self._study = study
    self._variant = variant
    self._suffix = f'_{count}_{variant}' if variant else f'_{count}'
    self._stages: dict[str, stages.Stage] = {}

  def make(self) -> list[stages.Stage]:
    """All of them, in an order in which they can run."""
    arms, rounds = self._study.arms, self._study.rounds
    for name in ('softmax', 'contrastive'):
      if not {name, f'{name}_pseudo'} & set(arms):
        continue
      last = self._train(name, 1, None, name if name in arms else None)
      if f'{name}_pseudo' not in arms:
        continue
      for number in range(2, rounds + 2):
        arm = f'{name}_pseudo' if number == rounds + 1 else None
        last = self._train(name, number, self._label(name, number, last), arm)
    for arm in arms:
      if arm in arms_lib.OVERLAID:
        base, overlay = arms_lib.OVERLAID[arm]
        self._train(base, 1, None, arm, overlay)
    return list(self._stages.values())

  def _train(
    self,
    name: str,
    number: int,
    labels: str | None,
    arm: str | None,
    overlay: str | None = None,
  ) -> str:
    """Adds the trainings of one pass; returns the name of the last."""
    if name == 'softmax':
      return self._add('scratch', number, labels, None, arm, overlay)
    start = self._add('pretrain', number, labels)
    return self._add('finetune', number, labels, start, arm, overlay)

  def _label(self, name: str, number: int, run: str) -> str:
    """Adds the pseudo-labelling with a run; returns its name."""
    title = f'label_{name}{number if number > 2 else ""}{self._suffix}'
    self._stages[title] = stages.Stage(
      title,
      tuple(self._study.files['pseudo_label']),
      starts_from=run,
      command='pseudo_label',
      labels=self._count,
    )
    return title

  def _add(
    self,
    role: str,
    number: int,
    labels: str | None,
    start: str | None = None,
    arm: str | None = None,
    overlay: str | None = None,
  ) -> str:
    title = f'{role}{number if number > 1 else ""}{self._suffix}'
    extra = self._study.files['second_round'] if labels else ()
    if overlay:
      title, extra = f'{arm}{self._suffix}', self._study.files[overlay]
    self._stages[title] = stages.Stage(
      name=title,
      gin_files=(*self._files(role, labels is not None), *extra),
      bindings=(*self._study.bindings, *self._bindings(role, overlay)),
      starts_from=start,
      arm=arm and f'{arm} {self._variant}'.strip(),
      labels_from=labels,
      labels=self._count,
      work=self._work(role, overlay),
    )
    return title

  def _work(self, role: str, overlay: str | None) -> schedule_lib.Work | None:
    """How long a training lasts, if that must be measured first."""
    schedule = self._study.schedule
    if schedule is None or not schedule.equal_time:
      return None
    return schedule.work(role, overlay)

  def _files(self, role: str, is_semi: bool) -> Sequence[str]:
    most = self._study.many_labels
    # With pseudo-labels, a training sees all images, which are many.
    is_many = most is not None and (is_semi or self._count > most)
    if is_many and role != 'pretrain':
      role = f'{role}_of_many'
    return self._study.files[role]

  def _bindings(self, role: str, overlay: str | None) -> Iterator[str]:
    yield f'LABELS = {self._count}'
    schedule = self._study.schedule
    if schedule is not None and not schedule.equal_time:
      steps = schedule.work(role, overlay).steps(schedule.step_costs)
      yield f'STEPS = {steps}'
    variant = self._study.variants[self._variant]
    yield from variant.get(role, ())
    yield from variant.get(overlay or '', ())


def _check(study: _Study) -> None:
  unknown = [arm for arm in study.arms if arm not in arms_lib.ARMS]
  if unknown or not study.arms:
    raise errors.ConfigError(
      f'expand.arms is {study.arms}; choose from {", ".join(arms_lib.ARMS)}.'
    )
  if not study.labels or min(study.labels) < 1:
    raise errors.ConfigError(
      f'expand.labels is {study.labels}; give numbers of images, 1 or more.'
    )
  for name, variant in study.variants.items():
    wrong = [role for role in variant if role not in study.files]
    if wrong or any(isinstance(of, str) for of in variant.values()):
      raise errors.ConfigError(
        f'expand.variants[{name!r}] is {dict(variant)}; it maps the roles of '
        f'trainings ({", ".join(study.files)}) to tuples of bindings.'
      )
  for role in _needed(study):
    if not study.files[role]:
      raise errors.ConfigError(f'expand.{role} names no gin file.')
  if study.rounds < 1:
    raise errors.ConfigError('expand.rounds must be at least 1.')


def _needed(study: _Study) -> list[str]:
  """The roles of the trainings whose gin files a study needs."""
  roles = ['scratch'] if study.has('softmax') else []
  roles += ['finetune'] if study.has('contrastive') else []
  overlays = [
    arms_lib.OVERLAID[arm][1] for arm in study.arms if arm in arms_lib.OVERLAID
  ]
  if study.many_labels is not None:
    roles += [f'{role}_of_many' for role in roles]
  pretrain = ['pretrain'] if study.has('contrastive') else []
  return sorted({*roles, *pretrain, *overlays})
