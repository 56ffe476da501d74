"""The files that the test servers of datasets expect, and their check.

PASCAL VOC: the development kit, section "results/.../comp6_test_cls".
Cityscapes: cityscapesScripts, evaluation/evalPixelLevelSemanticLabeling.py.
"""

import dataclasses
import os
import pathlib
import tempfile
from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image

from deeplab_contrast.datasets import info as dataset_info
from deeplab_contrast.datasets.cityscapes_segmentation import (
  cityscapes_segmentation_dataset_builder as cityscapes,
)
from deeplab_contrast.datasets.raw import archives
from deeplab_contrast.datasets.sources import id_list
from deeplab_contrast.datasets.voc2012_segmentation import (
  voc2012_segmentation_dataset_builder as voc,
)
from deeplab_contrast.imaging import images, masks
from deeplab_contrast.utils import errors

# Of VOC: trained on VOC alone, or on other data too.
COMPETITIONS = ('comp5', 'comp6')

_MOST_SHOWN = 20


@dataclasses.dataclass(frozen=True)
class Server:
  """The files that one test server expects.

  Attributes:
    folder: folder of the files in the archive; '' is its top.
    ending: end of their names, after the id of the image.
    archive: the ending of its name.
    values: the value of class i in the files.
    colors: colours of the palette, by value; None for grey files.
    any_name: whether any folder, and any ending after the id, is accepted.
    hint: the likely cause of other values.
  """

  folder: str
  ending: str
  archive: str
  values: tuple[int, ...]
  colors: tuple[tuple[int, int, int], ...] | None
  any_name: bool
  hint: str

  def name_of(self, image_id: str) -> str:
    """The path of an image's file in the archive, with / between folders."""
    return '/'.join(filter(None, [self.folder, image_id + self.ending]))

  def write(self, path: str, prediction: np.ndarray) -> None:
    """Writes one file atomically.

    Args:
      path: where to.
      prediction: int [height, width], classes.
    """
    values = np.array(self.values, np.uint8)[prediction]
    if self.colors is None:
      images.write_grey_png(path, values)
    else:
      images.write_palette_png(path, values, self.colors)

  def fault_of(
    self, path: str | os.PathLike, size: Sequence[int]
  ) -> str | None:
    """What is wrong with a file: a phrase, or None.

    Args:
      path: path of the file.
      size: (height, width) of its image.
    """
    try:
      values = masks.read_ids(path, may_be_color=False)
    except errors.DataError as error:
      return str(error)
    with Image.open(path) as picture:
      kind, mode = picture.format, picture.mode
    if kind != 'PNG':
      return f'{path} is {kind}, not PNG'
    if self.colors is not None and mode != 'P':
      return f'{path} has no palette (its mode is {mode})'
    if values.shape != tuple(size):
      have, want = (f'{h} x {w}' for h, w in (values.shape, size))
      return f'{path} is {have}, but its image {want} (height x width)'
    wrong = sorted(set(np.unique(values).tolist()) - set(self.values))
    if wrong:
      return f'{path} has the ids {wrong}: {self.hint}'
    return None


def of_dataset(
  info: dataset_info.DatasetInfo, competition: str = 'comp6'
) -> Server:
  """The test server of a dataset.

  Args:
    info: its `DatasetInfo`.
    competition: one of COMPETITIONS; for VOC only.

  Raises:
    ConfigError: none is known for it.
  """
  if info.name == 'voc2012':
    return Server(
      folder=f'results/VOC2012/Segmentation/{competition}_test_cls',
      ending='.png',
      archive='.tgz',
      values=tuple(range(voc.NUM_CLASSES)),
      colors=images.voc_colormap(256),
      any_name=False,
      hint='the server accepts the classes 0 to 20, but not void (255).',
    )
  if info.name == 'cityscapes':
    return Server(
      folder='',
      ending='_pred_labelIds.png',
      archive='.zip',
      values=cityscapes.LABEL_IDS,
      colors=None,
      any_name=True,
      hint='the server expects label ids (7, 8, 11, ...), not train ids.',
    )
  raise errors.ConfigError(
    f'No test server is known for the dataset {info.name}, only for voc2012 '
    'and cityscapes.'
  )


def check(
  server: Server, path: str, sizes: Mapping[str, tuple[int, int]]
) -> int:
  """Checks a submission: all files, no others, right sizes, right ids.

  Args:
    server: a `Server`.
    path: the archive, or the folder that it is made from; for VOC also the
      folder with the PNGs.
    sizes: {id: (height, width)} of the images.

  Returns:
    The number of files.

  Raises:
    DataError: names everything that is wrong with it.
  """
  if os.path.isdir(path):
    root = pathlib.Path(path)
    # The folder may be the one with the PNGs.
    is_inner = server.folder and not (root / server.folder).is_dir()
    faults = _faults(server, root, '' if is_inner else server.folder, sizes)
  else:
    with tempfile.TemporaryDirectory() as folder:
      archives.extract(path, folder)
      faults = _faults(server, pathlib.Path(folder), server.folder, sizes)
      # With the names in the archive.
      faults = [fault.replace(f'{folder}/', '') for fault in faults]
  if faults:
    lines = faults[:_MOST_SHOWN]
    more = len(faults) - len(lines)
    raise errors.DataError(
      f'{path} would be refused, with {len(faults)} faults to fix:\n  '
      + '\n  '.join([*lines, *([f'and {more} more'] if more else [])])
    )
  return len(sizes)


def _faults(server, root, folder, sizes):
  """Sentences about all faults below root; PNGs belong in folder."""
  found: dict[str, pathlib.Path] = {}
  extra, faults = [], []
  for path in sorted(p for p in root.rglob('*') if not p.is_dir()):
    name = path.relative_to(root).as_posix()
    image_id = _id_of(server, name, folder)
    if image_id not in sizes:
      extra.append(name)
    elif image_id in found:
      faults.append(f'{image_id} has two files: {found[image_id]} and {path}')
    else:
      found[image_id] = path
  missing = [image_id for image_id in sizes if image_id not in found]
  if missing:
    faults.append(f'{len(missing)} missing: {id_list.some(missing)}')
  if extra:
    faults.append(f'{len(extra)} not asked for: {id_list.some(extra)}')
  wrong = (server.fault_of(path, sizes[i]) for i, path in found.items())
  return faults + [fault for fault in wrong if fault]


def _id_of(server, name, folder):
  """The id of the image of a file; None if there is none."""
  parent, _, file = name.rpartition('/')
  if server.any_name:
    # city_sequence_frame, and anything after it.
    is_right = file.endswith('.png')
    image_id = '_'.join(file.removesuffix('.png').split('_')[:3])
  else:
    is_right = file.endswith(server.ending) and parent == folder
    image_id = file.removesuffix(server.ending)
  return image_id if is_right else None
