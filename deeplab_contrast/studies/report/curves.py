"""Figures over training steps."""

from typing import Any

import numpy as np
from matplotlib import ticker

from deeplab_contrast.studies.report import files, style
from deeplab_contrast.studies.report.study import Study

# Keys of 'embedding' lines that share a panel; all others get their own.
_EMBEDDING = (
  ('IoU of simple classifiers, %', ('knn_miou', 'probe_miou')),
  ('mean cosine similarity', ('within_similarity', 'between_similarity')),
)
_EMBEDDING_KEYS = tuple(key for _, keys in _EMBEDDING for key in keys)
_LINES = ('-', '--', ':', '-.')
# Of runs with a teacher: title, split, {key: its name where there are several}.
_TEACHER = (
  ('confident pixels, %', 'train', {'confident': ''}),
  ('right among them, %', 'train', {'teacher_accuracy': ''}),
  ('val mIoU, %', 'val', {'miou': 'teacher', 'student_miou': 'student'}),
)
# {title: [(arm, key, points)]}.
_Panels = dict[str, list[tuple[str, str, list[tuple[int, float]]]]]

_FAINT = ' Single seeds are faint, their mean is strong.'


def training(study: Study, labels: int | None) -> style.Figure | None:
  """Losses and, where it was evaluated during training, val mIoU over steps.

  Args:
    study: what to draw.
    labels: the budget.

  Returns:
    The figure, or None where no run has numbers.
  """
  panels: _Panels = {}
  for arm, model_dir in _runs(study, labels):
    kind, points = _loss(files.metrics(model_dir))
    _add(panels, f'{kind} loss', arm, points, '')
  evaluated = [
    (arm, '', _points(files.metrics(x.model_dir), ('val',), 'miou', 100))
    for arm in study.arms
    for x in study.of(arm, labels)
  ]
  # Results at the end only are not curves: other figures have them.
  if any(len(points) > 1 for _, _, points in evaluated):
    panels['val mIoU, %'] = [run for run in evaluated if run[-1]]
  panels = {k: panels[k] for k in sorted(panels, key=_order_of_panels)}
  caption = (
    f'Training with {style.budget_title(labels)}; losses without weight decay.'
    f'{_FAINT if len(study.seeds) > 1 else ""}'
  )
  return _over_steps(study, f'training_{labels}', panels, caption)


def embedding(study: Study, labels: int | None) -> style.Figure | None:
  """How well the features separate the classes, over steps.

  Args:
    study: what to draw.
    labels: the budget.

  Returns:
    The figure, or None where no run has such numbers.
  """
  panels: _Panels = {}
  for arm, model_dir in _runs(study, labels):
    lines = files.metrics(model_dir)
    for title, keys in _embedding_panels(lines):
      for key in keys:
        scale = 100 if '%' in title else 1
        points = _points(lines, ('embedding', 'val'), key, scale)
        _add(panels, title, arm, points, key)
  caption = (
    f'Quality of the features on val with {style.budget_title(labels)}, '
    f'measured during training.{_FAINT if len(study.seeds) > 1 else ""}'
  )
  return _over_steps(study, f'embedding_{labels}', panels, caption)


def teacher(study: Study, labels: int | None) -> style.Figure | None:
  """What the teacher made of the unlabelled images, over steps.

  Args:
    study: what to draw.
    labels: the budget.

  Returns:
    The figure, or None where no run has a teacher.
  """
  panels: _Panels = {}
  for arm, model_dir in _runs(study, labels):
    lines = files.metrics(model_dir)
    if not any('confident' in line for line in lines):
      continue
    for title, split, names in _TEACHER:
      for key, name in names.items():
        points = _points(lines, (split,), key, 100)
        # Results at the end only are not curves: other figures have them.
        if len(points) > 1:
          _add(panels, title, arm, points, name)
  faint = _FAINT if len(study.seeds) > 1 else ''
  caption = (
    f'The teacher with {style.budget_title(labels)}: how many pixels of the '
    'unlabelled images it is confident of, how many of those it gets right '
    '(where the truth is known after all), and its mIoU beside that of the '
    f'trained weights, if evaluated on the way.{faint}'
  )
  return _over_steps(study, f'teacher_{labels}', panels, caption)


def _embedding_panels(lines):
  others = {
    key: None
    for line in lines
    if line.get('split') == 'embedding'
    for key, value in line.items()
    if key not in ('step', 'split', *_EMBEDDING_KEYS) and _is_number(value)
  }
  return [*_EMBEDDING, *((key.replace('_', ' '), (key,)) for key in others)]


def _runs(study, labels):
  """(arm, model_dir) of all stages; those that arms share are listed once."""
  found = {}
  for arm in study.arms:
    for entry in study.of(arm, labels):
      for stage in entry.stages:
        own = stage.model_dir == entry.model_dir
        # The arm whose last stage this is, else the first that needs it.
        if own or stage.model_dir not in found:
          found[stage.model_dir] = arm
  return [(arm, model_dir) for model_dir, arm in found.items()]


def _loss(lines):
  """(name, points) of the task's loss, or else of the total."""
  train = [line for line in lines if line.get('split') == 'train']
  for kind in ('contrastive', 'softmax', 'loss'):
    points = _points(train, ('train',), kind)
    if points:
      names = {'softmax': 'cross entropy', 'loss': 'total'}
      return names.get(kind, kind), points
  return 'total', []


def _points(
  lines: list[dict[str, Any]],
  splits: tuple[str, ...],
  key: str,
  scale: float = 1,
) -> list[tuple[int, float]]:
  return [
    (line['step'], scale * line[key])
    for line in lines
    if line.get('split') in splits and _is_number(line.get(key))
  ]


def _is_number(value: object) -> bool:
  return isinstance(value, (int, float)) and not isinstance(value, bool)


def _add(panels, title, arm, points, key):
  if points:
    panels.setdefault(title, []).append((arm, key, points))


def _order_of_panels(title):
  known = ['contrastive loss', 'cross entropy loss', 'total loss']
  return known.index(title) if title in known else len(known)


def _over_steps(
  study: Study, name: str, panels: _Panels, caption: str
) -> style.Figure | None:
  """Draws panels beside each other."""
  if not panels:
    return None
  looks = style.looks(study.arms)
  columns = min(3, len(panels))
  rows = -(-len(panels) // columns)
  size = (max(4.4, 3.4 * columns), 0.5 + 2.9 * rows)
  with style.subplots(rows, columns, size) as (figure, axes):
    for axis in axes.flat[len(panels) :]:
      axis.set_axis_off()
    for axis, (title, runs) in zip(axes.flat, panels.items(), strict=False):
      _draw_runs(axis, title, runs, looks)
    order = list(map(style.arm_title, looks))
    style.legend_below(figure, axes.flat, min(len(looks), columns + 1), order)
    png = style.to_png(figure)
  arms = ', '.join(style.arm_title(arm) for arm in looks)
  alt = f'{", ".join(panels)} over steps, of {arms}. {caption}'
  return style.Figure(name, png, alt, caption, wide=columns > 1)


def _draw_runs(axis, title, runs, looks):
  """Single runs are faint, their mean on top; keys differ in line style."""
  keys = list(dict.fromkeys(key for _, key, _ in runs))
  several = len(keys) > 1
  for arm, look in looks.items():
    for number, key in enumerate(keys):
      ours = [points for a, k, points in runs if (a, k) == (arm, key)]
      line = _LINES[number % len(_LINES)] if several else look.line
      shown = {'color': look.color, 'linestyle': line}
      if len(ours) > 1:
        for points in ours:
          axis.plot(*np.transpose(points), **shown, lw=0.8, alpha=0.35)
      if ours:
        label = style.arm_title(arm)
        mean = _mean_over_seeds(ours)
        # A line through one point is invisible.
        marker = look.marker if len(mean[0]) == 1 else None
        axis.plot(*mean, **shown, marker=marker, label=label)
  if keys == ['']:
    axis.set_title(title, loc='left')
  else:
    shown_keys = [key.replace('_', ' ').replace('miou', 'mIoU') for key in keys]
    axis.set_title(
      title if several else f'{title}: {shown_keys[0]}', loc='left'
    )
  if several:
    lines = [axis.plot([], [], color=style.GRAY, ls=x)[0] for x in _LINES]
    axis.legend(lines[: len(keys)], shown_keys, loc='best')
  axis.set_xlabel('steps')
  axis.xaxis.set_major_locator(ticker.MaxNLocator(4, integer=True))


def _mean_over_seeds(runs):
  """(steps, means) at the steps that all runs have."""
  values = [dict(points) for points in runs]
  steps = sorted(set.intersection(*map(set, values)))
  return steps, [float(np.mean([v[step] for v in values])) for step in steps]
