"""Figures by class and by stage: IoU, confusion, costs."""

import numpy as np

from deeplab_contrast.studies.report import style, summary
from deeplab_contrast.studies.report.study import Study

# More classes than this are unreadable; the largest are shown.
_MOST_CLASSES = 32
# Up to this many, cells of a matrix show their number.
_MOST_NUMBERED = 13
_STAGES = ('#0072B2', '#E69F00', '#009E73', '#CC79A7', '#56B4E9', '#999999')


def per_class(study: Study, labels: int | None) -> style.Figure:
  """IoU of every class, a bar for each arm.

  Args:
    study: what to draw.
    labels: the budget.
  """
  names, left_out = _shown(study)
  looks = {
    a: k for a, k in style.looks(study.arms).items() if study.of(a, labels)
  }
  height = 0.8 / len(looks)
  size = (6, 1.1 + len(names) * max(0.26, 0.12 * len(looks)))
  with style.subplots(size=size) as (figure, axes):
    axis = axes[0, 0]
    for number, (arm, look) in enumerate(looks.items()):
      found = summary.iou(study, arm, labels)
      places = np.arange(len(names)) + (number - (len(looks) - 1) / 2) * height
      means = [100 * (found[name].mean or 0) for name in names]
      label = style.arm_title(arm)
      axis.barh(places, means, 0.92 * height, color=look.color, label=label)
      for place, name in zip(places, names, strict=True):
        _whisker(axis, place, found[name])
    axis.set_yticks(range(len(names)), names)
    axis.set_ylim(len(names) - 0.45, -0.55)
    axis.grid(axis='y', visible=False)
    axis.set_xlim(left=0)
    axis.set_xlabel(f'val IoU, %, {style.budget_title(labels)}')
    style.legend_below(figure, [axis], 2)
    png = style.to_png(figure)
  lines = ' Lines span the seeds.' if len(study.seeds) > 1 else ''
  return style.Figure(
    f'iou_{labels}',
    png,
    f'IoU by class with {style.budget_title(labels)}; the numbers are in the '
    'table below.',
    f'IoU by class with {style.budget_title(labels)}.{lines}{left_out}',
  )


def _whisker(axis, place, spread):
  """The range of the seeds, or that the class does not occur."""
  if not spread.values:
    axis.text(0.3, place, 'n/a', va='center', fontsize=8, color=style.GRAY)
  elif len(spread.values) > 1:
    ends = [100 * spread.low, 100 * spread.high]
    axis.plot(ends, [place, place], color='black', linewidth=1.1)


def _shown(study):
  """(names of the classes that fit, a note on those left out)."""
  names = summary.class_names(study)
  kept = summary.largest_classes(study, _MOST_CLASSES)
  if len(kept) == len(names):
    return names, ''
  note = f' Of {len(names)} classes the {len(kept)} largest are shown.'
  return [names[i] for i in kept], note


def confusion(study: Study, labels: int | None) -> style.Figure:
  """Where the pixels of each class went, a matrix for each arm.

  Args:
    study: what to draw.
    labels: the budget.
  """
  names, left_out = _shown(study)
  kept = summary.largest_classes(study, _MOST_CLASSES)
  arms = [arm for arm in study.arms if study.of(arm, labels)]
  columns = min(2, len(arms))
  rows = -(-len(arms) // columns)
  side = 1.5 + 0.32 * max(8, len(names))
  size = (columns * side + 0.7, rows * side)
  shape = {'sharex': True, 'sharey': True}
  with style.subplots(rows, columns, size, **shape) as (figure, axes):
    for axis in axes.flat[len(arms) :]:
      axis.set_axis_off()
    for axis, arm in zip(axes.flat, arms, strict=False):
      matrix = 100 * summary.confusion(study, arm, labels)[np.ix_(kept, kept)]
      image = _matrix(axis, matrix, names)
      axis.set_title(style.arm_title(arm), loc='left')
      axis.xaxis.set_tick_params(labelbottom=True)
      axis.set_xlabel('prediction')
    for axis in axes[:, 0]:
      axis.set_ylabel('truth')
    bar = figure.colorbar(image, ax=axes, shrink=0.6, pad=0.02)
    bar.set_label('share of the pixels of a class, %')
    bar.outline.set_visible(False)
    png = style.to_png(figure)
  diagonal = '; '.join(
    f'{style.arm_title(arm)} {_recall(study, arm, labels)}' for arm in arms
  )
  return style.Figure(
    f'confusion_{labels}',
    png,
    f'Confusion matrices with {style.budget_title(labels)}: rows truth, '
    'columns prediction. Share of correct pixels, mean over classes: '
    f'{diagonal}.',
    f'What pixels of each class (row) are predicted as (column), in %, with '
    f'{style.budget_title(labels)}; all seeds together.{left_out}',
    wide=True,
  )


def _recall(study, arm, labels):
  diagonal = np.diag(summary.confusion(study, arm, labels))
  return f'{100 * np.nanmean(diagonal):.1f} %'


def _matrix(axis, matrix, names):
  image = axis.imshow(matrix, cmap='Blues', vmin=0, vmax=100)
  axis.set_xticks(range(len(names)), names, rotation=90)
  axis.set_yticks(range(len(names)), names)
  axis.grid(visible=False)
  axis.tick_params(length=0)
  axis.set_facecolor('#EFEFEF')
  if len(names) > _MOST_NUMBERED:
    return image
  for (row, column), value in np.ndenumerate(matrix):
    if value >= 0.5:  # And not nan.
      color = 'white' if value > 55 else 'black'
      text = f'{value:.0f}'
      place = {'ha': 'center', 'va': 'center', 'fontsize': 8}
      axis.text(column, row, text, color=color, **place)
  return image


def costs(study: Study, labels: int | None) -> style.Figure | None:
  """What each arm cost, by stage: minutes, or steps where none were measured.

  Args:
    study: what to draw.
    labels: the budget.

  Returns:
    The figure, or None where nothing was recorded.
  """
  found = {arm: summary.stage_costs(study, arm, labels) for arm in study.arms}
  found = {arm: stages for arm, stages in found.items() if stages}
  timed = all(m is not None for stages in found.values() for _, _, m in stages)
  unit = 'minutes' if timed else 'steps'
  values = {
    arm: [(minutes if timed else steps) or 0 for _, steps, minutes in stages]
    for arm, stages in found.items()
  }
  if not any(map(sum, values.values())):
    return None
  depth = max(map(len, values.values()))
  with style.subplots(size=(6, 1.3 + 0.55 * len(values))) as (figure, axes):
    axis = axes[0, 0]
    for i in range(depth):
      lengths = [v[i] if i < len(v) else 0 for v in values.values()]
      starts = [sum(v[:i]) for v in values.values()]
      color, label = _STAGES[i % len(_STAGES)], f'stage {i + 1}'
      axis.barh(
        range(len(values)), lengths, 0.6, starts, color=color, label=label
      )
    titles = [style.arm_title(arm).replace(' + ', '\n+ ') for arm in values]
    axis.set_yticks(range(len(values)), titles)
    axis.invert_yaxis()
    axis.grid(axis='y', visible=False)
    axis.set_xlabel(f'{unit} of one seed, {style.budget_title(labels)}')
    if depth > 1:
      style.legend_below(figure, [axis], min(4, depth))
    png = style.to_png(figure)
  in_words = ', '.join(
    f'{style.arm_title(arm)} {sum(v):.4g}' for arm, v in values.items()
  )
  return style.Figure(
    f'cost_{labels}',
    png,
    f'Cost in {unit}: {in_words}.',
    f'Cost of each arm in {unit}, by stage; a stage that several arms share '
    'counts for each of them.',
  )
