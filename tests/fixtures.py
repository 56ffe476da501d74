"""Writes tiny datasets in the layouts of real ones.

Their images are rectangles, one colour per class, on noise: quick to write, and
learnable.
"""

import pathlib

import numpy as np
from PIL import Image

CITIES = ('aachen', 'ulm')

# Label ids of Cityscapes that are evaluated, and two that are not.
_CITYSCAPES_IDS = (7, 8, 11, 23, 24, 26, 33, 0, 4)


def make_voc(folder, train=4, val=2, extra=2, height=40, width=56):
  """Writes a small VOCdevkit/VOC2012.

  Args:
    folder: where to put VOCdevkit: as `<data_dir>/downloads/manual` it is found
      without a root.
    train: the number of images of train.
    val: the number of images of val; trainval is both.
    extra: the number of additional images of train_aug, whose masks are in
      SegmentationClassAug; the others are in SegmentationClass.
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


def make_sbd(folder, train, val, height=40, width=56):
  """Writes a small benchmark_RELEASE/dataset with .mat masks.

  Args:
    folder: where to put benchmark_RELEASE.
    train: ids of its train.txt.
    val: ids of its val.txt.
    height: of every image.
    width: likewise.

  Returns:
    The path of the folder dataset, a str.
  """
  from scipy import io

  root = pathlib.Path(folder) / 'benchmark_RELEASE' / 'dataset'
  (root / 'cls').mkdir(parents=True)
  for i, name in enumerate([*train, *val]):
    mask, image = _scene(500 + i, (0, 2, 9, 15), height, width)
    _save(image, root / 'img' / f'{name}.jpg')
    value = {'GTcls': {'Segmentation': mask, 'CategoriesPresent': [2, 9]}}
    io.savemat(root / 'cls' / f'{name}.mat', value, do_compression=True)
  for split, names in {'train': train, 'val': val}.items():
    (root / f'{split}.txt').write_text(''.join(f'{n}\n' for n in names))
  return str(root)


def make_ade20k(folder, train=3, val=2, height=32, width=40):
  """Writes a small ADEChallengeData2016; see `make_voc`.

  Returns:
    The path of the folder ADEChallengeData2016, a str.
  """
  root = pathlib.Path(folder) / 'ADEChallengeData2016'
  counts = {'training': train, 'validation': val}
  for split, count in counts.items():
    for i in range(count):
      name = f'ADE_{split[:5]}_{i + 1:08}'
      seed = i + 2000 * (split == 'validation')
      mask, image = _scene(seed, (0, 1, 3, 75, 150), height, width)
      _save(image, root / 'images' / split / f'{name}.jpg')
      _save(mask, root / 'annotations' / split / f'{name}.png')
  return str(root)


def make_folder(folder, train=4, val=2, ids=range(12), height=36, width=48):
  """Writes images/{train,val} and masks/{train,val}, as CamVid has them.

  Args:
    folder: where to put images and masks.
    train: the number of images of train.
    val: the number of images of val.
    ids: the values in the masks.
    height: of every image.
    width: likewise.

  Returns:
    The path of the folder, a str.
  """
  root = pathlib.Path(folder)
  for split, count in {'train': train, 'val': val}.items():
    for i in range(count):
      seed = i + 3000 * (split == 'val')
      mask, image = _scene(seed, tuple(ids), height, width)
      _save(image, root / 'images' / split / f'{split}_{i:04}.jpg')
      _save(mask, root / 'masks' / split / f'{split}_{i:04}.png')
  return str(root)


def in_color(mask):
  """A grey mask as RGB, with a colour of its own for each value."""
  inverse = mask.point(lambda value: 255 - value)
  return Image.merge('RGB', [mask.convert('L'), mask.convert('L'), inverse])


def flatten(tree):
  """Makes images/*.jpg and masks/*.png of `make_folder`, a pathlib.Path."""
  for path in list(tree.glob('*/*/*')):
    path.rename(path.parents[1] / path.name)
  for path in list(tree.glob('*/*/')):
    path.rmdir()
  return tree


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
    # Any colours: only the indices count.
    image.putpalette((np.arange(768) % 251).tolist())
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
