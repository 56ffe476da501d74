"""Checks what the masks of a dataset mean together.

Each of them may be fine by itself: a palette is wrong next to a different
palette, and 255 is void or white depending on the other masks.
"""

from collections.abc import Mapping
from typing import Any

from deeplab_contrast import common
from deeplab_contrast.datasets.raw import (
  mask_values,
  pair_check,
  palettes,
  raw_pairs,
)
from deeplab_contrast.utils import errors

# Two classes by their ids, and void where 255 is not stated to be a class.
_BINARY = {0: 0, 1: 1, 255: common.IGNORE_LABEL}


def check(
  raw: raw_pairs.RawData, found: Mapping[raw_pairs.Pair, pair_check.Found]
) -> mask_values.Values:
  """Refuses masks that contradict each other, or show nothing to learn.

  Args:
    raw: the dataset.
    found: what was found about its pairs, none with problems.

  Returns:
    What the values in the masks mean: `raw.values`, or the stated colours if
    only these mean the same in all masks, which must then be read again.

  Raises:
    DataError: names the masks and the remedy.
  """
  masks = {
    pair.mask: found[pair]
    for pairs in raw.splits.values()
    for pair in pairs
    if pair.mask is not None
  }
  if raw.values.shown is not None and not _indices_are_ids(raw, masks):
    return mask_values.MaskColors(
      raw.values.shown, 'expected the colours of the classes, as in the others.'
    )
  _check_not_void(raw, found)
  _check_white(raw, masks)
  _check_not_one_class(raw, masks)
  return raw.values


def _check_not_void(raw, found):
  for split, pairs in raw.splits.items():
    labelled = [pair for pair in pairs if pair.mask is not None]
    if labelled and all(found[pair].void == 1 for pair in labelled):
      raise errors.DataError(
        f'All masks of the split {split} of {raw.root} are empty: none has a '
        f'pixel of any class ({labelled[0].mask}, ...). Are they the right '
        'files, and are the ignored values right?'
      )


def _indices_are_ids(raw, masks):
  """Whether each palette index means one class; if not, all colours are stated.

  Raises:
    DataError: neither the indices nor the colours mean one class each.
  """
  shown: dict[int, dict] = {}  # {index: {color: a mask}}
  for path, one in masks.items():
    for index, color in one.palette:
      shown.setdefault(index, {}).setdefault(color, path)
  colors = {color for of_index in shown.values() for color in of_index}
  for index, of_index in sorted(shown.items()):
    if len(of_index) > 1 and colors <= set(raw.values.shown):
      return False
    if len(of_index) > 1:
      raise _palettes_differ(raw.root, index, of_index)
  _check_colors(raw, {i: next(iter(c.items())) for i, c in shown.items()})
  return True


def _palettes_differ(root, index, of_index):
  (one, a), (other, b) = list(of_index.items())[:2]
  return errors.DataError(
    f'The masks of {root} have palettes that differ, so an index is not an id: '
    f'index {index} is {one} in {a} and {other} in {b}; save them with one '
    'palette, or state "masks": "colors" and the colours of "classes" and '
    '"ignored" in the masks.'
  )


def _check_colors(raw, shown):
  """Refuses a shared palette whose colours are those of different classes.

  Args:
    raw: the dataset.
    shown: {index: (color, a mask)}.
  """
  colors = {color for color, _ in shown.values()}
  stated = raw.values.shown
  if colors <= {palettes.BLACK, palettes.WHITE} and not colors <= set(stated):
    ids = {palettes.BLACK: 0, palettes.WHITE: 1}
    stated = {c: raw.values.classes.get(i) for c, i in ids.items()}
  agrees = {
    index: stated[color] == raw.values.classes[index]
    for index, (color, _) in shown.items()
    if color in stated
  }
  wrong = [index for index, fits in sorted(agrees.items()) if not fits]
  # A standard palette may have such a colour by chance, at a different index.
  by_chance = len(agrees) < len(shown) and (
    any(agrees.values()) or len(wrong) < 2
  )
  if wrong and not by_chance:
    color, path = shown[wrong[0]]
    raise errors.DataError(
      f'{path} shows index {wrong[0]} in {color}, the colour of class '
      f'{stated[color]}, but as an id it means class '
      f'{raw.values.classes[wrong[0]]}: if the colours are right, state '
      '"masks": "colors" with the colours of all classes; if the indices are, '
      'state for "classes" the colours of the palette.'
    )


def _check_white(raw, masks):
  """Refuses masks of 0 and 255 among those of 0 and 1: is 255 void?"""
  if raw.values.is_void_stated or raw.values.classes != _BINARY:
    return
  kinds: dict[tuple[bool, bool], Any] = {}
  for path, one in masks.items():
    if one.classes in ((0,), (1,), (0, 1)):
      kinds.setdefault((1 in one.classes, one.void > 0), path)
  ones, whites = kinds.get((True, False)), kinds.get((False, True))
  if ones and whites and (True, True) not in kinds:
    raise errors.DataError(
      f'{whites} has the values 0 and 255, {ones} (a 1-bit file, or grey) has '
      '1, and no mask has both 1 and 255: if 255 is class 1, save all masks as '
      '8-bit grey with 0 and 255, or 1-bit, and state "ids": [0, 255]; if it '
      'is void, state "ignored": [255].'
    )


def _check_not_one_class(raw, masks):
  """Refuses masks of one class, from which a network learns nothing."""
  if len({c for one in masks.values() for c in one.classes}) != 1:
    return
  void = any(one.void for one in masks.values())
  raise errors.DataError(
    f'All {len(masks)} masks of {raw.root} show one and the same class '
    f'{"and void" if void else "everywhere"} ({next(iter(masks))}, ...), so '
    'there is nothing to learn. Are they the right files'
    + (
      ', and is 255, which is void, a class ("ids": [0, 255])?' if void else '?'
    )
  )
