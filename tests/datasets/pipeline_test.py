import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from deeplab_contrast.common import ID, IMAGE, LABEL, SEED
from deeplab_contrast.datasets import pipeline, sources
from deeplab_contrast.utils import errors
from tests.datasets import in_memory

COUNT = 11


def png(value, height=6, width=8):
  buffer = io.BytesIO()
  Image.fromarray(np.full([height, width], value, np.uint8)).save(buffer, 'PNG')
  return buffer.getvalue()


class Flat(sources.Examples):
  """Example i is grey of value i, named 'i'; sizes may grow with i."""

  info = None
  max_size = (6, 30)

  def __init__(self, count=COUNT, grow=0):
    self._data = [png(i, width=8 + grow * i) for i in range(count)]

  def __len__(self):
    return len(self._data)

  def __getitem__(self, index):
    data = self._data[index]
    return {IMAGE: data, LABEL: data, ID: str(index).encode()}

  def ids(self):
    return [str(i) for i in range(len(self))]


def decode(example):
  image = tf.io.decode_png(example[IMAGE], channels=3)
  label = tf.io.decode_png(example[LABEL], channels=1)
  return {
    **example,
    IMAGE: tf.cast(image, tf.float32),
    LABEL: tf.cast(label[..., 0], tf.int32),
  }


def fix(example):
  return {
    **example,
    IMAGE: tf.ensure_shape(example[IMAGE], [6, 8, 3]),
    LABEL: tf.ensure_shape(example[LABEL], [6, 8]),
  }


def noise(example):
  noisy = example[IMAGE] + tf.random.stateless_normal([6, 8, 3], example[SEED])
  return {**example, IMAGE: noisy}


AUGMENTED = (decode, fix, noise)


def batches(count, transforms=AUGMENTED, examples=None, **options):
  """The first batches of a run, with ids, as NumPy arrays."""
  examples = Flat() if examples is None else examples
  options = {'batch_size': 1, 'seed': 5, 'keep_id': True, **options}
  dataset = pipeline.Pipeline(None, transforms).dataset(examples, **options)
  return list(dataset.take(count).as_numpy_iterator())


def ids(batches):
  return [name.decode() for batch in batches for name in batch[ID]]


def pixels(batches):
  return np.concatenate([batch[IMAGE] for batch in batches])


def test_batches_are_dense_and_of_static_shape():
  dataset = pipeline.Pipeline(None, AUGMENTED).dataset(
    Flat(), batch_size=2, seed=0
  )
  assert dataset.element_spec == {
    IMAGE: tf.TensorSpec([2, 6, 8, 3], tf.float32),
    LABEL: tf.TensorSpec([2, 6, 8], tf.int32),
    SEED: tf.TensorSpec([2, 2], tf.int32),
  }


def test_image_label_and_id_stay_together():
  for batch in batches(COUNT, [decode, fix], batch_size=3):
    for i, name in enumerate(batch[ID]):
      values = {*batch[IMAGE][i].flat, *batch[LABEL][i].flat}
      assert values == {int(name)}


def test_every_epoch_is_a_different_permutation():
  order = ids(batches(3 * COUNT))
  epochs = [order[i * COUNT : (i + 1) * COUNT] for i in range(3)]
  for epoch in epochs:
    assert sorted(epoch) == sorted(Flat().ids())
  assert epochs[0] != epochs[1] != epochs[2]
  assert epochs[0] != sorted(epochs[0])


def test_the_seed_changes_order_and_augmentation():
  one, other = batches(COUNT), batches(COUNT, seed=6)
  assert ids(one) != ids(other)
  place = ids(other).index(ids(one)[0])
  assert not np.array_equal(one[0][IMAGE], other[place][IMAGE])


@pytest.mark.parametrize('start', [1, 10, 23])
def test_any_start_gives_what_a_whole_run_gives(start):
  whole, part = batches(30), batches(30 - start, start=start)
  assert ids(part) == ids(whole)[start:]
  np.testing.assert_array_equal(pixels(part), pixels(whole)[start:])


@pytest.mark.parametrize('batch_size', [2, 5])
def test_batch_size_changes_nothing(batch_size):
  whole, large = batches(20), batches(20 // batch_size, batch_size=batch_size)
  assert ids(large) == ids(whole)
  np.testing.assert_array_equal(pixels(large), pixels(whole))


@pytest.mark.parametrize('num_hosts', [2, 3])
def test_hosts_share_the_positions(num_hosts):
  whole = batches(24, start=6)
  for host in range(num_hosts):
    share = batches(4, start=6, host=host, num_hosts=num_hosts, batch_size=2)
    assert ids(share) == ids(whole)[host::num_hosts][:8]
    np.testing.assert_array_equal(
      pixels(share), pixels(whole)[host::num_hosts][:8]
    )


def test_two_runs_are_alike_bit_for_bit():
  np.testing.assert_array_equal(pixels(batches(20)), pixels(batches(20)))


def test_an_example_is_augmented_anew_in_every_epoch():
  run = batches(2 * COUNT)
  first, again = [i for i, name in enumerate(ids(run)) if name == '4']
  assert not np.array_equal(run[first][IMAGE], run[again][IMAGE])


def test_every_transform_has_its_own_seed():
  def note(name):
    return lambda example: {**example, name: example[SEED]}

  run = batches(3, [note('a'), note('b'), decode, fix])
  seeds = {tuple(batch[name][0]) for batch in run for name in 'ab'}
  assert len(seeds) == 6
  assert run[0]['a'].dtype == np.int32
  # None of them has that of the step, which comes with the batch.
  assert all(tuple(batch[SEED][0]) not in seeds for batch in run)


def test_python_knows_what_a_run_sees():
  run = ids(batches(2 * COUNT, batch_size=1))
  examples = Flat()
  assert pipeline.ids_at(examples, 5, range(2 * COUNT)) == run
  index = pipeline.position_to_index(13, COUNT, 5)
  assert type(index) is int
  assert examples.ids()[index] == run[13]


def test_one_example_is_a_dataset():
  assert ids(batches(3, examples=Flat(1))) == ['0', '0', '0']


def test_far_positions_are_as_near_as_the_first():
  assert ids(batches(2, start=10**15)) == pipeline.ids_at(
    Flat(), 5, [10**15, 10**15 + 1]
  )


@pytest.mark.parametrize(
  'wrong, sentence',
  [
    ({'batch_size': 0}, 'batch_size must be positive: got 0'),
    ({'host': 2, 'num_hosts': 2}, 'no host 2 among 2'),
    ({'start': 3, 'num_hosts': 2}, 'start is 3, .* multiple of the 2 hosts'),
    ({'start': -2}, 'start is -2'),
  ],
)
def test_wrong_numbers_are_refused(wrong, sentence):
  with pytest.raises(errors.ConfigError, match=sentence):
    batches(1, **wrong)


def test_images_of_several_sizes_make_no_batch():
  with pytest.raises(
    errors.ConfigError, match=r"\['image', 'label'\] differ in size"
  ):
    batches(1, [decode], batch_size=2)
  assert len(batches(1, [decode], batch_size=1)) == 1


def test_no_examples_are_refused():
  with pytest.raises(errors.DataError, match='no examples'):
    pipeline.Pipeline(None, ()).dataset(Flat(0), batch_size=1, seed=0)
  with pytest.raises(errors.DataError, match='no examples'):
    pipeline.once(Flat(0), (), 1)


class Broken(Flat):
  def __getitem__(self, index):
    raise errors.DataError('Example 3 of a.array_record cannot be read.')


class Buggy(Flat):
  def __getitem__(self, index):
    raise KeyError('image')


def test_an_error_of_reading_is_understood():
  with pytest.raises(tf.errors.OpError) as error:
    batches(1, examples=Broken())
  understood = pipeline.data_error(error.value)
  assert isinstance(understood, errors.DataError)
  assert str(understood) == 'Example 3 of a.array_record cannot be read.'


def test_other_errors_are_not_taken_for_bad_data():
  with pytest.raises(tf.errors.OpError, match='KeyError') as error:
    batches(1, examples=Buggy())
  assert pipeline.data_error(error.value) is None


class Known(Flat):
  info = in_memory.THREE


def test_a_label_of_no_class_is_refused_by_name():
  few = [decode, fix]
  assert len(list(pipeline.once(Known(3), few, 1))) == 3
  with pytest.raises(tf.errors.OpError) as error:
    list(pipeline.once(Known(4), few, 1))
  told = (
    'The mask of 3 has the label 3, but three has 3 classes: prepare the '
    'dataset again.'
  )
  assert str(pipeline.data_error(error.value)) == told
  with pytest.raises(tf.errors.OpError, match='The mask of 3 has the label 3'):
    batches(4, few, Known(4))


# Once.


def test_once_is_each_example_in_order_and_filler():
  run = list(pipeline.once(Flat(), [decode, fix], 4).as_numpy_iterator())
  assert [len(batch[ID]) for batch in run] == [4, 4, 4]
  assert ids(run) == [*Flat().ids(), '']
  np.testing.assert_array_equal(run[2][LABEL][-1], np.full([6, 8], 255))
  np.testing.assert_array_equal(run[2][IMAGE][-1], np.zeros([6, 8, 3]))
  for batch in run:
    assert batch[IMAGE].dtype == np.float32
    assert SEED not in batch


def test_once_needs_no_filler_when_all_batches_are_full():
  run = list(pipeline.once(Flat(), [decode, fix], COUNT).as_numpy_iterator())
  assert [ids([batch]) for batch in run] == [Flat().ids()]


@pytest.mark.parametrize(('hosts', 'replicas'), [(2, 1), (3, 2), (12, 1)])
def test_once_is_shared_by_hosts_in_as_many_batches(hosts, replicas):
  shares = [
    list(
      pipeline.once(
        Flat(), [decode, fix], 2, host, hosts, replicas
      ).as_numpy_iterator()
    )
    for host in range(hosts)
  ]
  (count,) = {len(share) for share in shares}
  assert count % replicas == 0
  names = [ids(share) for share in shares]
  for host, found in enumerate(names):
    expected = Flat().ids()[host::hosts]
    assert found == expected + [''] * (2 * count - len(expected))
  # No batch of fillers for all.
  assert 2 * (count - replicas) * hosts < COUNT


def test_once_takes_images_of_any_size_one_by_one():
  run = list(pipeline.once(Flat(grow=2), [decode], 1).as_numpy_iterator())
  assert ids(run) == Flat().ids()
  assert [batch[IMAGE].shape for batch in run][-1] == (1, 6, 28, 3)
  with pytest.raises(errors.ConfigError, match='pad or crop'):
    pipeline.once(Flat(grow=2), [decode], 2)


def test_once_is_repeatable_even_with_randomness():
  runs = [
    list(pipeline.once(Flat(), AUGMENTED, 4).as_numpy_iterator())
    for _ in range(2)
  ]
  np.testing.assert_array_equal(pixels(runs[0]), pixels(runs[1]))
