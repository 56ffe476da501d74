"""Tiny copies of the folders that real datasets come in.

Rectangles of a colour per class on noise: quick to write, and learnable.
"""

import pathlib

import numpy as np
from PIL import Image

CITIES = ('aachen', 'ulm')

# Label ids of Cityscapes that take part in the evaluation, and two that don't.
_CITYSCAPES_IDS = (7, 8, 11, 23, 24, 26, 33, 0, 4)


def make_voc(folder, train=4, val=2, extra=2, height=40, width=56):
  """Writes a small VOCdevkit/VOC2012.

  Args:
    folder: where to put VOCdevkit: as `<data_dir>/downloads/manual` it is found
      without a root.
    train: the number of images of train.
    val: the number of images of val; trainval is both.
    extra: how many more images train_aug has; the masks of these are in
      SegmentationClassAug, the others in SegmentationClass.
    height: of every image.
    width: of the widest; every second image is 3 pixels narrower.

  Returns:
    The path of the folder VOC2012, a str.
  """
  root = pathlib.Path(folder) / 'VOCdevkit' / 'VOC2012'
  names = [f'2007_{i:06}' for i in range(train + val + extra)]
  official, sbd = names[: train + val], names[train + val :]
  for i, name in enumerate(names):
    mask, image = _scene(i, (0, 1, 8, 12, 15, 20), height, width - 3 * (i % 2))
    mask[:2] = 255
    kind = 'SegmentationClassAug' if name in sbd else 'SegmentationClass'
    _save(image, root / 'JPEGImages' / f'{name}.jpg')
    _save(mask, root / kind / f'{name}.png', palette=True)
  lists = {
    'train': names[:train],
    'val': official[train:],
    'trainval': official,
    'train_aug': [*names[:train], *sbd],
  }
  for split, listed in lists.items():
    write_list(root, split, listed)
  return str(root)


def write_list(voc, split, names):
  """Writes one list of a VOC2012 folder."""
  path = pathlib.Path(voc) / 'ImageSets' / 'Segmentation' / f'{split}.txt'
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_text(''.join(f'{name}\n' for name in names))


def make_cityscapes(folder, train=4, val=2, height=32, width=64):
  """Writes a small cityscapes/{leftImg8bit,gtFine}; see `make_voc`.

  Returns:
    The path of the folder cityscapes, a str.
  """
  root = pathlib.Path(folder) / 'cityscapes'
  counts = {'train': train, 'val': val}
  for split, count in counts.items():
    for i in range(count):
      frame = pathlib.Path(CITIES[i % 2]) / f'{CITIES[i % 2]}_{i:06}_000019'
      seed = i + 1000 * (split == 'val')
      mask, image = _scene(seed, _CITYSCAPES_IDS, height, width)
      _save(image, root / 'leftImg8bit' / split / f'{frame}_leftImg8bit.png')
      _save(mask, root / 'gtFine' / split / f'{frame}_gtFine_labelIds.png')
  return str(root)


def _scene(seed, ids, height, width):
  """A mask of rectangles, uint8, and an image that shows their ids."""
  rng = np.random.default_rng(seed)
  mask = np.full([height, width], ids[0], np.uint8)
  for label in rng.permutation(ids[1:]):
    top, left = (
      rng.integers(0, height * 3 // 4),
      rng.integers(0, width * 3 // 4),
    )
    mask[top : top + height // 3, left : left + width // 3] = label
  colors = np.random.default_rng(7).integers(0, 200, [256, 3])
  noise = rng.integers(0, 56, [height, width, 3])
  return mask, (colors[mask] + noise).astype(np.uint8)


def _save(pixels, path, palette=False):
  path.parent.mkdir(parents=True, exist_ok=True)
  image = Image.fromarray(pixels)
  if palette:
    # Any colours will do: only the indices count.
    image.putpalette(np.arange(768) % 251)
  image.save(path)


# With the overlay gin_configs/tiny.gin, the smallest training on scenes.
TINY_SCENES = (
  'scenes.Scenes.train = 4',
  'scenes.Scenes.val = 3',
  'scenes.Scenes.height = 33',
  'scenes.Scenes.width = 49',
  'LABELS = 3',
  'CROP = (33, 33)',
  'FILTERS = 8',
)
