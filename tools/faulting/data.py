"""Faults 16 to 29: raw data, prepared data, archives, and lists of ids."""

import io
import json
import pathlib
import shutil
import struct
import tarfile
import zipfile
import zlib

import numpy as np
from PIL import Image

from deeplab_contrast.utils import run_files
from tests import fixtures
from tools.faulting.stage import (
  Fault,
  change_json,
  expect,
  flip,
  limited,
  says,
)


def _voc(stage, name):
  return pathlib.Path(fixtures.make_voc(stage.folder(name)))


def _prepare(stage, root, *flags, dataset='folder', **settings):
  arguments = [f'--raw_dir={root}', f'--data_dir={root.parent}/prepared']
  return stage.run(
    'prepare', dataset, *arguments, '--workers=0', *flags, **settings
  )


def _prepare_voc(stage, root, *flags):
  return _prepare(stage, root, *flags, dataset='voc2012')


def _folder(stage, name, classes=('a', 'b', 'c'), **about):
  """images, masks and dataset.json of 4 pairs; returns the folder."""
  root = stage.folder(name) / 'raw'
  rng = np.random.default_rng(0)
  for kind in ('images', 'masks'):
    (root / kind).mkdir(parents=True)
  for i in range(4):
    pixels = rng.integers(0, 256, (33, 49, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(root / 'images' / f'{i}.png')
    ids = np.repeat(np.arange(33) % 3, 49).reshape(33, 49)
    _mask(root, i, ids.astype(np.uint8))
  values = {
    'name': 'toy',
    'classes': classes,
    'fractions': {'val': 0.5},
    **about,
  }
  (root / 'dataset.json').write_text(json.dumps(values))
  return root


def _mask(root, i, pixels, palette=None):
  image = Image.fromarray(pixels)
  if palette:
    image.putpalette(palette)
  image.save(root / 'masks' / f'{i}.png')


def _missing(stage):
  """All at once: missing mask, empty list, twice, overlap of splits."""
  root = _voc(stage, '16')
  (root / 'SegmentationClass' / '2007_000000.png').unlink()
  (root / 'JPEGImages' / '2007_000001.jpg').unlink()
  ended = [
    says(_prepare_voc(stage, root), '2007_000000.png', '2007_000001.jpg')
  ]
  root = _voc(stage, '16_lists')
  for names, sentence in (
    (('2007_000004', '2007_000004'), 'more than once'),
    (('2007_000000',), '2007_000000'),
  ):
    fixtures.write_list(root, 'val', names)
    ended.append(says(_prepare_voc(stage, root), sentence))
  root = _folder(stage, '16_lonely')
  (root / 'images' / '0.png').unlink()
  return [*ended, says(_prepare(stage, root), '0.png')]


def _unreadable(stage):
  root = _voc(stage, '17')
  images = root / 'JPEGImages'
  whole = (images / '2007_000000.jpg').read_bytes()
  (images / '2007_000000.jpg').write_bytes(whole[:-300])
  (images / '2007_000001.jpg').write_bytes(b'')
  (images / '2007_000002.jpg').write_bytes(b'<html>404 Not Found</html>')
  ended = says(_prepare_voc(stage, root), 'cut off', 'is empty', 'a web page')
  skipped = _prepare_voc(stage, root, '--on_error=skip', '--max_skipped=0.6')
  expect(skipped.code == 0, f'skip ended with {skipped.sentence}')
  (listed,) = root.parent.glob('prepared/**/quarantine.txt')
  expect('2007_000002' in listed.read_text(), 'not in quarantine.txt')
  capped = _prepare_voc(stage, _again(root), '--on_error=skip')
  return [ended, capped]


def _again(root):
  """The same raw files, not prepared yet."""
  for path in root.parent.glob('prepared'):
    shutil.rmtree(path)
  return root


def _truncated(stage):
  root = _voc(stage, '18')
  path = root / 'JPEGImages' / '2007_000003.jpg'
  path.write_bytes(path.read_bytes()[: -len(path.read_bytes()) // 2])
  model = _model(stage)
  predicted = stage.run(
    'predict',
    f'--saved_model={model}',
    f'--out={root.parent}/out',
    path,
  )
  return [says(_prepare_voc(stage, root), 'cut off'), predicted]


def _model(stage):
  """An exported model, made once."""
  path = stage.root / 'exported'
  if not path.exists():
    ended = stage.run(
      'export_model', f'--model_dir={stage.whole}', f'--out={path}'
    )
    expect(ended.code == 0, f'no export: {ended.sentence}')
  (found,) = path.rglob('saved_model.pb')
  return found.parent


def _kinds_of_images(stage):
  folder = stage.folder('19')
  plain = Image.fromarray(np.full((40, 50, 3), 90, np.uint8))
  plain.convert('CMYK').save(folder / 'cmyk.jpg')
  plain.convert('L').save(folder / 'grey.png')
  plain.convert('RGBA').save(folder / 'alpha.png')
  plain.save(folder / 'moving.gif', save_all=True, append_images=[plain])
  deep = Image.fromarray(np.full((40, 50), 1000, np.uint16))
  deep.save(folder / 'deep.png')
  ended = stage.run(
    'predict',
    f'--saved_model={_model(stage)}',
    f'--out={folder}/out',
    *sorted(folder.glob('*.*')),
  )
  done = sorted(p.stem for p in (folder / 'out' / 'masks').rglob('*.png'))
  expect(len(done) == 4 and 'deep' not in done, f'predicted: {done}')
  return [says(ended, '1 of 5 images failed', '16 bits')]


def _kinds_of_masks(stage):
  ids = (np.arange(33 * 49).reshape(33, 49) % 3).astype(np.uint8)
  smooth = np.linspace(0, 255, 33 * 49).reshape(33, 49).astype(np.uint8)
  root = _folder(stage, '20')
  _mask(root, 0, np.stack([ids * 100, ids * 50, ids], -1))
  _mask(root, 1, ids.astype(np.uint16) * 1000)
  _mask(root, 2, smooth)
  ended = says(_prepare(stage, root), '0.png', '1.png', '2.png')
  # The indices of a palette are the ids, whatever its colours.
  root = _folder(stage, '20_palette')
  for i in range(4):
    _mask(root, i, ids, palette=[0, 0, 0, 128, 0, 0, 0, 128, 0])
  fine = _prepare(stage, root)
  expect(fine.code == 0, f'palette masks: {fine.sentence}')
  return [ended]


def _foreign_ids(stage):
  classes = [f'class {i}' for i in range(19)]
  root = _folder(stage, '21', classes=classes)
  ids = (np.arange(33 * 49).reshape(33, 49) % 34).astype(np.uint8)
  for i in range(4):
    _mask(root, i, ids)
  return [says(_prepare(stage, root), '33', 'rain')]


def _sizes(stage):
  root = _folder(stage, '22')
  _mask(root, 0, np.zeros((10, 10), np.uint8))
  other = says(_prepare(stage, root), '10 x 10', '33 x 49')
  root = _folder(stage, '22_odd')
  for i, size in ((0, (1, 1)), (1, (20_000, 20))):
    pixels = np.zeros((*size, 3), np.uint8) + np.uint8(40 * i)
    Image.fromarray(pixels).save(root / 'images' / f'{i}.png')
    _mask(root, i, np.zeros(size, np.uint8))
  fine = _prepare(stage, root)
  expect(fine.code in (0, 3), f'extreme sizes: {fine.sentence}')
  return [other]


def _classes(stage):
  ended = []
  for name, about in {
    '24_twice': {'classes': ('a', 'a', 'b')},
    '24_ids': {'ids': [0, 1]},
    '24_colors': {
      'classes': {'a': [0, 0, 0], 'b': [0, 0, 0], 'c': [1, 1, 1]},
      'masks': 'colors',
    },
  }.items():
    ended.append(_prepare(stage, _folder(stage, name, **about)))
  return ended


def _bombs(stage):
  folder = stage.folder('25')
  for side in (30_000, 70_000):
    head = struct.pack('>IIBBBBB', side, side, 8, 2, 0, 0, 0)
    chunk = b'IHDR' + head
    data = b'\x89PNG\r\n\x1a\n' + struct.pack('>I', 13) + chunk
    data += struct.pack('>I', zlib.crc32(chunk)) + bytes(100)
    data += struct.pack('>I', 0) + b'IEND\xaeB`\x82'
    (folder / f'{side}.png').write_bytes(data)
  ended = stage.run(
    'predict',
    f'--saved_model={_model(stage)}',
    f'--out={folder}/out',
    *sorted(folder.glob('*.png')),
    preexec_fn=limited(AS=12 << 30),
  )
  return [says(ended, '2 of 2 images failed')]


def _records(stage):
  ended = []
  for name, damage in {
    '26_flip': flip,
    '26_cut': lambda p: p.write_bytes(p.read_bytes()[: p.stat().st_size // 2]),
  }.items():
    folder = stage.folder(name)
    assert stage.whole.exists()
    shutil.copytree(stage.data, folder / 'data')
    for path in (folder / 'data').rglob('*-train.array_record-*'):
      damage(path)
    flags = [f for f in stage.flags() if not f.startswith('--data_dir')]
    flags += [f'--data_dir={folder}/data', f'--model_dir={folder}/run']
    ended.append(stage.run('train', *flags))
  return ended


def _hostile_lists(stage):
  root = _voc(stage, '27')
  path = root / 'ImageSets' / 'Segmentation' / 'val.txt'
  ended = []
  for text in (
    b'../../../etc/passwd\n',
    b'2007_\x00000004\n',
  ):
    path.write_bytes(text)
    ended.append(_prepare_voc(stage, root))
  return ended


def _archives(stage):
  folder = stage.folder('28')
  with zipfile.ZipFile(folder / 'up.zip', 'w') as file:
    file.writestr('../evil.txt', 'x')
  with zipfile.ZipFile(folder / 'bomb.zip', 'w', zipfile.ZIP_DEFLATED) as file:
    file.writestr('zeros', bytes(300 << 20))
  for name, member, kind in (('hard.tar', 'link', tarfile.LNKTYPE),):
    with tarfile.open(folder / name, 'w') as file:
      entry = tarfile.TarInfo(member)
      entry.type, entry.linkname = kind, '/etc/passwd'
      file.addfile(entry, io.BytesIO())
  ended = [
    _prepare(stage, folder / 'raw', f'--archive={path}')
    for path in sorted([*folder.glob('*.zip'), *folder.glob('*.tar')])
  ]
  expect(not (folder / 'evil.txt').exists(), 'it was written outside')
  return ended


def _changed_data(stage):
  run = stage.interrupted('29')
  stored = json.loads((run / run_files.DATA).read_text())
  stored['train']['ids'] = 'others'
  change_json(run / run_files.DATA, **stored)
  return [says(stage.train(run), 'data have changed', str(run))]


_LOSSES = 'tests/core/losses/'
FAULTS = (
  Fault(16, 'missing, empty, twice, overlapping splits', (3,), _missing),
  Fault(17, 'cut off, empty, HTML as jpg; skip and its cap', (3,), _unreadable),
  Fault(
    18,
    'truncated JPEG',
    (3,),
    _truncated,
    (
      'tests/datasets/raw/raw_faults_test.py'
      '::test_the_switches_that_hide_damage_are_off',
    ),
  ),
  Fault(19, 'CMYK, grey, alpha, animated; 16 bits', (3,), _kinds_of_images),
  Fault(20, 'RGB, 16-bit, anti-aliased masks', (3,), _kinds_of_masks),
  Fault(
    21,
    'labelIds with 19 classes',
    (3,),
    _foreign_ids,
    (
      'tests/datasets/pipeline_test.py::test_a_label_of_no_class_is_refused_by_name',
    ),
  ),
  Fault(22, 'mask of another size; 1x1; 20000x20', (3,), _sizes),
  Fault(
    23,
    'crop or batch without labels',
    (),
    None,
    (
      _LOSSES + 'softmax_loss_test.py'
      '::test_all_ignored_gives_zero_and_zero_gradient',
      _LOSSES + 'pixel_contrast_test.py::test_nothing_labelled_at_all',
    ),
  ),
  Fault(24, 'classes, ids and colours contradict', (2,), _classes),
  Fault(
    25,
    'PNG bombs under RLIMIT_AS',
    (3,),
    _bombs,
    ('tests/datasets/raw/raw_faults_test.py::test_bombs_cost_no_memory',),
  ),
  Fault(26, 'prepared records: bit, cut', (3,), _records),
  Fault(27, 'paths and NUL in lists', (3,), _hostile_lists),
  Fault(28, 'zip and tar that lead outside, bombs', (3,), _archives),
  Fault(29, 'other data on resume', (3,), _changed_data),
)
