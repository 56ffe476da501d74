"""Plain text tables, and those of an evaluation."""

from collections.abc import Mapping, Sequence
from typing import Any

# The mean that belongs to scores by class.
_MEANS = {
  'iou': 'miou',
  'accuracy': 'mean_accuracy',
  'trimap_iou': 'trimap_miou',
}
_ROWS = {
  'pixel_accuracy': 'pixel accuracy',
  'frequency_weighted_iou': 'frequency-weighted IoU',
  'student_miou': 'mIoU of the student',
  'student_pixel_accuracy': 'pixel accuracy of the student',
}
# Not rows of that table: shown elsewhere in it, or not at all.
_NOT_ROWS = frozenset(
  (*_MEANS.values(), 'category_miou', 'trimap_pixel_accuracy')
)


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
  """A plain text table; the first column is left, the others right aligned.

  Args:
    columns: headings.
    rows: one text per column.

  Returns:
    The text, without a newline at its end.
  """
  lines = [list(columns), *rows]
  widths = [max(len(line[i]) for line in lines) for i in range(len(columns))]

  def form(line):
    cells = [line[0].ljust(widths[0])]
    cells += [c.rjust(w) for c, w in zip(line[1:], widths[1:], strict=True)]
    return '  '.join(cells).rstrip()

  rule = '  '.join('-' * w for w in widths)
  return '\n'.join([form(lines[0]), rule, *map(form, lines[1:])])


def percent(value: float | None) -> str:
  """'61.2' for 0.612, 'n/a' for None (a class that is absent)."""
  return 'n/a' if value is None else f'{100 * value:.1f}'


def score_title(name: str) -> str:
  """The name of a score as a heading: 'boundary F' for 'boundary_F'."""
  return _ROWS.get(name, name.replace('_', ' '))


def per_class_table(result: Mapping[str, Any]) -> str:
  """The table of one evaluation: a line per class, the means, the categories.

  Scores unknown here are shown as they are, not in percent: a column if they
  are by class, a row if they are a float.

  Args:
    result: the dict of `results.write` or `results.read`.

  Returns:
    The text, without a newline at its end.
  """
  names = list(result['iou'])
  keys = [
    key for key, value in result.items() if _is_by_class(key, value, names)
  ]
  rows = [
    [name, *(_cell(key, result[key][name]) for key in keys)] for name in names
  ]
  means = [percent(result[_MEANS[k]]) if k in _MEANS else '' for k in keys]
  rows.append(['mean (mIoU)', *means])
  others = other_scores(result).keys() - _ROWS.keys() - _NOT_ROWS
  singles = [*_ROWS, *(k for k in result if k in others)]
  rows += [
    [score_title(key), _cell(key, result[key]), *[''] * (len(keys) - 1)]
    for key in singles
    if key in result
  ]
  text = table(['class', *(_heading(key, result) for key in keys)], rows)
  if 'category_iou' in result:
    text += '\n\n' + _category_table(result)
  return text


def other_scores(result: Mapping[str, Any]) -> dict[str, float]:
  """The single scores of an evaluation other than the mIoU."""
  return {
    name: value
    for name, value in result.items()
    if isinstance(value, float) and name != 'miou'
  }


def embedding_table(result: Mapping[str, Any]) -> str:
  """The table of what `results.write_embedding` wrote."""

  def of(part):
    return f'{result[f"{part}_pixels"]} px of {result[f"{part}_images"]} images'

  rows = [
    [f'similarity {where} classes', _hundredths(result[f'{where}_similarity'])]
    for where in ('within', 'between')
  ]
  rows += [
    ['nearest neighbours, mIoU %', percent(result['knn_miou'])],
    ['linear probe, mIoU %', percent(result['probe_miou'])],
    ['fitted on', of('fit')],
    ['evaluated on', of('judged')],
  ]
  return table(['embedding', ''], rows)


def _is_by_class(key: str, value: Any, names: Sequence[str]) -> bool:
  return (
    key != 'category_iou'
    and isinstance(value, Mapping)
    and list(value) == names
    and all(x is None or isinstance(x, int | float) for x in value.values())
  )


def _heading(key: str, result: Mapping[str, Any]) -> str:
  if key == 'trimap_iou':
    return f'IoU % within {result["trimap_width"]} px'
  known = {'iou': 'IoU %', 'accuracy': 'accuracy %'}
  return known.get(key, score_title(key))


def _cell(key: str, value: float | None) -> str:
  if key in _MEANS or key in _ROWS:
    return percent(value)
  return 'n/a' if value is None else f'{value:.4g}'


def _category_table(result: Mapping[str, Any]) -> str:
  rows = [[name, percent(x)] for name, x in result['category_iou'].items()]
  rows.append(['mean', percent(result['category_miou'])])
  return table(['category', 'IoU %'], rows)


def _hundredths(value: float | None) -> str:
  return 'n/a' if value is None else f'{value:.2f}'
