"""The costs of an experiment's network: weights, operations, map sizes."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from deeplab_contrast.core.network import costs

_CONVENTION = (
  'FLOPs: convolutions and matrix products of one image, forward; a '
  'multiply-add counts as 2.'
)


def summarize(
  experiment: Any, strategy: tf.distribute.Strategy
) -> dict[str, Any]:
  """Summarizes the network of an experiment.

  Args:
    experiment: an `Experiment`.
    strategy: the strategy it was built under.

  Returns:
    A dict of plain values:
    `network`: names of backbone and head, `output_stride`, `precision`;
    `parameters`: {part: {'trainable', 'fixed', 'bytes'}} and their 'total';
    `passes`: {'training', 'evaluation' (for scales other than 1, 'evaluation
    at scale 0.5'): {'size', 'flops', 'feature_maps', 'atrous_rates',
    'receptive_field'}}, without sizes that depend on the data; `notes`: lines,
    the first one the source of the weights.
  """
  model = experiment.model
  with strategy.scope():
    model.build_variables()
  sizes = {'training': (experiment.crop_size, 1.0)}
  notes = [experiment.weights_note]
  notes += [experiment.crop_note] if experiment.crop_note else []
  if experiment.classifies and experiment.eval_source is not None:
    size = experiment.evaluator.crop_size
    for scale in experiment.evaluator.predictor.scales:
      at = '' if scale == 1.0 else f' at scale {scale}'
      sizes[f'evaluation{at}'] = size, scale
    if size is None:
      notes.append(
        'Note: Evaluator.crop_size is None, so the evaluation uses the size of '
        'the largest image, which is unknown until the data are read.'
      )
  passes = {
    name: _flat(dataclasses.asdict(costs.one_pass(model, size, scale)))
    for name, (size, scale) in sizes.items()
    if size is not None
  }
  return {
    'network': {
      'backbone': model.trunk.backbone.name,
      'head': model.head.name,
      'output_stride': model.trunk.backbone.output_stride,
      'precision': model.dtype_policy.name,
    },
    'parameters': _with_total(costs.weights(model)),
    'passes': passes,
    'notes': notes,
  }


def _flat(one_pass):
  return {**one_pass, 'flops': _with_sum(one_pass['flops'])}


def _with_sum(values):
  return {**values, 'total': sum(values.values())}


def _with_total(rows):
  keys = next(iter(rows.values()))
  total = {key: sum(row[key] for row in rows.values()) for key in keys}
  return {**rows, 'total': total}


def text(summary: Mapping[str, Any]) -> str:
  """The summary as text for a terminal."""
  network = summary['network']
  blocks = [
    f'{network["backbone"]}, output stride {network["output_stride"]}, head '
    f'{network["head"]}, {network["precision"]}',
    _parameters(summary['parameters']),
    *(_pass(name, one) for name, one in summary['passes'].items()),
    '\n'.join([*summary['notes'], _CONVENTION]),
  ]
  return '\n\n'.join(blocks)


def _parameters(rows):
  lines = [f'{"part":<12}{"trainable":>14}{"fixed":>12}{"MiB":>9}']
  lines += [
    f'{name:<12}{row["trainable"]:>14,}{row["fixed"]:>12,}'
    f'{row["bytes"] / 2**20:>9.2f}'
    for name, row in rows.items()
  ]
  return '\n'.join(lines)


def _pass(name, one):
  """The costs of an image of one size, and the sizes of its maps."""
  height, width = one['size']
  lines = [f'{name}, {height} x {width}']
  lines += [
    f'  {part:<14}{flops / 1e9:>12.3f} GFLOPs'
    for part, flops in one['flops'].items()
  ]
  for stop in one['feature_maps']:
    size = ' x '.join(map(str, stop['size']))
    lines.append(f'  {stop["name"]:<14}stride {stop["stride"]:>2}   {size}')
  for part, rates in one['atrous_rates'].items():
    lines.append(f'  atrous rates of {part}: {", ".join(map(str, rates))}')
  field = one['receptive_field']
  seen = 'the whole image' if field is None else f'{field} x {field} pixels'
  lines.append(f'  a pixel of the backbone sees {seen}')
  return '\n'.join(lines)
