"""What happens to every variable on both sides."""

import dataclasses
import re
from collections.abc import Mapping

import numpy as np

from deeplab_contrast.conversion import network, tf1
from deeplab_contrast.utils import errors

AVERAGE = 'ExponentialMovingAverage'
NOT_AVERAGED = 'moving average; --use_averages takes it'
_SHOWN = 20

_SLOTS = re.compile(
  r'(Momentum|Adam|RMSProp|Adagrad|Adadelta|Ftrl|LARSOptimizer)(_\d+)?'
)
_BACKBONE_SCOPE = re.compile(
  r'(resnet_v[12]_\w+|xception_\w+|Mobilenet\w+|pnasnet|hnasnet|nasnet)$'
)


@dataclasses.dataclass(frozen=True)
class Plan:
  """What an import does with each variable.

  Attributes:
    mapped: {our name: the original's}.
    ours_alone: {our name: why it is stored with its initial value}.
    fresh: {our name: why it is not stored}.
    unneeded: {the original's name: why it is left out}.
    parts: those of `network.PARTS` that are converted.
  """

  mapped: Mapping[str, str]
  ours_alone: Mapping[str, str]
  fresh: Mapping[str, str]
  unneeded: Mapping[str, str]
  parts: tuple[str, ...]


def make(
  ours: network.Network, source: tf1.Source, use_averages: bool = False
) -> Plan:
  """Accounts for all variables.

  Args:
    ours: the network to convert to.
    source: the tensors to convert.
    use_averages: takes the moving average of each variable that has one.

  Raises:
    ConfigError: a variable on either side cannot be matched.
  """
  if use_averages and not any(n.endswith('/' + AVERAGE) for n in source.shapes):
    raise errors.ConfigError(
      f'{source.path} has no moving averages; leave out --use_averages.'
    )
  _check_backbone(ours, source)
  mapped, fresh, other_classes = _map(ours, source)
  if use_averages:
    mapped = {n: _averaged(original, source) for n, original in mapped.items()}
  _check_shapes(ours, source, mapped)
  parts = {v.part for v in ours.variables if v.name in mapped}
  return Plan(
    mapped,
    {
      v.name: 'not in the original; keeps its initial value'
      for v in ours.variables
      if v.part in parts and v.name not in mapped
    },
    fresh,
    _account(ours, source, set(mapped.values()), other_classes, use_averages),
    tuple(part for part in network.PARTS if part in parts),
  )


def _map(
  ours: network.Network, source: tf1.Source
) -> tuple[dict[str, str], dict[str, str], bool]:
  """`Plan.mapped`, `Plan.fresh`, and whether the classes differ in number."""
  mapped: dict[str, str] = {}
  fresh: dict[str, str] = {}
  other_classes = False
  for part in network.PARTS:
    variables = [v for v in ours.variables if v.part == part]
    pairs = {v.name: v.original for v in variables if v.original}
    absent = [n for n in pairs.values() if n not in source.shapes]
    if absent and len(absent) < len(pairs):
      _fail(f'{source.path} has only some of the {part} and lacks', absent)
    other = part == 'head' and not absent and _other_classes(variables, source)
    other_classes |= other
    if pairs and not absent and not other:
      mapped |= pairs
    else:
      reason = _why_fresh(part, pairs, variables, source, other)
      fresh |= {v.name: reason for v in variables}
  return mapped, fresh, other_classes


def _averaged(original, source):
  average = f'{original}/{AVERAGE}'
  return average if average in source.shapes else original


def _why_fresh(part, pairs, variables, source, other_classes):
  if other_classes:
    there, here = _classes(variables, source)
    return f'{there} classes in the checkpoint, {here} here; newly initialized'
  if not pairs:
    return f'the original has no counterpart of this {part}; newly initialized'
  return f'no {part} in the checkpoint; newly initialized'


def _classes(variables, source):
  first = next(v for v in variables if v.original)
  return source.shapes[first.original][-1], first.value.shape[-1]


def _other_classes(variables, source):
  """Whether the heads differ in the number of classes, and only in that."""
  if not any(v.original for v in variables):
    return False
  there, here = _classes(variables, source)
  return there != here and all(
    source.shapes[v.original] == (*v.value.shape[:-1], there)
    for v in variables
    if v.original
  )


def _check_backbone(ours, source):
  """Refuses a checkpoint with a different backbone, and says which it has."""
  scope = ours.backbone
  wanted = [v.original for v in ours.variables if v.part == 'backbone']
  if not any(name in source.shapes for name in wanted):
    scopes = sorted({name.split('/')[0] for name in source.shapes})
    found = [s for s in scopes if _BACKBONE_SCOPE.match(s)]
    has = f'the backbone {" and ".join(found)}'
    if not found:
      has = f'no known backbone (it has {", ".join(scopes[:5])})'
    raise errors.ConfigError(
      f'{source.path} has {has}, but the experiment has {scope}; give the gin '
      'file of the same network (gin_configs/models), or set BACKBONE.'
    )
  roots = {
    'one 7x7 convolution': f'{scope}/conv1/weights',
    'three 3x3 convolutions (beta)': f'{scope}/conv1_1/weights',
  }
  there = [k for k, name in roots.items() if name in source.shapes]
  here = [k for k, name in roots.items() if name in wanted]
  if here and there and here != there:
    raise errors.ConfigError(
      f'The root of {scope} in {source.path} is {there[0]}, that of the '
      f'experiment {here[0]}; set BACKBONE to the other variant.'
    )


def _check_shapes(ours, source, mapped):
  """Reports all wrong shapes: the first may not be the most helpful one."""
  wrong = []
  for variable in ours.variables:
    if variable.name not in mapped:
      continue
    name = mapped[variable.name]
    there, here = source.shapes[name], variable.value.shape
    if there != here:
      wrong.append(f'{name} ({there} there, {here} here)')
    elif np.dtype(source.types[name]) != variable.value.dtype:
      kind = np.dtype(source.types[name]).name
      wrong.append(f'{name} ({kind} there, {variable.value.dtype} here)')
  if wrong:
    _fail(f'{source.path} is a different network; they differ in', wrong)


def _account(ours, source, used, other_classes, use_averages):
  """{name: why it is left out} of the rest of the checkpoint."""
  result, unknown = {}, []
  for name in sorted(set(source.shapes) - used):
    reason = _why_unneeded(name, ours)
    if reason is None and use_averages and f'{name}/{AVERAGE}' in used:
      reason = 'its moving average is taken'
    if reason is None and name.startswith('logits/') and other_classes:
      reason = 'a different number of classes'
    if reason is None:
      unknown.append(name)
    result[name] = reason
  if unknown:
    _fail(
      f'{source.path} has variables that the network does not have and that '
      'are not known to be unneeded:',
      unknown,
    )
  return result


def _why_unneeded(name, ours):
  """Why an import does not need a variable; None if it might."""
  last = name.rpartition('/')[2]
  if name == 'global_step':
    return 'number of steps; a run starts at 0'
  if last == AVERAGE:
    return NOT_AVERAGED
  if _SLOTS.fullmatch(last) or re.fullmatch(r'beta[12]_power(_\d+)?', last):
    return 'state of an optimizer'
  if last == 'mean_rgb':
    return 'mean pixel; the network has it'
  scope = ours.backbone
  if name.startswith((f'{scope}/logits/', f'{scope}/Logits/')):
    return 'image classifier'
  if scope == 'MobilenetV2' and name.startswith(f'{scope}/Conv_1/'):
    return 'convolution before the image classifier'
  if name.startswith('logits/') and not ours.classifies:
    return 'classifier; the experiment has a different head'
  return None


def _fail(sentence, names):
  more = len(names) - _SHOWN
  rest = f' and {more} more' if more > 0 else ''
  raise errors.ConfigError(
    f'{sentence} {", ".join(names[:_SHOWN])}{rest} ({len(names)} in all).'
  )
