"""The model card of an exported model: what it is, and how it was made.

It depends on the run's folder and the export alone, not on the time or the
machine: the same run gives the same card.
"""

import dataclasses
import os
import platform
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from deeplab_contrast.config import run_folder
from deeplab_contrast.utils import (
  files,
  provenance,
  results,
  run_files,
  tables,
)

FILE = 'model_card.md'

_TRAINER = 'deeplab_contrast.training.trainer.Trainer'
_EXPERIMENT = 'deeplab_contrast.experiment.Experiment'
_WARM_START = 'deeplab_contrast.training.checkpoints.WarmStart'

_USE = """\
Semantic segmentation of images like those it was trained on: every pixel gets
one of the classes above. Pixels of anything else get one of these classes too;
there is no class for unknown things.

The network is as good as its data and as biased: its numbers hold for the
evaluation split named above and say nothing about other cameras, places,
seasons or people. It was not made for, and has not been tested in, decisions
about the safety or the rights of people."""


@dataclasses.dataclass(frozen=True)
class Export:
  """The facts of an export.

  Attributes:
    format: 'saved_model', 'tflite' or 'onnx'.
    precision: precision of the computation.
    step: step of the weights.
    averaged: whether they are moving averages.
    parameters: number of weights of the network.
    folded: number of batch norms folded into convolutions.
    scales: scales of the predictor.
    flip: flip setting of the predictor.
    tile_size: tile size of the predictor.
    crop_size: (height, width) that smaller images are padded to.
    input_size: (height, width) of all images, or None for any.
    licence: licence of the weights, as given.
  """

  format: str
  precision: str
  step: int
  averaged: bool
  parameters: int
  folded: int
  scales: Sequence[float]
  flip: bool
  tile_size: int | None
  crop_size: tuple[int, int]
  input_size: tuple[int, int] | None
  licence: str


def text(model_dir: str, info: Any, export: Export) -> str:
  """Writes the page.

  Args:
    model_dir: the run's folder.
    info: the `DatasetInfo` of the classes.
    export: an `Export`.

  Returns:
    Markdown.
  """
  sections = {
    'Classes': ', '.join(info.class_names),
    'Data': _data(os.path.join(model_dir, run_files.DATA)),
    'Recipe': _recipe(lineage(model_dir), export),
    'Metrics': _metrics(results.read(model_dir), export),
    'Use and limits': _USE,
    'Input and output': _signature(info, export),
    'Versions': _versions(),
    'Licence': _licence(lineage(model_dir), export),
  }
  body = '\n\n'.join(f'## {name}\n\n{text}' for name, text in sections.items())
  return f'# Segmentation of {info.name}\n\n{body}\n'


def lineage(model_dir: str) -> list[dict[str, Any]]:
  """The trainings that led to a run, the first one first.

  Args:
    model_dir: the run's folder.

  Returns:
    A list of dicts: 'path', 'steps', 'task', 'starts_from' (a path or None),
    'origin' (of the pretrained weights it started from, a dict or None).
    Folders that do not exist (any more) have only a 'path'.
  """
  chain: list[dict[str, Any]] = []
  path: str | None = model_dir
  while path is not None and path not in [link['path'] for link in chain]:
    link = _link(path)
    chain.insert(0, link)
    path = link.get('starts_from')
  return chain


def _link(path):
  config = os.path.join(path, run_files.CONFIG)
  if not os.path.isfile(config):
    return {'path': path}
  with open(config, encoding='utf-8') as file:
    bound = run_folder.parameters(file.read())
  task = bound.get((_EXPERIMENT, 'task'))
  return {
    'path': path,
    'steps': bound.get((_TRAINER, 'steps')),
    'task': getattr(task, 'selector', '?').rpartition('.')[2],
    'starts_from': bound.get((_WARM_START, 'path')),
    'origin': files.read_json(os.path.join(path, run_files.ORIGIN), dict),
  }


def _data(path):
  data = files.read_json(path, dict)
  if data is None:
    return 'Unknown: the run has no data.json (converted weights have none).'
  with files.as_expected(path):
    rows = [
      [role, name, str(fingerprint), str(of['examples']), str(of['ids'])]
      for role, of in sorted(data.items(), reverse=True)
      for name, fingerprint in sorted(of['datasets'].items())
    ]
  return _table(
    ['part', 'dataset', 'fingerprint', 'labelled images', 'digest of ids'], rows
  )


def _recipe(chain, export):
  lines = []
  for number, link in enumerate(chain, start=1):
    name = os.path.basename(os.path.normpath(link['path']))
    if 'steps' in link:
      lines.append(f'{number}. `{name}`: {link["task"]}, {link["steps"]} steps')
      if link['origin']:
        lines[-1] += f', from {_origin(link["origin"])}'
    else:
      lines.append(f'{number}. `{name}`: not found at the time of the export')
  weights = 'moving averages of the weights' if export.averaged else 'weights'
  lines.append(f'\nExported: {weights} at step {export.step}.')
  return '\n'.join(lines)


def _licence(chain, export):
  origins = [link['origin'] for link in chain if link.get('origin')]
  began = [
    f' Its backbone started from {origin["weights"]}, licence '
    f'{origin.get("licence", "unknown")}.'
    for origin in origins
  ]
  return (
    f'Weights: {export.licence}.{"".join(began)} The code that made them: '
    'Apache 2.0. The licence of the training images is that of their dataset.'
  )


def _origin(origin):
  """What `origin.json` says, in one line."""
  first, *rest = origin.items()
  inside = ', '.join(f'{key} {value}' for key, value in rest)
  return f'{first[1]} ({inside})' if rest else first[1]


def _metrics(scores, export):
  if scores is None:
    return 'Not measured: the run has no eval/results.json.'
  rows = [[name, tables.percent(iou)] for name, iou in scores['iou'].items()]
  rows.append(['mean (mIoU)', tables.percent(scores['miou'])])
  rows.append(['pixel accuracy', tables.percent(scores['pixel_accuracy'])])
  how = scores.get('judged_by', {})
  limit = how.get('limit')
  split = f'Split {how["split"]}' if how else 'Evaluation split'
  note = f'{split} of {scores["dataset"]}'
  note += f' (its first {limit} images)' if limit else ''
  note += f', step {scores["step"]}'
  if scores['step'] != export.step:
    note += f' (**not** the exported weights, which are of step {export.step})'
  if how and _passes(how) != _passes(vars(export)):
    note += f' (**not** predicted as the export does, but {_passes(how)})'
  return f'{note}, in percent.\n\n{_table(["class", "IoU"], rows)}'


def _passes(predictor):
  """The passes of a predictor, given as a dict."""
  scales = ', '.join(map(str, predictor['scales']))
  flipped = 'with a mirrored copy' if predictor['flip'] else 'not mirrored'
  tile = predictor.get('tile_size')
  tiles = f'; by tiles of {tile} x {tile}' if tile else ''
  return f'at scales {scales}; {flipped}{tiles}'


def _signature(info, export):
  size = export.input_size or ('height', 'width')
  shape = f'{size[0]}, {size[1]}'
  batch = 'batch' if export.input_size is None else 1
  rows = [
    ['`ImageTensor`', 'in', 'uint8', f'[{batch}, {shape}, 3], RGB'],
    ['`SemanticPredictions`', 'out', 'int32', f'[{batch}, {shape}], class ids'],
    [
      '`SemanticProbabilities`',
      'out',
      'float32',
      f'[{batch}, {shape}, {info.num_classes}]',
    ],
  ]
  facts = [
    f'Format: {export.format}, computed in {export.precision}; '
    f'{export.parameters:,} weights; {export.folded} batch norms folded into '
    'convolutions.',
    f'Predicted {_passes(vars(export))}; the mean of probabilities.',
    'The model pads images, at the bottom and the right, with the mean '
    f'pixel, to at least {export.crop_size[0]} x {export.crop_size[1]} (height '
    'x width); outputs are cut to the size of the image.',
    'Decode JPEGs as Pillow and OpenCV do, upright; in TensorFlow with '
    "`tf.io.decode_jpeg(data, 3, dct_method='INTEGER_ACCURATE')`: its default "
    'gives different pixels, and so some different labels.',
  ]
  table = _table(['name', '', 'type', 'shape'], rows)
  return table + '\n\n' + '\n'.join(f'- {fact}' for fact in facts)


def _versions():
  rows = [['python', platform.python_version()]]
  rows += [[m.__name__, m.__version__] for m in (tf, keras, np)]
  rows.append(['commit', provenance.commit()])
  return _table(['what', 'version'], rows)


def _table(columns, rows):
  lines = [columns, ['---'] * len(columns), *rows]
  return '\n'.join('| ' + ' | '.join(line) + ' |' for line in lines)
