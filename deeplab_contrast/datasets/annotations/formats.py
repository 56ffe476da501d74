"""The annotation formats that are read, and which of them a folder has."""

import dataclasses
import functools
import posixpath
from collections.abc import Callable
from typing import NamedTuple

from deeplab_contrast.datasets.annotations import (
  class_files,
  coco,
  cvat_xml,
  label_studio,
  label_studio_png,
  labelme,
  splits,
  supervisely,
  yolo,
)
from deeplab_contrast.datasets.annotations.annotated import Annotated, merged
from deeplab_contrast.datasets.annotations.tree import Tree
from deeplab_contrast.utils import errors

# How many JSON files are looked into.
_MOST_SAMPLED = 6


class Format(NamedTuple):
  """A format.

  Attributes:
    title: what to call it.
    files: the files with annotations in a tree, if they are of this format.
    read: reads them.
  """

  title: str
  files: Callable[[Tree], tuple[str, ...]]
  read: Callable[[Tree, tuple[str, ...]], Annotated]


def _json_files(module):
  def files(tree):
    return tree.jsons if module.is_one(_sample(tree, module.is_one)) else ()

  return files


def _sample(tree, is_one):
  """The first value of a few JSON files that is one, or None."""
  step = max(1, len(tree.jsons) // _MOST_SAMPLED)
  values = (tree.json(file) for file in tree.jsons[::step])
  return next(filter(is_one, values), None)


FORMATS = {
  'coco': Format('COCO', _json_files(coco), coco.read),
  'cvat': Format('CVAT for images 1.1', cvat_xml.files_of, cvat_xml.read),
  'labelme': Format('labelme', _json_files(labelme), labelme.read),
  'label_studio': Format(
    'Label Studio', _json_files(label_studio), label_studio.read
  ),
  'supervisely': Format(
    'Supervisely', _json_files(supervisely), supervisely.read
  ),
  'label_studio_png': Format(
    'Label Studio PNG', label_studio_png.files_of, label_studio_png.read
  ),
  'yolo': Format('YOLO segmentation', yolo.files_of, yolo.read),
  'class_masks': Format(
    'one mask per class', class_files.files_of, class_files.read
  ),
}


# Which pairs images by a rule that must be stated.
BY_ORDER = 'label_studio_png'

# Whose labels are layered in the order of the classes.
LAYERED = (BY_ORDER, 'class_masks')


def recognise(tree: Tree) -> str | None:
  """The name of the format of the annotations in a folder, or None.

  Raises:
    DataError: files are damaged.
  """
  return next((n for n, f in FORMATS.items() if f.files(tree)), None)


def read(name: str, tree: Tree) -> Annotated:
  """Reads the annotations of a format.

  Raises:
    DataError: there are none, none that cover pixels, or several of the same
      work; or they are damaged.
  """
  return _read(name, tree.state())


@functools.lru_cache(2)  # A command needs them several times.
def _read(name, state):
  tree = Tree(state[0])
  about = FORMATS[name]
  files = about.files(tree)
  found = about.read(tree, files) if files else None
  if not found or not found.images:
    raise errors.DataError(
      f'{tree.root} has no annotations of {about.title}: export them there, or '
      'correct "masks" in dataset.json.'
    )
  if not any(tree.has(one.image) for one in found.images):
    name = posixpath.basename(found.images[0].image)
    raise errors.DataError(
      f'{tree.root} has annotations of {about.title} for {len(found.images)} '
      f'images such as {name}, but none of these images: put them there.'
    )
  _check_shapes(tree, found, about.title)
  images = (
    dataclasses.replace(one, split=one.split or splits.of_path(one.source))
    for one in found.images
  )
  return dataclasses.replace(found, images=merged(images))


def _check_shapes(tree, found, title):
  if any(image.shapes for image in found.images):
    return
  kinds = ', '.join(
    f'{n} x {k}' for k, n in sorted(found.left_out.items()) if n
  )
  but = f', only what is left out ({kinds})' if kinds else ''
  raise errors.DataError(
    f'{tree.root} has annotations of {title}, but no shapes that cover pixels'
    f'{but}: draw polygons or masks, and export them.'
  )
