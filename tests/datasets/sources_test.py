import dataclasses
import pathlib

import pytest

from deeplab_contrast.common import ID, IMAGE, LABEL
from deeplab_contrast.datasets import sources
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
  """A data_dir where the tree is prepared, to spoil."""
  sources.TfdsSplit(Voc2012(tree), 'train').open(str(tmp_path))
  return tmp_path


def shard(data_dir, split='train'):
  (path,) = pathlib.Path(data_dir).glob(f'*/*/1.0.0/*-{split}.array_record*')
  return path


class Named(sources.Examples):
  """Examples that are nothing but their names."""

  info = Voc2012.info
  max_size = (3, 4)

  def __init__(self, names):
    self._names = names

  def __len__(self):
    return len(self._names)

  def __getitem__(self, index):
    return {IMAGE: b'', LABEL: b'', ID: self._names[index].encode()}

  def ids(self):
    return list(self._names)


@dataclasses.dataclass(frozen=True)
class NamedSource(sources.Source):
  names: tuple[str, ...]

  info = Voc2012.info

  def open(self, data_dir):
    return Named(self.names)


HUNDRED = NamedSource(tuple(f'name_{i}' for i in range(100)))


def budget_ids(source=HUNDRED, **budget):
  return sources.LabelBudget(source, **budget).open(None).ids()


# One split.


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


@pytest.mark.parametrize('split, count', [('train[:3]', 3), ('train+val', 10)])
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


def test_losing_a_race_to_prepare_is_no_fault(tree, own, monkeypatch):
  source = sources.TfdsSplit(Voc2012(tree), 'train')
  builder = source.dataset.builder(str(own))

  def too_late(**kwargs):
    raise OSError('Directory not empty')

  monkeypatch.setattr(builder, 'download_and_prepare', too_late)
  sources._prepare(builder, source.info)


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


def test_a_subset_keeps_its_order():
  subset = sources.Subset(Named(['a', 'b', 'c', 'd']), [2, 0])
  assert subset.ids() == ['c', 'a']
  assert [example[ID] for example in subset] == [b'c', b'a']
  assert len(sources.Subset(subset, range(1))) == 1
  assert subset.max_size == (3, 4)
  assert subset.info is Voc2012.info


# A label budget.


def test_a_budget_takes_some(tree, shared):
  source = sources.TfdsSplit(Voc2012(tree), 'train')
  examples = sources.LabelBudget(source, count=3).open(shared)
  assert len(examples) == 3
  assert [e[ID].decode() for e in examples] == examples.ids()
  assert examples.max_size == (12, 16)
  assert sources.LabelBudget(source, count=3).info is Voc2012.info


def test_budgets_of_a_seed_are_nested():
  assert budget_ids(count=40)[:10] == budget_ids(count=10)
  assert sorted(budget_ids(count=100)) == sorted(HUNDRED.names)


def test_budgets_of_other_seeds_differ():
  assert set(budget_ids(count=10)) != set(budget_ids(count=10, seed=1))


def test_a_budget_does_not_depend_on_the_order_on_disk():
  backwards = NamedSource(HUNDRED.names[::-1])
  assert budget_ids(count=10) == budget_ids(backwards, count=10)


def test_a_budget_never_changes():
  # Published results name a count and a seed: these ids are what they mean.
  expected = ['name_27', 'name_34', 'name_9', 'name_76']
  assert budget_ids(count=4, seed=3) == expected


def test_no_budget_is_everything():
  assert budget_ids() == list(HUNDRED.names)


@pytest.mark.parametrize(
  'text',
  [
    'name_7\nname_3\n',
    '\ufeffname_7\r\n\r\n  name_3',
    'JPEGImages/name_7.jpg SegmentationClass/name_7.png\n'
    'leftImg8bit/name_3_leftImg8bit.png gtFine/name_3_gtFine_labelIds.png\n',
  ],
)
def test_a_file_names_the_ids(tmp_path, text):
  path = tmp_path / 'ids.txt'
  path.write_text(text)
  assert budget_ids(ids_file=str(path)) == ['name_7', 'name_3']


@pytest.mark.parametrize(
  'text, sentence',
  [
    ('name_1\nnobody\nnowhere\n', '2 ids .* 100 examples: nobody, nowhere'),
    ('name_1\nname_2\nname_1\n', 'names name_1 more than once'),
    ('\n', 'is empty'),
  ],
)
def test_wrong_files_of_ids_are_refused(tmp_path, text, sentence):
  path = tmp_path / 'ids.txt'
  path.write_text(text)
  with pytest.raises(errors.DataError, match=rf'ids\.txt .*{sentence}'):
    budget_ids(ids_file=str(path))


def test_a_missing_file_of_ids_is_refused(tmp_path):
  with pytest.raises(errors.DataError, match=r'list .*ids\.txt does not exist'):
    budget_ids(ids_file=str(tmp_path / 'ids.txt'))


def test_many_unknown_ids_are_counted(tmp_path):
  path = tmp_path / 'ids.txt'
  path.write_text('\n'.join(f'x{i}' for i in range(25)))
  with pytest.raises(errors.DataError, match='names 25 ids .* and 5 more'):
    budget_ids(ids_file=str(path))


@pytest.mark.parametrize(
  'wrong, sentence',
  [
    ({'count': 5, 'ids_file': 'a.txt'}, "both count=5 and ids_file='a.txt'"),
    ({'count': 0}, 'count must be at least 1: got 0'),
    ({'count': 101}, 'count is 101, but only 100 examples'),
    ({'count': 1, 'seed': -1}, 'seed must not be negative: got -1'),
  ],
)
def test_wrong_budgets_are_refused(wrong, sentence):
  with pytest.raises(errors.ConfigError, match=sentence):
    budget_ids(**wrong)
