"""What the values, colours or labels of own masks mean, and their checks."""

from collections.abc import Mapping, Sequence
from typing import Any

from deeplab_contrast import common
from deeplab_contrast.datasets.raw import mask_values
from deeplab_contrast.imaging import images
from deeplab_contrast.utils import errors

# Kinds of masks: files of ids or of colours; all others are annotation formats.
FILES = ('ids', 'colors')

# In place of the name of the class that shapes leave, or the first one.
BACKGROUND = 'background'
VOID = 'void'


def classes_of(stated: Sequence[Any], name: str) -> list[tuple[str, list]]:
  """(class name, its colours) of each class: names alone have no colour.

  Args:
    stated: names, or (name, colour) or (name, colours) pairs.
    name: of the dataset, for messages.

  Raises:
    ConfigError: they are anything else.
  """
  if all(isinstance(one, str) for one in stated):
    return [(one, []) for one in stated]
  if not all(isinstance(p, (list, tuple)) and len(p) == 2 for p in stated):
    raise wrong(name, 'has classes that are not pairs of a name and a colour')
  return [
    (
      one,
      [color(c, one) for c in colors]
      if _is_list_of_lists(colors)
      else [color(colors, one)],
    )
    for one, colors in stated
  ]


def values_of(
  name: str,
  masks: str,
  classes: Sequence[tuple[str, Sequence[mask_values.Color]]],
  ids: Sequence[Any] | None,
  ignored: Sequence[Any],
) -> dict[Any, int]:
  """{value, colour or label in the masks: class id or IGNORE_LABEL}.

  Args:
    name: of the dataset.
    masks: 'ids', 'colors' or an annotation format, whose values are labels.
    classes: (name, colours) of each class.
    ids: of each class, its value or a list of its values; None for the default.
    ignored: values that are not a class.

  Raises:
    ConfigError: a value is of the wrong kind, or has two meanings.
  """
  if ids is None:
    own: list[Any] = [_default(masks, i, *one) for i, one in enumerate(classes)]
  else:
    own = [_several(value, masks) for value in ids]
  if len(own) != len(classes):
    raise wrong(
      name,
      f'has {len(classes)} classes but {len(own)} ids: give one for each class '
      '(or a list of several)',
    )
  check = {'ids': _check_id, 'colors': color}.get(masks, _check_label)
  void = [check(value, name) for value in ignored]
  meant: dict[Any, int] = {}
  for label, several in enumerate(own):
    for value in several:
      value = check(value, name)
      if meant.setdefault(value, label) != label:
        raise wrong(
          name,
          'has two classes with the same value or colour in the masks, '
          f'{value}',
        )
      if value in void:
        raise wrong(name, f'ignores {value}, which is also a class')
  if masks == 'ids' and common.IGNORE_LABEL not in meant:
    void.append(common.IGNORE_LABEL)
  return {**dict.fromkeys(void, common.IGNORE_LABEL), **meant}


def class_id(meant: str, names: Sequence[str]) -> int | None:
  """The class that a text means: its name, 'background' or 'void'."""
  if meant in names:
    return names.index(meant)
  return {BACKGROUND: 0, VOID: common.IGNORE_LABEL}.get(meant)


def display_colors(
  classes: Sequence[tuple[str, Sequence[mask_values.Color]]],
) -> tuple[mask_values.Color, ...]:
  """A colour to draw each class in: its first, or that of PASCAL VOC."""
  names = images.voc_colormap(len(classes))
  return tuple(
    colors[0] if colors else own
    for (_, colors), own in zip(classes, names, strict=True)
  )


def shown(
  classes: Sequence[tuple[str, Sequence[mask_values.Color]]],
) -> Mapping[mask_values.Color, int]:
  """The class of each colour that is stated for one class only."""
  stated = [(c, i) for i, (_, colors) in enumerate(classes) for c in colors]
  colors = [c for c, _ in stated]
  return {c: i for c, i in stated if colors.count(c) == 1}


def color(value: Any, name: str) -> mask_values.Color:
  """A colour, checked; raises ConfigError."""
  if not isinstance(value, Sequence) or not all(type(v) is int for v in value):
    raise errors.ConfigError(
      f'The colour of {name!r} is {value!r}: give three numbers from 0 to 255.'
    )
  return tuple(value)  # type: ignore[return-value]


def wrong(name: str, what: str) -> errors.ConfigError:
  """A sentence about a description."""
  return errors.ConfigError(f'Dataset {name!r} {what}.')


def ranges(values: Sequence[int]) -> str:
  """'0 to 11 and 255' for the numbers 0, ..., 11, 255."""
  runs: list[list[int]] = []
  for value in sorted(values):
    if runs and value == runs[-1][1] + 1:
      runs[-1][1] = value
    else:
      runs.append([value, value])
  texts = [str(a) if a == b else f'{a} to {b}' for a, b in runs]
  return ' and '.join(filter(None, [', '.join(texts[:-1]), texts[-1]]))


def _default(masks, index, name, colors):
  return {'ids': [index], 'colors': colors}.get(masks, [name])


def _several(value, masks):
  """The values of one class, which may be a single one."""
  if masks == 'colors':
    return list(value) if _is_list_of_lists(value) else [value]
  return list(value) if isinstance(value, (list, tuple)) else [value]


def _is_list_of_lists(value):
  return (
    isinstance(value, (list, tuple))
    and bool(value)
    and all(isinstance(v, (list, tuple)) for v in value)
  )


def _check_id(value, name):
  if type(value) is not int or not 0 <= value <= 255:
    raise wrong(
      name,
      f'has the mask value {value!r}: give whole numbers from 0 to 255 (or '
      'state "masks": "colors")',
    )
  return value


def _check_label(value, name):
  if not isinstance(value, str) or not value.strip():
    raise wrong(name, f'has the label {value!r}: give a text')
  return value
