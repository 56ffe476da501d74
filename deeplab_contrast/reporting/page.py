"""The page: what is told, in which order."""

import dataclasses
import os

from deeplab_contrast.reporting import (
  bars,
  curves,
  files,
  markup,
  pictures,
  style,
  summary,
)
from deeplab_contrast.utils import results


@dataclasses.dataclass(frozen=True)
class Report:
  """What is written.

  Attributes:
    html: the text of the page.
    figures: all `style.Figure`s of it.
  """

  html: str
  figures: tuple[style.Figure, ...]


def build(study, feature_figure=None, notes=()):
  """Draws and writes the page of a study; the same study, the same page.

  Args:
    study: a `Study`.
    feature_figure: the `style.Figure` of the features, or None.
    notes: sentences about what is left out.

  Returns:
    A `Report`.

  Raises:
    DataError: a file of a run is damaged.
  """
  figures = []

  def draw(figure):
    if figure is not None:
      figures.append(figure)
    return markup.figure(figure)

  def over_extremes(make):
    return [draw(make(study, labels)) for labels in study.extremes]

  sections = [
    markup.section(
      'results', 'Results', draw(curves.over_budgets(study)), *_results(study)
    ),
    markup.section(
      'pictures', 'The same images', *over_extremes(pictures.side_by_side)
    ),
    markup.section(
      'features',
      'Feature space',
      draw(feature_figure),
      *over_extremes(curves.embedding),
    ),
    markup.section(
      'classes', 'Classes', *over_extremes(bars.per_class), *_classes(study)
    ),
    markup.section('confusion', 'Confusion', *over_extremes(bars.confusion)),
    markup.section('training', 'Training', *over_extremes(curves.training)),
    markup.section('pseudo', 'Pseudo-labels', *_pseudo_labels(study)),
    markup.section(
      'cost', 'Cost', draw(bars.costs(study, study.budgets[0])), _costs(study)
    ),
    markup.section('settings', 'Settings', *_settings(study)),
  ]
  title = f'Label-efficient segmentation of {study.dataset}'
  head = [
    f'<h1>{markup.text(title)}</h1>',
    _facts(study),
    *(markup.note(note) for note in (*study.notes, *notes)),
  ]
  return Report(
    markup.page(title, '\n'.join([*head, *filter(None, sections)])),
    tuple(figures),
  )


def _facts(study):
  budgets = [str(b) for b in study.budgets if b is not None]
  steps = {
    True: 'as many training steps in every arm',
    False: 'not the same in every arm, see Cost',
  }
  pairs = [
    ('arms', ', '.join(style.arm_title(arm) for arm in study.arms)),
    ('labelled images', ', '.join(budgets) or 'not recorded'),
    ('seeds', ', '.join(map(str, study.seeds))),
    ('runs', f'{len(study.entries)} of {study.planned}'),
    ('steps', steps.get(study.equal_steps, '')),
    ('commit', study.commit),
  ]
  command = markup.details('Command', markup.code(study.command))
  return markup.definitions(pairs) + (command if study.command else '')


def _results(study):
  """Table of mIoU, and in words what the arms differ by."""
  pairs = summary.differences(study)
  columns = ['labelled images']
  columns += [style.arm_title(arm) for arm in study.arms]
  columns += [f'{first} − {second}' for first, second in _titles(pairs)]
  rows = [
    [
      'n/a' if labels is None else labels,
      *(_spread(summary.miou(study, arm, labels)) for arm in study.arms),
      *(
        _spread(summary.difference(study, labels, *pair), signed=True)
        for pair in pairs
      ),
    ]
    for labels in study.budgets
  ]
  told = 'mIoU in %, mean over seeds (lowest to highest); differences in points'
  yield markup.table(columns, rows, told)
  yield markup.paragraph(f'{told}, seed by seed.')
  if len(study.seeds) == 1:
    yield markup.note('One seed: differences of a few points may be chance.')


def _titles(pairs):
  for pair in pairs:
    yield [style.arm_title(arm) for arm in pair]


def _spread(found, signed=False):
  """('41.2', '(40.1 to 42.3)') of a `Spread` of shares."""
  if not found.values:
    return '–'
  sign = '+' if signed else ''
  mean, low, high = (
    f'{100 * v:{sign}.1f}'.replace('-', '−')
    for v in (found.mean, found.low, found.high)
  )
  return mean if len(found.values) == 1 else (mean, f'({low} to {high})')


def _classes(study):
  for labels in study.budgets:
    found = [summary.iou(study, arm, labels) for arm in study.arms]
    rows = [
      [name, *(results.percent(iou[name].mean) for iou in found)]
      for name in summary.class_names(study)
    ]
    miou = [summary.miou(study, arm, labels).mean for arm in study.arms]
    rows.append(['mean (mIoU)', *map(results.percent, miou)])
    columns = ['class', *(style.arm_title(arm) for arm in study.arms)]
    title = f'IoU in % with {style.budget_title(labels)}'
    yield markup.details(title, markup.table(columns, rows, title))


def _pseudo_labels(study):
  """A table for each stage that made pseudo-labels, of the first seed."""
  seen = set()
  for labels in study.budgets:
    for entry in pictures.first_entries(study, labels):
      for stage in entry.stages:
        found = files.manifest(stage)
        if found is not None and stage.model_dir not in seen:
          seen.add(stage.model_dir)
          yield _pseudo_table(study, entry, stage, found)


def _pseudo_table(study, entry, stage, found):
  agreement = found.get('agreement') or {}
  precision = agreement.get('precision') or {}
  columns = ['class', 'threshold', 'kept, %']
  columns += ['right, %'] if precision else []
  known = found['coverage']
  ordered = [name for name in summary.class_names(study) if name in known]
  ordered += [name for name in known if name not in ordered]
  rows = [
    [
      name,
      _number(found['thresholds'].get(name), '.3f'),
      _percent(known[name]),
      *([_percent(precision.get(name))] if precision else []),
    ]
    for name in ordered
  ]
  facts = [
    f'{found.get("images", "?")} images',
    f'{_percent(found.get("share_kept"))} % of the pixels kept',
  ]
  if agreement.get('accuracy') is not None:
    facts.append(f'{_percent(agreement["accuracy"])} % of them right')
  title = (
    f'{stage.name} of {style.arm_title(entry.arm)}, '
    f'{style.budget_title(entry.labels)}, seed {entry.seed}'
  )
  return '\n'.join(
    [
      markup.heading(title),
      markup.paragraph(', '.join(facts) + '.'),
      markup.details('By class', markup.table(columns, rows, title)),
    ]
  )


def _percent(value):
  return _number(value, '.1f', 100)


def _number(value, form, scale=1):
  is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
  return f'{scale * value:{form}}' if is_number else 'n/a'


def _costs(study):
  rows = []
  for arm in study.arms:
    for labels in study.budgets:
      entries = study.of(arm, labels)
      if not entries:
        continue
      stages = summary.stage_costs(study, arm, labels)
      rows.append(
        [
          style.arm_title(arm),
          'n/a' if labels is None else labels,
          _number(summary.spread(e.steps for e in entries).mean, '.0f'),
          _number(summary.spread(e.minutes for e in entries).mean, '.1f'),
          ' + '.join(f'{name} {_number(n, ".0f")}' for name, n, _ in stages),
        ]
      )
  columns = ['arm', 'labelled images', 'steps', 'minutes', 'stages (steps)']
  return markup.table(columns, rows, 'Steps and minutes of one seed, by arm')


def _settings(study):
  """config.gin of every run, once; the macros on top."""
  seen = set()
  for entry in sorted(study.entries, key=lambda e: _order(study, e)):
    title = (
      f'{style.arm_title(entry.arm)}, {style.budget_title(entry.labels)}, seed '
      f'{entry.seed}'
    )
    parts = []
    for stage in entry.stages:
      name = os.path.basename(os.path.normpath(stage.model_dir))
      text = files.config(stage.model_dir)
      if stage.model_dir in seen:
        parts.append(markup.paragraph(f'{name}: see above.'))
      elif text:
        parts += [markup.heading(name), _config(text)]
      seen.add(stage.model_dir)
    yield markup.details(title, *parts) if parts else ''


def _order(study, entry):
  return (
    study.budgets.index(entry.labels),
    entry.seed,
    study.arms.index(entry.arm),
  )


def _config(text):
  macros = files.macros(text)
  rows = [f'{name} = {value}' for name, value in macros.items()]
  whole = markup.details('The whole config.gin', markup.code(text))
  return (markup.code('\n'.join(rows)) if rows else '') + whole
