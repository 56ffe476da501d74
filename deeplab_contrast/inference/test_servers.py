"""What the test servers of datasets want, and whether a submission is that.

PASCAL VOC: the development kit, section "results/.../comp6_test_cls".
Cityscapes: cityscapesScripts, evaluation/evalPixelLevelSemanticLabeling.py.
"""

import dataclasses
import os
import pathlib
import tempfile

import numpy as np
from PIL import Image

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

# VOC's: trained on VOC alone, or on anything else as well.
COMPETITIONS = ('comp5', 'comp6')

_MOST_SHOWN = 20


@dataclasses.dataclass(frozen=True)
class Server:
  """How one test server wants its files.

  Attributes:
    folder: where they lie in the archive; '' is its top.
    ending: of their names, behind the id of the image.
    archive: its ending.
    values: what class i is called in the files.
    colors: of the palette, by value; None for grey files.
    any_name: whether any folder, and anything behind the id, is right too.
    hint: what is likely wrong where other values are found.
  """

  folder: str
  ending: str
  archive: str
  values: tuple[int, ...]
  colors: tuple[tuple[int, int, int], ...] | None
  any_name: bool
  hint: str

  def name_of(self, image_id):
    """The path of an image's file in the archive, with / between folders."""
    return '/'.join(filter(None, [self.folder, image_id + self.ending]))

  def write(self, path, prediction):
    """Writes one file, in one piece.

    Args:
      path: where to.
      prediction: int [height, width], classes.
    """
    values = np.array(self.values, np.uint8)[prediction]
    if self.colors is None:
      images.write_grey_png(path, values)
    else:
      images.write_palette_png(path, values, self.colors)

  def fault_of(self, path, size):
    """What is wrong with a file: a phrase, or None.

    Args:
      path: of the file.
      size: (height, width) of its image.
    """
    try:
      values = masks.read_ids(path)
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


def of_dataset(info, competition='comp6'):
  """The server of a dataset.

  Args:
    info: its `DatasetInfo`.
    competition: one of COMPETITIONS; VOC's alone.

  Raises:
    ConfigError: it has none that is known here.
  """
  if info.name == 'voc2012':
    return Server(
      folder=f'results/VOC2012/Segmentation/{competition}_test_cls',
      ending='.png',
      archive='.tgz',
      values=tuple(range(voc.NUM_CLASSES)),
      colors=images.voc_colormap(256),
      any_name=False,
      hint='the server knows the classes 0 to 20, and no void (255).',
    )
  if info.name == 'cityscapes':
    return Server(
      folder='',
      ending='_pred_labelIds.png',
      archive='.zip',
      values=cityscapes.LABEL_IDS,
      colors=None,
      any_name=True,
      hint='the server wants label ids (7, 8, 11, ...), not train ids.',
    )
  raise errors.ConfigError(
    f'No test server is known for the dataset {info.name}; there are those of '
    'voc2012 and cityscapes.'
  )


def check(server, path, sizes):
  """Checks a submission: all files, no others, right sizes, right ids.

  Args:
    server: a `Server`.
    path: of the archive, or of the folder that it was or will be made of; for
      VOC also of the folder of the PNGs itself.
    sizes: {id: (height, width)} of the images.

  Returns:
    How many files there are.

  Raises:
    DataError: naming all that is wrong with it.
  """
  if os.path.isdir(path):
    root = pathlib.Path(path)
    # A folder may be the one of the PNGs itself.
    is_inner = server.folder and not (root / server.folder).is_dir()
    faults = _faults(server, root, '' if is_inner else server.folder, sizes)
  else:
    with tempfile.TemporaryDirectory() as folder:
      archives.extract(path, folder)
      faults = _faults(server, pathlib.Path(folder), server.folder, sizes)
      # As they are called in the archive.
      faults = [fault.replace(f'{folder}/', '') for fault in faults]
  if faults:
    lines = faults[:_MOST_SHOWN]
    more = len(faults) - len(lines)
    raise errors.DataError(
      f'{path} would be refused, with {len(faults)} faults to mend:\n  '
      + '\n  '.join([*lines, *([f'and {more} more'] if more else [])])
    )
  return len(sizes)


def _faults(server, root, folder, sizes):
  """Sentences about all that is wrong below root; PNGs belong into folder."""
  found, extra, faults = {}, [], []
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
  """The id of the image that a file is for; None if it is for none."""
  parent, _, file = name.rpartition('/')
  if server.any_name:
    # city_sequence_frame, and anything behind it.
    is_right = file.endswith('.png')
    image_id = '_'.join(file.removesuffix('.png').split('_')[:3])
  else:
    is_right = file.endswith(server.ending) and parent == folder
    image_id = file.removesuffix(server.ending)
  return image_id if is_right else None
