"""Figures over labelled images and over steps."""

import numpy as np
from matplotlib import ticker

from deeplab_contrast.studies.report import files, style, summary

# Beyond this ratio of budgets their axis is logarithmic.
_LINEAR_UP_TO = 4

# Numbers of 'embedding' lines that share a picture; all others get their own.
_EMBEDDING = (
  ('IoU of simple classifiers, %', ('knn_miou', 'probe_miou')),
  ('mean cosine similarity', ('within_similarity', 'between_similarity')),
)
_EMBEDDING_KEYS = tuple(key for _, keys in _EMBEDDING for key in keys)
_LINES = ('-', '--', ':', '-.')
_FAINT = ' Single seeds are faint, their mean is strong.'


def over_budgets(study):
  """The main figure: mIoU against the number of labelled images.

  Args:
    study: a `Study`; with one budget only, arms stand side by side instead.

  Returns:
    A `style.Figure`.
  """
  if len(study.budgets) > 1 and None not in study.budgets:
    return _lines_over_budgets(study)
  return _one_budget(study)


def _lines_over_budgets(study):
  budgets = study.budgets
  is_log = budgets[-1] > _LINEAR_UP_TO * max(budgets[0], 1)
  looks = style.looks(study.arms)
  with style.subplots(size=(6, 4.2)) as (figure, axes):
    axis = axes[0, 0]
    if is_log:
      axis.set_xscale('log')
    for number, (arm, look) in enumerate(looks.items()):
      _draw_arm(axis, study, arm, look)
      _draw_seeds(axis, study, arm, look, number, is_log)
    axis.xaxis.set_major_locator(ticker.FixedLocator(budgets))
    axis.xaxis.set_major_formatter(ticker.FixedFormatter(_names(budgets)))
    axis.xaxis.set_minor_locator(ticker.NullLocator())
    axis.set_xlabel(f'labelled images{" (log scale)" if is_log else ""}')
    axis.set_ylabel('val mIoU, %')
    axis.legend(loc='best')
    png = style.to_png(figure)
  several = len(study.seeds) > 1
  spread = (
    '; the band spans the seeds, dots are single seeds' if several else ''
  )
  return style.Figure(
    'miou',
    png,
    f'mIoU on val against the number of labelled images. {_in_words(study)}',
    f'Mean IoU on val by number of labelled images, one line per arm{spread}.',
  )


def _draw_arm(axis, study, arm, look):
  known = [b for b in study.budgets if summary.miou(study, arm, b).values]
  spreads = [summary.miou(study, arm, b) for b in known]
  axis.plot(
    known,
    [100 * s.mean for s in spreads],
    color=look.color,
    linestyle=look.line,
    marker=look.marker,
    label=style.arm_title(arm),
    zorder=3,
  )
  if any(len(s.values) > 1 for s in spreads):
    low, high = [
      [100 * getattr(s, k) for s in spreads] for k in ('low', 'high')
    ]
    axis.fill_between(known, low, high, color=look.color, alpha=0.15, lw=0)


def _draw_seeds(axis, study, arm, look, number, is_log):
  """One dot per seed, each arm a little to the side so that all are seen."""
  shift = 0.012 * (number - (len(study.arms) - 1) / 2)
  span = study.budgets[-1] - study.budgets[0]
  for budget in study.budgets:
    values = summary.miou(study, arm, budget).values
    if len(values) > 1:
      x = budget * (1 + 2 * shift) if is_log else budget + shift * span
      y = [100 * v for v in values]
      axis.scatter([x] * len(y), y, s=11, color=look.color, alpha=0.6, lw=0)


def _one_budget(study):
  looks = style.looks(study.arms)
  budget = study.budgets[0]
  with style.subplots(size=(6, 0.9 + 0.55 * len(looks))) as (figure, axes):
    axis = axes[0, 0]
    for place, (arm, look) in enumerate(looks.items()):
      found = summary.miou(study, arm, budget)
      if not found.values:
        continue
      mean = 100 * found.mean
      axis.barh(place, mean, color=look.color, height=0.6)
      x = [100 * v for v in found.values]
      if len(x) > 1:
        axis.scatter(x, [place] * len(x), s=16, color='black', zorder=3)
      text = f'  {mean:.1f}'
      axis.text(max(x), place, text, va='center', color='black')
    axis.set_yticks(range(len(looks)), [_arm_on_axis(arm) for arm in looks])
    axis.invert_yaxis()
    axis.grid(axis='y', visible=False)
    axis.margins(x=0.12)
    axis.set_xlabel(f'val mIoU, %, {style.budget_title(budget)}')
    png = style.to_png(figure)
  return style.Figure(
    'miou',
    png,
    f'mIoU on val of every arm. {_in_words(study)}',
    'Mean IoU on val of every arm; dots are single seeds, where there are '
    'several.',
  )


def _arm_on_axis(arm):
  return style.arm_title(arm).replace(' + ', '\n+ ')


def _in_words(study):
  """The means of the main figure, for those who cannot see it."""
  parts = []
  for arm in study.arms:
    values = [
      (budget, summary.miou(study, arm, budget).mean)
      for budget in study.budgets
    ]
    told = ', '.join(
      f'{100 * mean:.1f} %' + (f' at {budget}' if budget is not None else '')
      for budget, mean in values
      if mean is not None
    )
    parts.append(f'{style.arm_title(arm)}: {told}.')
  return ' '.join(parts)


def training(study, labels):
  """Losses and, where it was evaluated on the way, val mIoU over steps.

  Args:
    study: a `Study`.
    labels: the budget.

  Returns:
    A `style.Figure`, or None where no run has numbers.
  """
  panels = {}
  for arm, model_dir in _runs(study, labels):
    kind, points = _loss(files.metrics(model_dir))
    _add(panels, f'{kind} loss', arm, points, '')
  judged = [
    (arm, '', _points(files.metrics(x.model_dir), ('val',), 'miou', 100))
    for arm in study.arms
    for x in study.of(arm, labels)
  ]
  # Results at the end alone are no curves: other figures have them.
  if any(len(points) > 1 for _, _, points in judged):
    panels['val mIoU, %'] = [run for run in judged if run[-1]]
  panels = {k: panels[k] for k in sorted(panels, key=_order_of_panels)}
  caption = (
    f'Training with {style.budget_title(labels)}; losses without weight decay.'
    f'{_FAINT if len(study.seeds) > 1 else ""}'
  )
  return _over_steps(study, f'training_{labels}', panels, caption)


def embedding(study, labels):
  """How well the features tell classes apart, over steps.

  Args:
    study: a `Study`.
    labels: the budget.

  Returns:
    A `style.Figure`, or None where no run has such numbers.
  """
  panels = {}
  for arm, model_dir in _runs(study, labels):
    lines = files.metrics(model_dir)
    for title, keys in _embedding_panels(lines):
      for key in keys:
        scale = 100 if '%' in title else 1
        points = _points(lines, ('embedding', 'val'), key, scale)
        _add(panels, title, arm, points, key)
  caption = (
    f'Quality of the features on val with {style.budget_title(labels)}, '
    f'measured while training.{_FAINT if len(study.seeds) > 1 else ""}'
  )
  return _over_steps(study, f'embedding_{labels}', panels, caption)


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
  """(arm, model_dir) of all stages; those that arms share come once."""
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
  """('contrastive', points), ('softmax', points) or what there is."""
  train = [line for line in lines if line.get('split') == 'train']
  for kind in ('contrastive', 'softmax', 'loss'):
    points = _points(train, ('train',), kind)
    if points:
      names = {'softmax': 'cross entropy', 'loss': 'total'}
      return names.get(kind, kind), points
  return 'total', []


def _points(lines, splits, key, scale=1):
  return [
    (line['step'], scale * line[key])
    for line in lines
    if line.get('split') in splits and _is_number(line.get(key))
  ]


def _is_number(value):
  return isinstance(value, (int, float)) and not isinstance(value, bool)


def _add(panels, title, arm, points, key):
  if points:
    panels.setdefault(title, []).append((arm, key, points))


def _order_of_panels(title):
  known = ['contrastive loss', 'cross entropy loss', 'total loss']
  return known.index(title) if title in known else len(known)


def _over_steps(study, name, panels, caption):
  """Draws panels {title: [(arm, key, points)]} beside each other."""
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
  """Single runs faint, their mean over seeds on top; keys by line style."""
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
        # A line through one point is not seen.
        marker = look.marker if len(mean[0]) == 1 else None
        axis.plot(*mean, **shown, marker=marker, label=label)
  if keys == ['']:
    axis.set_title(title, loc='left')
  else:
    told = [key.replace('_', ' ').replace('miou', 'mIoU') for key in keys]
    axis.set_title(title if several else f'{title}: {told[0]}', loc='left')
  if several:
    lines = [axis.plot([], [], color=style.GRAY, ls=x)[0] for x in _LINES]
    axis.legend(lines[: len(told)], told, loc='best')
  axis.set_xlabel('steps')
  axis.xaxis.set_major_locator(ticker.MaxNLocator(4, integer=True))


def _mean_over_seeds(runs):
  """(steps, means) at the steps that all runs have."""
  values = [dict(points) for points in runs]
  steps = sorted(set.intersection(*map(set, values)))
  return steps, [float(np.mean([v[step] for v in values])) for step in steps]


def _names(values):
  return [str(value) for value in values]
