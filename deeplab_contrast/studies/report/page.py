"""The page: what it shows, in which order."""

import dataclasses
import os
from collections.abc import Iterator, Sequence

from deeplab_contrast.studies.report import (
  bars,
  conclusions,
  curves,
  files,
  main_figure,
  markup,
  pictures,
  style,
  summary,
)
from deeplab_contrast.studies.report.study import Entry, Study
from deeplab_contrast.utils import tables


@dataclasses.dataclass(frozen=True)
class Report:
  """A page and its figures.

  Attributes:
    html: the text of the page.
    figures: all that it shows.
  """

  html: str
  figures: tuple[style.Figure, ...]


def build(
  study: Study,
  feature_figure: style.Figure | None = None,
  notes: Sequence[str] = (),
) -> Report:
  """Draws and writes the page of a study; the same study gives the same page.

  Args:
    study: what to show.
    feature_figure: that of the features, or None.
    notes: sentences about what is left out.

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

  parts = {
    'Results': [draw(main_figure.over_budgets(study)), *_results(study)],
    'Same images': over_extremes(pictures.side_by_side),
    'Feature space': [draw(feature_figure), *over_extremes(curves.embedding)],
    'Classes': [*over_extremes(bars.per_class), *_classes(study)],
    'Confusion': over_extremes(bars.confusion),
    'Training': over_extremes(curves.training),
    'Teacher': [*over_extremes(curves.teacher), *_teachers(study)],
    'Pseudo-labels': _pseudo_labels(study),
    'Cost': [draw(bars.costs(study, study.budgets[0])), _costs(study)],
    'Settings': _settings(study),
  }
  filled = {title: list(filter(None, of)) for title, of in parts.items()}
  filled = {title: of for title, of in filled.items() if of}
  title = f'Label-efficient segmentation of {study.dataset}'
  body = [
    f'<h1>{markup.text(title)}</h1>',
    _facts(study),
    *map(markup.note, (*study.notes, *notes)),
    markup.contents(filled),
    *(markup.section(name, of) for name, of in filled.items()),
  ]
  return Report(markup.page(title, '\n'.join(body)), tuple(figures))


def _facts(study):
  budgets = [str(b) for b in study.budgets if b is not None]
  steps = {
    True: 'the same number in every arm',
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
  """Tables of mIoU and of the differences between arms."""
  columns = ['labelled images', *map(style.arm_title, study.arms)]
  rows = [
    [
      _budget(labels),
      *(_spread(summary.miou(study, arm, labels)) for arm in study.arms),
    ]
    for labels in study.budgets
  ]
  several = len(study.seeds) > 1
  title = 'mIoU in %' + (', mean (lowest to highest seed)' if several else '')
  yield markup.paragraph(f'{title}:') + markup.table(columns, rows, title)
  pairs = summary.differences(study)
  if pairs:
    yield _differences(study, pairs)
  yield from map(markup.paragraph, conclusions.of(study))
  yield _other_scores(study)
  yield _runs(study)
  if not several:
    yield markup.note('One seed: differences of a few points may be chance.')


def _differences(study, pairs):
  names = [[style.arm_title(arm) for arm in pair] for pair in pairs]
  columns = ['labelled images', *(f'{a} − {b}' for a, b in names)]
  rows = [
    [
      _budget(labels),
      *(
        _spread(summary.difference(study, labels, *pair), is_difference=True)
        for pair in pairs
      ),
    ]
    for labels in study.budgets
  ]
  title = 'Differences in mIoU points'
  if len(study.seeds) > 1:
    title += ', seed by seed: mean [95 % bootstrap interval]'
  return markup.paragraph(f'{title}:') + markup.table(columns, rows, title)


def _other_scores(study: Study) -> str | list:
  """Every other single score of the evaluations, even unknown ones."""
  names = summary.other_scores(study)
  rows = [
    [
      style.arm_title(arm),
      _budget(labels),
      *(
        _number(summary.score(study, arm, labels, name).mean, '.4g')
        for name in names
      ),
    ]
    for labels in study.budgets
    for arm in study.arms
    if study.of(arm, labels)
  ]
  columns = ['arm', 'labelled images', *map(tables.score_title, names)]
  title = 'Other scores, means over seeds'
  return names and markup.details(title, markup.table(columns, rows, title))


def _runs(study: Study) -> str | list:
  """Every run, with all columns of results.csv, also one unknown here."""
  names = list(dict.fromkeys(n for e in study.entries for n in e.columns))
  rows = [[_plain(e.columns.get(n)) for n in names] for e in study.entries]
  columns = [tables.score_title(name) for name in names]
  return names and markup.details('Runs', markup.table(columns, rows, 'Runs'))


def _plain(value: object) -> str:
  if isinstance(value, float):
    return str(round(value, 4))
  return 'n/a' if value is None else str(value)


def _budget(labels: int | None) -> str | int:
  return 'n/a' if labels is None else labels


def _spread(
  found: summary.Spread, is_difference: bool = False
) -> str | tuple[str, str]:
  """('41.2', '(40.1 to 42.3)') of shares, ('+1.2', '[0.1, 2.3]') of gains."""
  if found.mean is None:
    return '–'
  sign = '+' if is_difference else ''
  ends = found.interval if is_difference else (found.low, found.high)
  mean, low, high = (
    f'{100 * v:{sign}.1f}'.replace('-', '−')
    for v in (found.mean, *(ends or (0.0, 0.0)))
  )
  if len(found.values) == 1:
    return mean
  return mean, f'[{low}, {high}]' if is_difference else f'({low} to {high})'


def _classes(study):
  for labels in study.budgets:
    found = [summary.iou(study, arm, labels) for arm in study.arms]
    rows = [
      [name, *(tables.percent(iou[name].mean) for iou in found)]
      for name in summary.class_names(study)
    ]
    miou = [summary.miou(study, arm, labels).mean for arm in study.arms]
    rows.append(['mean (mIoU)', *map(tables.percent, miou)])
    columns = ['class', *(style.arm_title(arm) for arm in study.arms)]
    title = f'IoU in % with {style.budget_title(labels)}'
    yield markup.details(title, markup.table(columns, rows, title))


def _teachers(study):
  """What the teachers saw last in unlabelled images, for the first seed."""
  columns = ['class', 'confident, %', 'correct, %']
  for labels in study.budgets:
    for entry in pictures.first_entries(study, labels):
      lines = files.metrics(entry.model_dir)
      seen = [line for line in lines if 'confident' in line][-1:]
      rows = [
        [
          name,
          _percent(line.get(f'confident/{name}')),
          _percent(line.get(f'teacher_accuracy/{name}')),
        ]
        for line in seen
        for name in summary.class_names(study)
      ]
      title = (
        f'By the class that the teacher sees, at the end: '
        f'{style.arm_title(entry.arm)}, {style.budget_title(labels)}'
      )
      if rows:
        yield markup.details(title, markup.table(columns, rows, title))


def _pseudo_labels(study):
  """What the pseudo-labelling stages kept, for the first seed."""
  made = {}
  for labels in study.budgets:
    for entry in pictures.first_entries(study, labels):
      for stage in entry.stages:
        found = files.manifest(stage)
        if found is not None and stage.model_dir not in made:
          made[stage.model_dir] = entry, found
  if not made:
    return []
  columns = ['arm', 'labelled images', 'images', 'pixels kept, %', 'correct, %']
  rows = [
    [
      style.arm_title(entry.arm),
      _budget(entry.labels),
      found.get('images', 'n/a'),
      _percent(found.get('share_kept')),
      _percent((found.get('agreement') or {}).get('accuracy')),
    ]
    for entry, found in made.values()
  ]
  return [
    markup.paragraph('Of the first seed; "correct" where the truth is known:'),
    markup.table(columns, rows, 'Pseudo-labels of each arm'),
    *(_pseudo_classes(study, *pair) for pair in made.values()),
  ]


def _pseudo_classes(study, entry, found):
  precision = (found.get('agreement') or {}).get('precision') or {}
  columns = ['class', 'threshold', 'kept, %', 'correct, %']
  known = found['coverage']
  ordered = [name for name in summary.class_names(study) if name in known]
  rows = [
    [
      name,
      _number(found['thresholds'].get(name), '.3f'),
      _percent(known[name]),
      _percent(precision.get(name)),
    ]
    for name in dict.fromkeys([*ordered, *known])
  ]
  title = (
    f'By class: {style.arm_title(entry.arm)}, '
    f'{style.budget_title(entry.labels)}'
  )
  return markup.details(title, markup.table(columns, rows, title))


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
          _budget(labels),
          _number(summary.spread(e.steps for e in entries).mean, '.0f'),
          _number(summary.spread(e.minutes for e in entries).mean, '.1f'),
          ' + '.join(f'{name} {_number(n, ".0f")}' for name, n, _ in stages),
        ]
      )
  columns = ['arm', 'labelled images', 'steps', 'minutes', 'stages (steps)']
  return markup.table(columns, rows, 'Steps and minutes of one seed, by arm')


def _settings(study: Study) -> Iterator[str]:
  """config.gin of every run, once; the macros on top."""
  seen: set[str] = set()
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


def _order(study: Study, entry: Entry) -> tuple[int, int, int]:
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
