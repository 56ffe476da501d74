"""The images of an annotation tool, with masks to draw."""

import pathlib
import posixpath
from collections.abc import Iterator

from deeplab_contrast import common
from deeplab_contrast.datasets.annotations import formats, splits, tree
from deeplab_contrast.datasets.annotations.annotated import (
  BACKGROUNDS,
  Annotated,
)
from deeplab_contrast.datasets.folder_segmentation import description
from deeplab_contrast.datasets.raw import drawings, raw_pairs
from deeplab_contrast.utils import errors

# {split or None: its pairs}
Pairs = dict[str | None, list[raw_pairs.Pair]]


def pairs(
  folder: pathlib.Path, about: description.Description
) -> tuple[Pairs, list[str]]:
  """Pairs images with drawings.

  Args:
    folder: with the annotations, and with the images anywhere below.
    about: its description.

  Returns:
    (pairs, notes): the pairs of each split that folders or files name; images
    without annotations, which have no mask, under ''; and sentences on what was
    left out.

  Raises:
    DataError: annotations are damaged, or have labels without a meaning.
  """
  if about.masks == formats.BY_ORDER and about.pair_by != 'order':
    raise errors.DataError(
      f"{folder} has Label Studio's masks of one label each, whose names "
      '(task-1-...) hold no image: put the JSON export of the project there, '
      'which has the names and the strokes, and state "masks": "label_studio"; '
      'or state "pair_by": "order" if the tasks are the images in the order of '
      'their names.'
    )
  files = tree.Tree(folder)
  found = formats.read(about.masks, files)
  labels = _labels(folder, found, about)
  result: Pairs = {}
  for one in found.images:
    image = files.path(one.image)
    drawing = drawings.Drawing(
      image,
      files.path(one.source),
      _shapes(one, labels, about),
      background=_background(about),
      size=one.size,
    )
    result.setdefault(one.split, []).append(
      raw_pairs.Pair(one.image, image, drawing)
    )
  rest = _rest(files, found)
  result[''] = [raw_pairs.Pair(i, files.path(i), None) for i in rest]
  return result, list(_notes(found, len(rest), about))


def _shapes(one, labels, about):
  drawn = [(labels[label], shape) for label, shape in one.shapes]
  if about.masks in formats.LAYERED:
    drawn.sort(key=lambda item: item[0])
  return tuple(drawn)


def named(found: list[raw_pairs.Pair]) -> list[raw_pairs.Pair]:
  """The same pairs; ids are the paths below their common folder."""
  if not found:
    return found
  parts = [pair.id.split('/')[:-1] for pair in found]
  shared = len(posixpath.commonprefix(parts))
  return [
    raw_pairs.Pair(
      '/'.join(posixpath.splitext(pair.id)[0].split('/')[shared:]),
      pair.image,
      pair.mask,
    )
    for pair in found
  ]


def _background(about):
  """The class of what no shape covers; void if that is ignored."""
  ignored = {str(label).lower() for label in about.ignored}
  return common.IGNORE_LABEL if ignored & {*BACKGROUNDS} else 0


def _labels(folder, found: Annotated, about) -> dict[str, int]:
  """{label: class id}, checked."""
  labels = {
    **dict.fromkeys(found.void, common.IGNORE_LABEL),
    **about.labels(),
  }
  used = {label for image in found.images for label, _ in image.shapes}
  unknown = sorted(used - set(labels))
  if unknown:
    raise errors.DataError(
      f'{folder} has the labels {", ".join(map(repr, unknown[:12]))}, which '
      'dataset.json does not name: add them to "classes", give one class '
      'several labels ("ids": ["background", ["cup", "mug"]]), or put them '
      'into "ignored".'
    )
  first = {label for label, number in labels.items() if number == 0}
  if first & used and not {label.lower() for label in first} & {*BACKGROUNDS}:
    raise errors.DataError(
      f'{folder} has shapes of {sorted(first & used)[0]!r}, but the first of '
      '"classes" is what no shape covers: put "background" before it.'
    )
  return labels


def _rest(files, found) -> list[str]:
  """Images in the same folders that nobody annotated."""
  known = {one.image for one in found.images}
  folders = {posixpath.dirname(image) for image in known}
  return [
    i
    for i in files.images
    if i not in known and posixpath.dirname(i) in folders
  ]


def _notes(found, rest, about) -> Iterator[str]:
  for kind, count in sorted(found.left_out.items()):
    if count:
      yield f'left out: {count} x {kind}.'
  if rest and about.of_missing is None and not about.unlabelled:
    yield (
      f'left out: {rest} images without annotation (state "missing_mask": '
      '"background" if nothing is on them, or "unlabelled": ["extra"]).'
    )


def split_of(pair: raw_pairs.Pair) -> str | None:
  """The split that the folders of an image name."""
  return splits.of_path(pair.id)
