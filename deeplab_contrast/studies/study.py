"""The comparison of the paper as stages: arms x numbers of labels."""

from deeplab_contrast.studies import stages
from deeplab_contrast.utils import errors

# The paper's four: with and without contrastive pretraining, with and without
# pseudo-labels for the images that have no label.
ARMS = ('softmax', 'contrastive', 'softmax_pseudo', 'contrastive_pseudo')


def expand(
  labels,
  scratch,
  pretrain=(),
  finetune=(),
  pseudo_label=('gin_configs/tasks/pseudo_label.gin',),
  second_round=('gin_configs/sources/pseudo_labelled.gin',),
  arms=ARMS,
  bindings=(),
  rounds=1,
  total_steps=None,
  pretrain_share=0.5,
  many_labels=None,
  scratch_of_many=(),
  finetune_of_many=(),
):
  """The stages of a study, each that several arms share only once.

  An arm is, for n labelled images: 'softmax' trains from scratch;
  'contrastive' pretrains and fine-tunes. With '_pseudo', that network labels
  the other images, and the same is done again with both kinds of labels
  (paper, semi-supervised protocol).

  Args:
    labels: numbers of labelled images.
    scratch: gin files of softmax training from scratch.
    pretrain: gin files of contrastive pretraining.
    finetune: gin files of softmax fine-tuning.
    pseudo_label: gin files of pseudo-labelling.
    second_round: gin files laid over those of a training, which add the
      pseudo-labelled images to its source.
    arms: which of ARMS.
    bindings: laid on top of all trainings.
    rounds: how often the '_pseudo' arms label and train again.
    total_steps: the steps of one pass of every arm, to compare arms at equal
      cost: scratch gets all of them, pretraining and fine-tuning share them;
      None keeps the schedules of the files.
    pretrain_share: the share of pretraining in `total_steps`.
    many_labels: above so many images (labelled and pseudo-labelled ones),
      trainings use the files `..._of_many`; None never does.
    scratch_of_many: gin files, like `scratch`.
    finetune_of_many: gin files, like `finetune`.

  Returns:
    A tuple of `stages.Stage`, the numbers of labels in their order.

  Raises:
    ConfigError: an arm is unknown, its gin files are missing, or numbers make
      no sense.
  """
  settings = dict(locals())
  _check(settings)
  return tuple(
    stage for count in labels for stage in _Budget(count, settings).stages()
  )


class _Budget:
  """The stages of one number of labelled images."""

  def __init__(self, count, settings):
    self._count = count
    self._settings = settings
    self._stages = {}

  def stages(self):
    """All of them, in an order in which they can run."""
    arms, rounds = self._settings['arms'], self._settings['rounds']
    for name in ('softmax', 'contrastive'):
      semi = f'{name}_pseudo' in arms
      if not semi and name not in arms:
        continue
      last = self._train(name, 1, None, name if name in arms else None)
      for number in range(2, rounds + 2) if semi else ():
        arm = f'{name}_pseudo' if number == rounds + 1 else None
        last = self._train(name, number, self._label(name, number, last), arm)
    return list(self._stages.values())

  def _train(self, name, number, labels, arm):
    """Adds the trainings of one pass; returns the name of the last."""
    if name == 'softmax':
      return self._add('scratch', number, 'scratch', labels, arm=arm)
    start = self._add('pretrain', number, 'pretrain', labels)
    return self._add('finetune', number, 'finetune', labels, start, arm)

  def _label(self, name, number, run):
    """Adds the pseudo-labelling by a run; returns its name."""
    files = tuple(self._settings['pseudo_label'])
    title = f'label_{name}{number if number > 2 else ""}_{self._count}'
    self._stages[title] = stages.Stage(
      title, files, starts_from=run, command='pseudo_label', labels=self._count
    )
    return title

  def _add(self, kind, number, role, labels, start=None, arm=None):
    title = f'{kind}{number if number > 1 else ""}_{self._count}'
    extra = self._settings['second_round'] if labels else ()
    self._stages[title] = stages.Stage(
      name=title,
      gin_files=(*self._files(role, labels is not None), *extra),
      bindings=(*self._settings['bindings'], *self._bindings(role)),
      starts_from=start,
      arm=arm,
      labels_from=labels,
      labels=self._count,
    )
    return title

  def _files(self, role, is_semi):
    most = self._settings['many_labels']
    # Pseudo-labelled, a training sees all images, which are many.
    is_many = most is not None and (is_semi or self._count > most)
    if is_many and role != 'pretrain':
      role = f'{role}_of_many'
    return tuple(self._settings[role])

  def _bindings(self, role):
    found = [f'LABELS = {self._count}']
    total = self._settings['total_steps']
    if total is not None:
      pretrain = round(total * self._settings['pretrain_share'])
      steps = {'pretrain': pretrain, 'finetune': total - pretrain}
      found.append(f'STEPS = {steps.get(role, total)}')
    return found


def _check(settings):
  unknown = [arm for arm in settings['arms'] if arm not in ARMS]
  if unknown or not settings['arms']:
    raise errors.ConfigError(
      f'expand.arms is {settings["arms"]}; choose from {", ".join(ARMS)}.'
    )
  if not settings['labels'] or min(settings['labels']) < 1:
    raise errors.ConfigError(
      f'expand.labels is {settings["labels"]}; give numbers of images, 1 or '
      'more.'
    )
  roles = {'scratch'} if _has(settings, 'softmax') else set()
  if _has(settings, 'contrastive'):
    roles |= {'pretrain', 'finetune'}
  if settings['many_labels'] is not None:
    roles |= {f'{role}_of_many' for role in roles - {'pretrain'}}
  for role in sorted(roles):
    if not settings[role]:
      raise errors.ConfigError(f'expand.{role} names no gin file.')
  if settings['rounds'] < 1:
    raise errors.ConfigError('expand.rounds must be at least 1.')
  if not 0 < settings['pretrain_share'] < 1:
    raise errors.ConfigError(
      f'expand.pretrain_share is {settings["pretrain_share"]}; it must lie '
      'between 0 and 1.'
    )


def _has(settings, name):
  return any(arm.startswith(name) for arm in settings['arms'])
