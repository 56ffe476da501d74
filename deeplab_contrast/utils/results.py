"""What a run leaves behind: the numbers of its evaluation, and DONE."""

import json
import math
import os

from deeplab_contrast.utils import errors

FILE = os.path.join('eval', 'results.json')
EMBEDDING = os.path.join('embedding', 'results.json')
DONE = 'DONE'

# What the data were, noted before the first step; see `fingerprints`.
DATA = 'data.json'

# Scores that not every evaluation has.
OPTIONAL = (
  'mean_accuracy',
  'frequency_weighted_iou',
  'accuracy',
  'category_miou',
  'category_iou',
  'trimap_width',
  'trimap_miou',
  'trimap_pixel_accuracy',
  'trimap_iou',
  'judged_by',
)


def write(model_dir, step, scores, info):
  """Writes `model_dir/eval/results.json`, in one piece.

  Args:
    model_dir: the run's folder.
    step: int, the step of the weights.
    scores: the dict of `Evaluator.evaluate`.
    info: the split's `DatasetInfo`.

  Returns:
    The dict written: dataset, step, miou, pixel_accuracy, pixels, iou (by class
    name, null where a class is absent), colors (by class name), matrix; and
    what else of OPTIONAL there is among the scores: what is one number for each
    class is by class name.
  """
  iou = _by_class(scores['iou'], info)
  colors = dict(zip(info.class_names, info.colors, strict=True))
  result = {
    'dataset': info.name,
    'step': int(step),
    'miou': _plain(scores['miou']),
    'pixel_accuracy': _plain(scores['pixel_accuracy']),
    'pixels': scores['pixels'],
    'iou': iou,
    'colors': colors,
    'matrix': scores['matrix'].tolist(),
  }
  for name in OPTIONAL:
    if name in scores:
      result[name] = _storable(scores[name], info)
  write_json(os.path.join(model_dir, FILE), result)
  return result


def write_embedding(model_dir, step, scores, info):
  """Writes `model_dir/embedding/results.json`, in one piece.

  Args:
    model_dir: the run's folder.
    step: int, the step of the weights.
    scores: the dict of `embedding_judge.Judgement`.
    info: the `DatasetInfo` of the images.

  Returns:
    The dict written: dataset, step, and the scores, null where not defined.
  """
  plain = {
    name: _plain(value) if isinstance(value, float) else value
    for name, value in scores.items()
  }
  result = {'dataset': info.name, 'step': int(step), **plain}
  write_json(os.path.join(model_dir, EMBEDDING), result)
  return result


def read(model_dir):
  """The dict of the last `write`, or None."""
  return read_json(os.path.join(model_dir, FILE))


def read_json(path):
  """What a JSON file holds; None if there is no such file."""
  if not os.path.exists(path):
    return None
  try:
    with open(path, encoding='utf-8') as f:
      return json.load(f)
  except ValueError as error:
    raise errors.DataError(
      f'{path} is damaged ({error}): delete it, and what needs it will be made '
      'again.'
    ) from error


def as_json(value):
  """A value as it comes back from a JSON file, to compare with one."""
  return json.loads(json.dumps(value))


def write_text(path, text):
  """Writes a file in one piece; a reader never sees half of it."""
  write_bytes(path, text.encode())


def write_bytes(path, content):
  """Writes bytes in one piece."""
  os.makedirs(os.path.dirname(path) or '.', exist_ok=True)
  # Two processes may write the same file: the later one stays.
  temporary = f'{path}.{os.getpid()}.tmp'
  with open(temporary, 'wb') as f:
    f.write(content)
  os.replace(temporary, path)


def write_json(path, value):
  """Writes JSON in one piece."""
  write_text(path, json.dumps(value, indent=1) + '\n')


def is_done(model_dir):
  """Whether the run in this folder has reached its end."""
  return os.path.exists(os.path.join(model_dir, DONE))


def write_done(model_dir, steps):
  """Marks a run as complete."""
  write_text(os.path.join(model_dir, DONE), f'{steps}\n')


def steps_of(model_dir):
  """How many steps a complete run has made: the number in DONE."""
  with open(os.path.join(model_dir, DONE), encoding='utf-8') as f:
    return int(f.read())


def table(columns, rows):
  """A plain text table; the first column is left, the others right aligned.

  Args:
    columns: headings.
    rows: lists of strings.

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


def percent(value):
  """'61.2' for 0.612, 'n/a' for None (a class that is absent)."""
  return 'n/a' if value is None else f'{100 * value:.1f}'


def per_class_table(result):
  """The table of one evaluation: a line per class, the means, the categories.

  Args:
    result: the dict of `write` or `read`.

  Returns:
    The text, without a newline at its end.
  """
  columns = {'IoU %': ('iou', 'miou')}
  if 'accuracy' in result:
    columns['accuracy %'] = ('accuracy', 'mean_accuracy')
  if 'trimap_iou' in result:
    heading = f'IoU % within {result["trimap_width"]} px'
    columns[heading] = ('trimap_iou', 'trimap_miou')
  rows = [
    [name, *(percent(result[key][name]) for key, _ in columns.values())]
    for name in result['iou']
  ]
  means = [percent(result[mean]) for _, mean in columns.values()]
  rows.append(['mean (mIoU)', *means])
  rows.append(_line('pixel accuracy', result['pixel_accuracy'], columns))
  if 'frequency_weighted_iou' in result:
    value = result['frequency_weighted_iou']
    rows.append(_line('frequency-weighted IoU', value, columns))
  text = table(['class', *columns], rows)
  if 'category_iou' in result:
    text += '\n\n' + _category_table(result)
  return text


def _line(name, value, columns):
  """A row that has one number only, in the first column of numbers."""
  return [name, percent(value), *[''] * (len(columns) - 1)]


def _category_table(result):
  rows = [[name, percent(x)] for name, x in result['category_iou'].items()]
  rows.append(['mean', percent(result['category_miou'])])
  return table(['category', 'IoU %'], rows)


def _storable(value, info):
  """What JSON can hold; an array with a number per class, by class name."""
  if isinstance(value, float):
    return _plain(value)
  if hasattr(value, 'shape'):
    return _by_class(value, info)
  if isinstance(value, dict):
    return {key: _storable(x, info) for key, x in value.items()}
  return value


def _by_class(values, info):
  return dict(zip(info.class_names, map(_plain, values), strict=True))


def embedding_table(result):
  """The table of what `write_embedding` wrote."""

  def of(part):
    return f'{result[f"{part}_pixels"]} px of {result[f"{part}_images"]} images'

  rows = [
    [f'similarity {where} classes', _hundredths(result[f'{where}_similarity'])]
    for where in ('within', 'between')
  ]
  rows += [
    ['nearest neighbours, mIoU %', percent(result['knn_miou'])],
    ['linear probe, mIoU %', percent(result['probe_miou'])],
    ['fitted to', of('fit')],
    ['judged on', of('judged')],
  ]
  return table(['embedding', ''], rows)


def _hundredths(value):
  return 'n/a' if value is None else f'{value:.2f}'


def _plain(value):
  value = float(value)
  return value if math.isfinite(value) else None
