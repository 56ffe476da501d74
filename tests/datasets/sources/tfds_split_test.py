import pathlib

import pytest

from deeplab_contrast.common import ID, IMAGE, LABEL
from deeplab_contrast.datasets import sources
from deeplab_contrast.datasets.sources import tfds_split
from deeplab_contrast.datasets.voc2012_segmentation import Voc2012
from deeplab_contrast.utils import errors
from tests import fixtures


@pytest.fixture(scope='module')
def tree(tmp_path_factory):
  return fixtures.make_voc(
    tmp_path_factory.mktemp('raw'), train=7, val=3, height=12, width=16
  )


@pytest.fixture(scope='module')
def shared(tree, tmp_path_factory):
  """A data_dir where the tree is prepared; for reading only."""
  folder = str(tmp_path_factory.mktemp('data'))
  sources.TfdsSplit(Voc2012(tree), 'train').open(folder)
  return folder


@pytest.fixture
def own(tree, tmp_path):
  """A data_dir where the tree is prepared, to damage."""
  sources.TfdsSplit(Voc2012(tree), 'train').open(str(tmp_path))
  return tmp_path


def shard(data_dir, split='train'):
  (path,) = pathlib.Path(data_dir).glob(f'*/*/1.0.0/*-{split}.array_record*')
  return path


def test_a_remote_data_dir_is_refused(tree):
  with pytest.raises(errors.ConfigError, match='=ram://x must be a folder on'):
    sources.TfdsSplit(Voc2012(tree), 'train').open('ram://x')


def test_a_split_is_random_access(tree, shared):
  source = sources.TfdsSplit(Voc2012(tree), 'train')
  examples = source.open(shared)
  assert source.info is Voc2012.info
  assert examples.info is Voc2012.info
  assert examples.max_size == (12, 16)
  assert len(examples) == 7
  assert examples[5][ID].decode() == examples.ids()[5]
  assert set(examples[5]) == {IMAGE, LABEL, ID}
  assert all(type(value) is bytes for value in examples[5].values())


@pytest.mark.parametrize('index', [7, -1])
def test_beyond_the_end_is_an_index_error(tree, shared, index):
  with pytest.raises(IndexError):
    sources.TfdsSplit(Voc2012(tree), 'train').open(shared)[index]


@pytest.mark.parametrize(
  'split, count', [('train[:3]', 3), ('train+val', 10), ('train[:2]+val', 5)]
)
def test_slices_and_sums_of_splits(tree, shared, split, count):
  examples = sources.TfdsSplit(Voc2012(tree), split).open(shared)
  assert len(examples) == len(examples.ids()) == count
  assert examples.ids()[0] == examples[0][ID].decode()


def test_the_second_opening_prepares_nothing(tree, own):
  before = shard(own).stat().st_mtime_ns
  sources.TfdsSplit(Voc2012(tree), 'val').open(str(own))
  assert shard(own).stat().st_mtime_ns == before


def test_ids_come_from_their_file(tree, own):
  examples = sources.TfdsSplit(Voc2012(tree), 'train').open(str(own))
  expected = examples.ids()
  path = shard(own)
  (path.parent / 'ids_train.json').unlink()
  assert examples.ids() == expected
  assert not list(path.parent.glob('*.tmp'))


def test_losing_a_race_to_prepare_is_not_a_fault(tree, own, monkeypatch):
  source = sources.TfdsSplit(Voc2012(tree), 'train')
  builder = source.dataset.builder(str(own))

  def too_late(**kwargs):
    raise OSError('Directory not empty')

  monkeypatch.setattr(builder, 'download_and_prepare', too_late)
  tfds_split._prepare(builder, source.info)


def test_a_place_that_cannot_be_written_is_a_fault(tree, tmp_path):
  (tmp_path / 'file').write_text('')
  source = sources.TfdsSplit(Voc2012(tree), 'train')
  with pytest.raises(errors.SystemFault, match='cannot be prepared in .*file'):
    source.open(str(tmp_path / 'file'))


def test_a_cut_off_shard_is_refused(tree, own):
  path = shard(own)
  path.write_bytes(path.read_bytes()[:-1])
  with pytest.raises(errors.DataError) as error:
    sources.TfdsSplit(Voc2012(tree), 'train').open(str(own))
  assert str(path) in str(error.value)
  assert 'readable records instead of 7: delete' in str(error.value)


def test_a_missing_shard_is_refused(tree, own):
  shard(own).unlink()
  with pytest.raises(errors.DataError, match='has no readable records'):
    sources.TfdsSplit(Voc2012(tree), 'train').open(str(own))


def test_a_flipped_bit_is_refused(tree, own):
  path = shard(own)
  data = path.read_bytes()
  middle = 3000  # The records are the first 6 kB.
  path.write_bytes(
    data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]
  )
  examples = sources.TfdsSplit(Voc2012(tree), 'train').open(str(own))
  with pytest.raises(errors.DataError) as error:
    list(examples)
  assert 'of split train in' in str(error.value)
  assert 'delete that folder' in str(error.value)


@pytest.mark.parametrize(
  'pattern', ['dataset_info.json', 'metadata.json', 'ids_train.json']
)
def test_damaged_notes_are_refused(tree, own, pattern):
  (path,) = pathlib.Path(own).rglob(pattern)
  path.write_text(path.read_text()[:-9])
  with pytest.raises(errors.DataError, match='damaged'):
    sources.TfdsSplit(Voc2012(root=tree), 'train').open(own).ids()
