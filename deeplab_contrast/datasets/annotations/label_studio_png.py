"""Label Studio's PNGs: one black and white mask for each task and label.

Their names hold the number of the task, but not the name of the image: so tasks
go with the images in the order of both, if the description says so. Labels that
come later in `classes` are above.
"""

import collections
import posixpath
import re

from deeplab_contrast.datasets.annotations import bitmaps, splits
from deeplab_contrast.datasets.annotations.annotated import (
  Annotated,
  Annotation,
  label,
  unique,
)
from deeplab_contrast.datasets.annotations.tree import Tree
from deeplab_contrast.datasets.raw import file_pairs
from deeplab_contrast.utils import errors

_NAME = re.compile(
  r'task-(\d+)-annotation-(\d+)-by-.*?-tag-(.+)-(\d+)\.png', re.IGNORECASE
)


def files_of(tree: Tree) -> tuple[str, ...]:
  """The masks, if any."""
  return tuple(f for f in tree.images if _NAME.fullmatch(posixpath.basename(f)))


def read(tree: Tree, files: tuple[str, ...]) -> Annotated:
  """Pairs tasks and images by their order.

  Raises:
    DataError: there is another number of images.
  """
  left_out: collections.Counter[str] = collections.Counter()
  tasks: dict[int, dict[int, list]] = {}
  for file in files:
    ((task, annotation, name, number),) = _NAME.findall(
      posixpath.basename(file)
    )
    of_task = tasks.setdefault(int(task), {})
    of_task.setdefault(int(annotation), []).append(
      (label(name), int(number), file)
    )
  images = [f for f in tree.images if f not in set(files)]
  if len(images) != len(tasks):
    raise errors.DataError(
      f'{tree.root} has masks of {len(tasks)} tasks, but {len(images)} images, '
      'so they cannot be paired by their order: put the JSON export of the '
      'project there, which has the names of the images.'
    )
  images.sort(key=lambda file: file_pairs.natural((file, tree.path(file))))
  found = []
  for image, (_, several) in zip(images, sorted(tasks.items()), strict=True):
    left_out['annotation besides that of another person'] += len(several) - 1
    drawn = [
      (name, bitmaps.MaskFile(tree.path(file)))
      for name, _, file in sorted(several[max(several)])
    ]
    source = several[max(several)][0][2]
    split = splits.of_path(image)
    found.append(Annotation(image, source, split, None, tuple(drawn)))
  names = unique(sorted({name for one in found for name, _ in one.shapes}))
  return Annotated(tuple(found), names, left_out)
