"""What a run leaves behind: the numbers of its evaluation, and DONE."""

import json
import math
import os

FILE = os.path.join('eval', 'results.json')
EMBEDDING = os.path.join('embedding', 'results.json')
DONE = 'DONE'


def write(model_dir, step, scores, info):
  """Writes `model_dir/eval/results.json`, in one piece.

  Args:
    model_dir: the run's folder.
    step: int, the step of the weights.
    scores: the dict of `Evaluator.evaluate`.
    info: the split's `DatasetInfo`.

  Returns:
    The dict written: dataset, step, miou, pixel_accuracy, pixels, iou (by class
    name, null where a class is absent), colors (by class name), matrix.
  """
  iou = dict(zip(info.class_names, map(_plain, scores['iou']), strict=True))
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
  path = os.path.join(model_dir, FILE)
  if not os.path.exists(path):
    return None
  with open(path, encoding='utf-8') as f:
    return json.load(f)


def write_text(path, text):
  """Writes a file in one piece; a reader never sees half of it."""
  os.makedirs(os.path.dirname(path) or '.', exist_ok=True)
  temporary = path + '.tmp'
  with open(temporary, 'w', encoding='utf-8') as f:
    f.write(text)
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
  """The table of one evaluation, a line per class and the mean."""
  rows = [[name, percent(iou)] for name, iou in result['iou'].items()]
  rows.append(['mean (mIoU)', percent(result['miou'])])
  rows.append(['pixel accuracy', percent(result['pixel_accuracy'])])
  return table(['class', 'IoU %'], rows)


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
