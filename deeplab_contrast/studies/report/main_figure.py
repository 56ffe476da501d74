"""The main figure: mIoU against the number of labelled images."""

from matplotlib import ticker

from deeplab_contrast.studies.report import style, summary
from deeplab_contrast.studies.report.study import Study

# Beyond this ratio of budgets their axis is logarithmic.
_LINEAR_UP_TO = 4


def over_budgets(study: Study) -> style.Figure:
  """Draws mIoU against labelled images or, with one budget, a bar per arm."""
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
    [100 * s.mean for s in spreads if s.mean is not None],
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
      if found.mean is None:
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
  """The means of the main figure, for readers who cannot see it."""
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


def _names(values):
  return [str(value) for value in values]
