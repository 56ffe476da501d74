import tarfile
import zipfile

import numpy as np
import pytest
from PIL import Image

from deeplab_contrast.datasets.cityscapes_segmentation import Cityscapes
from deeplab_contrast.datasets.scenes import Scenes
from deeplab_contrast.datasets.voc2012_segmentation import Voc2012
from deeplab_contrast.imaging import images
from deeplab_contrast.inference import packing, test_servers
from deeplab_contrast.utils import errors

VOC = test_servers.of_dataset(Voc2012.info)
CITYSCAPES = test_servers.of_dataset(Cityscapes.info)
VOC_SIZES = {f'2008_00000{i}': (6 + i, 9) for i in range(3)}
CITY_SIZES = {f'berlin_00000{i}_000019': (8, 16) for i in range(3)}


def fill(server, folder, sizes):
  """A submission without faults."""
  rng = np.random.default_rng(0)
  for image_id, size in sizes.items():
    path = folder / server.name_of(image_id)
    path.parent.mkdir(parents=True, exist_ok=True)
    server.write(str(path), rng.integers(0, len(server.values), size))
  return folder


def pack(server, folder, sizes):
  path = folder.parent / f'x{server.archive}'
  packing.pack(str(folder), map(server.name_of, sizes), str(path))
  return path


def test_voc_files_are_those_of_the_development_kit(tmp_path):
  fill(VOC, tmp_path, VOC_SIZES)
  folder = tmp_path / 'results' / 'VOC2012' / 'Segmentation' / 'comp6_test_cls'
  assert sorted(p.name for p in folder.iterdir()) == [
    f'{name}.png' for name in VOC_SIZES
  ]
  other = test_servers.of_dataset(Voc2012.info, 'comp5')
  assert other.name_of('a').endswith('/comp5_test_cls/a.png')
  VOC.write(str(folder / 'x.png'), np.array([[0, 20], [15, 1]]))
  with Image.open(folder / 'x.png') as picture:
    assert picture.mode == 'P'
    np.testing.assert_array_equal(np.asarray(picture), [[0, 20], [15, 1]])
    assert picture.getpalette()[:6] == [0, 0, 0, 128, 0, 0]
    colors = np.asarray(picture.convert('RGB'))
  np.testing.assert_array_equal(colors[1, 0], images.voc_colormap(16)[15])


def test_cityscapes_files_hold_label_ids(tmp_path):
  path = tmp_path / CITYSCAPES.name_of('berlin_000000_000019')
  CITYSCAPES.write(str(path), np.array([[0, 1, 13], [18, 5, 10]]))
  with Image.open(path) as picture:
    assert picture.mode == 'L'
    expected = [[7, 8, 26], [33, 17, 23]]
    np.testing.assert_array_equal(np.asarray(picture), expected)


@pytest.mark.parametrize(
  ('server', 'sizes'), [(VOC, VOC_SIZES), (CITYSCAPES, CITY_SIZES)]
)
def test_a_good_one_passes_as_folder_and_as_archive(tmp_path, server, sizes):
  folder = fill(server, tmp_path / 'files', sizes)
  assert test_servers.check(server, str(folder), sizes) == 3
  archive = pack(server, folder, sizes)
  assert test_servers.check(server, str(archive), sizes) == 3
  if server.folder:
    inner = str(folder / server.folder)
    assert test_servers.check(server, inner, sizes) == 3


def test_cityscapes_files_may_be_called_otherwise(tmp_path):
  fill(CITYSCAPES, tmp_path, CITY_SIZES)
  for name in CITY_SIZES:
    (tmp_path / 'berlin').mkdir(exist_ok=True)
    target = tmp_path / 'berlin' / f'{name}_leftImg8bit.png'
    (tmp_path / CITYSCAPES.name_of(name)).rename(target)
  assert test_servers.check(CITYSCAPES, str(tmp_path), CITY_SIZES) == 3


def path_in(server, folder, sizes, index=0):
  return folder / server.name_of(list(sizes)[index])


def missing(server, folder, sizes):
  path_in(server, folder, sizes).unlink()
  return f'1 missing: {next(iter(sizes))}'


def extra(server, folder, sizes):
  path = path_in(server, folder, sizes)
  path.with_name('berlin_000009_000019.png').write_bytes(path.read_bytes())
  return '1 not asked for: '


def a_foreign_file(server, folder, sizes):
  path_in(server, folder, sizes).with_name('notes.txt').write_text('x')
  return 'notes.txt'


def wrong_size(server, folder, sizes):
  path = path_in(server, folder, sizes)
  server.write(str(path), np.zeros((5, 7), int))
  height, width = next(iter(sizes.values()))
  return f'is 5 x 7, but its image {height} x {width}'


def wrong_id(server, folder, sizes):
  path = path_in(server, folder, sizes)
  values = np.full(next(iter(sizes.values())), 255, np.uint8)
  images.write_palette_png(str(path), values, images.voc_colormap(256))
  return 'has the ids [255]'


def train_ids(server, folder, sizes):
  path = path_in(server, folder, sizes)
  values = np.arange(8, dtype=np.uint8).repeat(16).reshape(8, 16)
  images.write_grey_png(str(path), values)
  return 'has the ids [0, 1, 2, 3, 4, 5, 6]: the server expects label ids'


def colors(server, folder, sizes):
  path = path_in(server, folder, sizes)
  Image.new('RGB', next(iter(sizes.values()))[::-1]).save(path)
  return 'holds colours, not class ids'


def cut_off(server, folder, sizes):
  path = path_in(server, folder, sizes)
  path.write_bytes(path.read_bytes()[:-20])
  return 'cut off'


FAULTS = (
  missing,
  extra,
  a_foreign_file,
  wrong_size,
  wrong_id,
  colors,
  cut_off,
)


@pytest.mark.parametrize(
  ('server', 'sizes', 'fault'),
  [
    *((VOC, VOC_SIZES, fault) for fault in FAULTS),
    *((CITYSCAPES, CITY_SIZES, fault) for fault in (*FAULTS, train_ids)),
  ],
)
def test_a_fault_is_told(tmp_path, server, sizes, fault):
  folder = fill(server, tmp_path / 'files', sizes)
  phrase = fault(server, folder, sizes)
  with pytest.raises(errors.DataError, match='would be refused') as caught:
    test_servers.check(server, str(folder), sizes)
  assert phrase in str(caught.value)
  names = [
    p.relative_to(folder).as_posix() for p in folder.rglob('*') if p.is_file()
  ]
  archive = tmp_path / f'x{server.archive}'
  packing.pack(str(folder), names, str(archive))
  with pytest.raises(errors.DataError) as caught:
    test_servers.check(server, str(archive), sizes)
  assert phrase in str(caught.value)
  assert str(archive) in str(caught.value)


def test_two_files_for_one_image(tmp_path):
  folder = fill(CITYSCAPES, tmp_path, CITY_SIZES)
  path = path_in(CITYSCAPES, folder, CITY_SIZES)
  path.with_name(path.name.replace('_pred', '_other')).write_bytes(
    path.read_bytes()
  )
  with pytest.raises(errors.DataError, match='000019 has two files'):
    test_servers.check(CITYSCAPES, str(folder), CITY_SIZES)


def test_a_voc_file_without_a_palette(tmp_path):
  folder = fill(VOC, tmp_path, VOC_SIZES)
  path = path_in(VOC, folder, VOC_SIZES)
  images.write_grey_png(str(path), np.zeros((6, 9), np.uint8))
  with pytest.raises(errors.DataError, match='no palette'):
    test_servers.check(VOC, str(folder), VOC_SIZES)


def test_an_archive_of_voc_without_its_folders(tmp_path):
  folder = fill(VOC, tmp_path, VOC_SIZES) / VOC.folder
  with tarfile.open(tmp_path / 'x.tgz', 'w:gz') as archive:
    for path in folder.iterdir():
      archive.add(path, path.name)
  with pytest.raises(errors.DataError, match='3 missing'):
    test_servers.check(VOC, str(tmp_path / 'x.tgz'), VOC_SIZES)


def test_an_archive_that_leads_out_of_its_folder(tmp_path):
  with zipfile.ZipFile(tmp_path / 'x.zip', 'w') as archive:
    archive.writestr('../berlin_000000_000019.png', b'x')
  with pytest.raises(errors.DataError, match='is outside its folder'):
    test_servers.check(CITYSCAPES, str(tmp_path / 'x.zip'), CITY_SIZES)


def test_many_faults_are_counted(tmp_path):
  sizes = {f'{i:03}': (2, 2) for i in range(30)}
  fill(VOC, tmp_path, sizes)
  larger = dict.fromkeys(sizes, (3, 3))
  with pytest.raises(errors.DataError, match='with 30 faults') as caught:
    test_servers.check(VOC, str(tmp_path), larger)
  assert str(caught.value).endswith('\n  and 10 more')


def test_a_dataset_without_a_server():
  with pytest.raises(errors.ConfigError, match='No test server .* scenes'):
    test_servers.of_dataset(Scenes().info)
