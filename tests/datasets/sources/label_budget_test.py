import numpy as np
import pytest
import tensorflow as tf

from deeplab_contrast.common import ID
from deeplab_contrast.datasets import sources
from deeplab_contrast.datasets.sources import class_counts, label_budget
from deeplab_contrast.datasets.voc2012_segmentation import Voc2012
from deeplab_contrast.utils import errors
from tests import fixtures
from tests.datasets.in_memory import HUNDRED, NamedSource, Painted


@pytest.fixture(scope='module')
def tree(tmp_path_factory):
  return fixtures.make_voc(
    tmp_path_factory.mktemp('raw'), train=7, val=3, height=12, width=16
  )


@pytest.fixture(scope='module')
def shared(tree, tmp_path_factory):
  """A data_dir where the tree is prepared."""
  folder = str(tmp_path_factory.mktemp('data'))
  sources.TfdsSplit(Voc2012(tree), 'train').open(folder)
  return folder


def budget_ids(source=HUNDRED, **budget):
  return sources.LabelBudget(source, **budget).open(None).ids()


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


def test_a_remote_file_of_ids():
  with tf.io.gfile.GFile('ram://ids.txt', 'w') as file:
    file.write('name_7\nname_3\n')
  assert budget_ids(ids_file='ram://ids.txt') == ['name_7', 'name_3']


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
    ({'count': 101}, 'count is 101, but there are only 100 examples'),
    ({'count': 1, 'seed': -1}, 'seed must not be negative: got -1'),
  ],
)
def test_wrong_budgets_are_refused(wrong, sentence):
  with pytest.raises(errors.ConfigError, match=sentence):
    budget_ids(**wrong)


# Fractions.


@pytest.mark.parametrize(
  'fraction, count', [(0.2, 20), (0.125, 13), (0.001, 1), (1.0, 100)]
)
def test_a_float_is_a_fraction(fraction, count):
  assert budget_ids(count=fraction) == budget_ids(count=count)


@pytest.mark.parametrize('fraction', [0.0, -0.5, 1.5, 200.0, float('nan')])
def test_other_floats_are_refused(fraction):
  with pytest.raises(errors.ConfigError, match='a whole number of images, or'):
    budget_ids(count=fraction)


# Published lists.


def named_by(tmp_path, text, names):
  path = tmp_path / 'ids.txt'
  path.write_text(text)
  return budget_ids(NamedSource(names), ids_file=str(path))


@pytest.mark.parametrize(
  'line, name',
  [
    (
      'JPEGImages/2007_000032.jpg SegmentationClass/2007_000032.png',
      '2007_000032',
    ),
    (
      '/JPEGImages/2007_000032.jpg\t/SegmentationClassAug/2007_000032.png',
      '2007_000032',
    ),
    (
      'leftImg8bit/train/ulm/ulm_000000_000019_leftImg8bit.png '
      'gtFine/train/ulm/ulm_000000_000019_gtFine_labelTrainIds.png',
      'ulm_000000_000019',
    ),
    (
      'leftImg8bit/train/ulm/ulm_000000_000019_leftImg8bit.png',
      'ulm_000000_000019',
    ),
    ('images/a/b.JPG,labels/a/b.PNG', 'b'),
    ('images\\a\\b.jpg labels\\a\\b.png', 'b'),
    ('images/my cat.jpg labels/my cat.png', 'my cat'),
    ('my cat', 'my cat'),
    ('my cat.png', 'my cat'),
    ('v1.5', 'v1.5'),
  ],
)
def test_the_layouts_of_published_lists(tmp_path, line, name):
  assert named_by(tmp_path, line, (name, 'other')) == [name]


@pytest.mark.parametrize(
  'line', ['images/a/b.jpg labels/a/b.png', 'a/b', 'a/b.jpg']
)
def test_ids_with_folders_are_found(tmp_path, line):
  assert named_by(tmp_path, line, ('a/b', 'c/b', 'b')) == ['a/b']


def test_ids_that_look_like_files_are_found(tmp_path):
  assert named_by(tmp_path, 'a.jpg\nb.jpg', ('a.jpg', 'b')) == ['a.jpg', 'b']


# Balanced by class.


def balanced_ids(presence, **budget):
  return budget_ids(painted(presence), balanced=True, **budget)


def painted(presence):
  """A source of images that show some of three classes each."""
  labels = [np.array([[*classes, 255]]) for classes in presence]
  names = [f'name_{i:03}' for i in range(len(labels))]

  class Source(sources.Source):
    info = Painted.info

    def open(self, data_dir):
      return Painted(names, labels)

  return Source()


# Class 0 is everywhere, 1 is in every 5th image, 2 in every 20th.
SKEWED = [[0] + [1] * (i % 5 == 0) + [2] * (i % 20 == 3) for i in range(100)]


def shows(name, class_id):
  return class_id in SKEWED[int(name.removeprefix('name_'))]


def test_a_balanced_budget_has_all_classes_alike():
  for count in (3, 6, 9, 12):
    names = balanced_ids(SKEWED, count=count)
    for class_id in (1, 2):
      shown = sum(shows(name, class_id) for name in names)
      # Every image shows class 0 too, so that the others share the budget.
      assert abs(shown - count / 2) <= 1


def test_a_balanced_budget_takes_all_there_are_of_a_rare_class():
  names = balanced_ids(SKEWED, count=40)
  assert len(set(names)) == 40
  assert sum(shows(name, 2) for name in names) == 5
  assert sum(shows(name, 1) for name in names) == 20


@pytest.mark.parametrize('seed', [0, 3])
def test_balanced_budgets_are_nested(seed):
  whole = balanced_ids(SKEWED, count=100, seed=seed)
  assert len(set(whole)) == 100
  for count in (1, 10, 37):
    assert balanced_ids(SKEWED, count=count, seed=seed) == whole[:count]


def test_a_balanced_budget_never_changes():
  expected = ['name_023', 'name_020', 'name_063', 'name_000']
  assert balanced_ids(SKEWED, count=4, seed=3) == expected


def test_balancing_does_not_depend_on_the_order_on_disk():
  presence = np.array([[c in s for c in range(3)] for s in SKEWED])
  order = label_budget._balanced(presence)
  assert sorted(order) == list(range(100))

  class Backwards(sources.Source):
    info = Painted.info

    def open(self, data_dir):
      return sources.Subset(painted(SKEWED).open(None), range(99, -1, -1))

  names = budget_ids(Backwards(), count=10, balanced=True)
  assert names == balanced_ids(SKEWED, count=10)


def test_images_without_a_class_come_last():
  names = balanced_ids([[], [0], [], [1], []], count=2)
  assert set(names) == {'name_001', 'name_003'}
  assert len(balanced_ids([[], [0], [], [1], []], count=5)) == 5


def test_what_classes_images_show_is_kept(tree, shared, monkeypatch):
  source = sources.TfdsSplit(Voc2012(tree), 'train')
  examples = source.open(shared)
  first = sources.LabelBudget(source, 4, balanced=True).open(shared).ids()
  assert examples.class_file.exists()
  kept = class_counts.of(examples)
  assert kept.shape == (7, 21) and kept.dtype == np.int64
  assert kept[:, 0].all() and not kept[:, 2].any()
  assert (kept.sum(1) > 100).all()

  def refuse(examples):
    raise AssertionError('It is kept, so there is no need to look.')

  monkeypatch.setattr(class_counts, '_examine', refuse)
  again = sources.LabelBudget(source, 4, balanced=True).open(shared).ids()
  assert again == first
  assert not list(examples.class_file.parent.glob('*.tmp'))


@pytest.mark.parametrize('spoiled', [b'', b'\x93NUMPY no'])
def test_what_is_kept_and_spoiled_is_found_again(tree, shared, spoiled):
  examples = sources.TfdsSplit(Voc2012(tree), 'train').open(shared)
  expected = class_counts.of(examples)
  examples.class_file.write_bytes(spoiled)
  np.testing.assert_array_equal(class_counts.of(examples), expected)
  examples.class_file.write_bytes(spoiled)


def test_slices_keep_their_own(tree, shared):
  part = sources.TfdsSplit(Voc2012(tree), 'train[:3]').open(shared)
  whole = sources.TfdsSplit(Voc2012(tree), 'train').open(shared)
  assert class_counts.of(part).shape == (3, 21)
  np.testing.assert_array_equal(
    class_counts.of(part), class_counts.of(whole)[:3]
  )


def test_a_folder_that_cannot_be_written_is_not_a_fault(tree, shared, caplog):
  examples = sources.TfdsSplit(Voc2012(tree), 'train').open(shared)
  examples.class_file = examples.class_file / 'below' / 'a.npy'
  assert class_counts.of(examples).shape == (7, 21)
  assert 'cannot be kept' in caplog.text


def test_balanced_and_a_list_exclude_each_other():
  with pytest.raises(errors.ConfigError, match='leaves nothing to choose'):
    budget_ids(ids_file='a.txt', balanced=True)


# The rest.


@pytest.mark.parametrize('budget', [{'count': 30}, {'count': 0.3, 'seed': 2}])
def test_the_complement_is_the_rest(budget):
  taken = sources.LabelBudget(HUNDRED, **budget)
  rest = sources.Complement(taken)
  assert rest.info is HUNDRED.info
  rest_ids = rest.open(None).ids()
  assert not set(rest_ids) & set(taken.open(None).ids())
  assert sorted(rest_ids + taken.open(None).ids()) == sorted(HUNDRED.names)


def test_the_complement_of_a_list(tmp_path):
  path = tmp_path / 'ids.txt'
  path.write_text('a/b.jpg c/b.png\n')
  budget = sources.LabelBudget(NamedSource(('a', 'b', 'c')), None, 0, str(path))
  assert sources.Complement(budget).open(None).ids() == ['a', 'c']


@pytest.mark.parametrize('count', [None, 100, 1.0])
def test_there_must_be_a_rest(count):
  budget = sources.LabelBudget(HUNDRED, count)
  with pytest.raises(errors.ConfigError, match='takes all 100 examples'):
    sources.Complement(budget).open(None)


@pytest.mark.parametrize(
  ('source', 'settings'),
  [
    (HUNDRED, {}),
    (painted([[i % 3] for i in range(30)]), {'balanced': True}),
  ],
)
def test_held_out_images_are_those_of_a_larger_budget(source, settings):
  budget = sources.LabelBudget(source, 4, **settings)
  larger = sources.LabelBudget(source, 7, **settings).open(None).ids()
  held_out = sources.HeldOut(budget, 3).open(None).ids()
  assert budget.open(None).ids() + held_out == larger


def test_held_out_images_of_a_list(tmp_path):
  taken = HUNDRED.open(None).ids()[:98]
  path = tmp_path / 'ids.txt'
  path.write_text('\n'.join(taken))
  budget = sources.LabelBudget(HUNDRED, ids_file=str(path))
  held_out = sources.HeldOut(budget, 2).open(None).ids()
  assert set(held_out) == set(HUNDRED.open(None).ids()) - set(taken)
  with pytest.raises(errors.ConfigError, match='leaves only 2 of 100'):
    sources.HeldOut(budget, 3).open(None)
