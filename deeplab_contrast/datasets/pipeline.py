"""From examples to batches, as a pure function of (seed, position).

A run sees the positions 0, 1, 2, ... Position n is in epoch n // N, at a place
that a permutation of that epoch maps to an example (unless the source has its
own order, see `order.Interleaved`); everything random that happens to the
example is drawn from (seed, n). So a run can start at any position at once,
several hosts share the positions without communication, and a resumed run sees
exactly what it would have seen.
"""

import contextlib
import dataclasses
import re
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import tensorflow as tf

from deeplab_contrast.common import ID, IGNORE_LABEL, IMAGE, LABEL, SEED
from deeplab_contrast.datasets import fused, info, sources, transforms
from deeplab_contrast.datasets.sources import order
from deeplab_contrast.utils import errors, processor

_PREFETCHED = 2  # Batches.


@dataclasses.dataclass(frozen=True)
class Pipeline:
  """What to train on: a source, and what to do to each of its examples.

  Attributes:
    source: where the examples come from.
    transforms: steps from dict to dict. The first gets IMAGE and LABEL
      (encoded) and ID, strings [], and each gets its own SEED, int32 [2].
      After the last, everything is dense and (for batches of more than one)
      of one static shape.

  Raises:
    ConfigError: the transforms are in an order that cannot work.
  """

  source: sources.Source
  transforms: Sequence[transforms.Transform]

  def __post_init__(self) -> None:
    transforms.check(self.transforms)

  def dataset(
    self,
    examples: sources.Examples,
    *,
    batch_size: int,
    seed: int,
    start: int = 0,
    host: int = 0,
    num_hosts: int = 1,
    keep_id: bool = False,
    stop: int | None = None,
    is_open: Callable[[], bool] | None = None,
  ) -> tf.data.Dataset:
    """Endless, shuffled, augmented batches; starts anywhere at no cost.

    Args:
      examples: the opened source, `self.source.open(data_dir)`.
      batch_size: examples per batch of this host.
      seed: seed of the order and of all augmentation.
      start: the position of the first example over all hosts: a multiple of
        `num_hosts`.
      host: the number of this host: it takes the positions start + host,
        start + host + num_hosts, ...
      num_hosts: how many hosts share the positions.
      keep_id: whether batches keep ID; accelerators take no strings.
      stop: the position to end before, over all hosts; None for no end.
      is_open: called before each position; once it returns False, nothing more
        is read. An iterator must be read to its end before it is dropped, or it
        may wait forever for a read that waits for Python's lock.

    Returns:
      A tf.data.Dataset of dicts of [batch_size, ...] tensors, with SEED, int32
      [batch_size, 2], for random draws in the step itself. It must not be
      sharded again. Reading errors end its iteration: see `data_error`.

    Raises:
      ConfigError: the numbers contradict each other, or batch_size is above 1
        and the examples differ in size after the transforms.
      DataError: there are no examples.
    """
    _check(examples, batch_size, start, host, num_hosts)

    def load(position: tf.Tensor) -> transforms.Example:
      index = _index(position, examples, seed)
      example = _read(examples, index, _seed_at(seed, position))
      own_seed = example[SEED]
      example = {**_apply(self.transforms, example), SEED: own_seed}
      example = _with_known_labels(example, examples.info)
      return example if keep_id else _without(example, ID)

    end = tf.int64.max if stop is None else stop
    positions = tf.data.Dataset.range(start + host, end, num_hosts)
    if is_open is not None:
      positions = positions.take_while(
        lambda _: tf.numpy_function(is_open, [], tf.bool)
      )
    return _batches(_map(positions, load, batch_size), batch_size)


def once(
  examples: sources.Examples,
  steps: Sequence[transforms.Transform],
  batch_size: int,
  host: int = 0,
  num_hosts: int = 1,
  replicas: int = 1,
) -> tf.data.Dataset:
  """Every example once, in order, for evaluation.

  The last batches are filled up with examples that do not count: LABEL is
  IGNORE_LABEL, ID is empty, all else is 0.

  Args:
    examples: an opened source.
    steps: transforms, see Pipeline; their SEED depends on the position only.
    batch_size: examples per batch.
    host: the number of this host: it takes the examples host,
      host + num_hosts, ...
    num_hosts: how many hosts share the examples. Each gets the same number of
      batches.
    replicas: how many replicas of this host take one batch each at a time:
      each gets the same number of batches.

  Returns:
    A tf.data.Dataset of dicts of [batch_size, ...] tensors, with ID.

  Raises:
    ConfigError: batch_size is above 1, but the examples differ in size.
    DataError: there are no examples.
  """
  _check(examples, batch_size, 0, host, num_hosts)

  def load(position: tf.Tensor) -> transforms.Example:
    example = _read(examples, position, _seed_at(0, position))
    return _with_known_labels(_apply(steps, example), examples.info)

  own = range(host, len(examples), num_hosts)
  most = -(-len(examples) // num_hosts)
  positions = tf.data.Dataset.range(own.start, own.stop, own.step)
  dataset = _map(positions, load, batch_size)
  missing = most + -most % (batch_size * replicas) - len(own)
  if missing:
    filler = tf.data.Dataset.from_tensors(_filler(dataset.element_spec))
    dataset = dataset.concatenate(filler.repeat(missing))
  return _batches(dataset, batch_size)


def options() -> tf.data.Options:
  """The options of every dataset that is trained or evaluated on."""
  result = tf.data.Options()
  # The hosts share the positions already.
  result.experimental_distribute.auto_shard_policy = (
    tf.data.experimental.AutoShardPolicy.OFF
  )
  # Its thread sleeps twice as long each time, and TensorFlow 2.21 may wait for
  # it to wake when an iterator is dropped: a training of 5 seconds took 10.
  result.autotune.enabled = False
  return result


def position_to_index(position: int, size: int, seed: int) -> int:
  """Which of `size` examples a run with `seed` sees at a position."""
  return int(order.shuffled(tf.constant(position, tf.int64), size, seed))


def ids_at(
  examples: sources.Examples, seed: int, positions: Iterable[int]
) -> list[str]:
  """The names of the examples that a run sees at some positions.

  Args:
    examples: what the run trains on.
    seed: seed of the run.
    positions: for the steps [a, b): range(a * batch, b * batch), with the batch
      size of all hosts together.

  Returns:
    One id per position.
  """
  places = [tf.constant(n, tf.int64) for n in positions]
  indices = [int(_index(n, examples, seed)) for n in places]
  return [examples[index][ID].decode() for index in indices]


def data_error(error: tf.errors.OpError) -> errors.DataError | None:
  """The DataError behind the error that tf.data made of it.

  Args:
    error: caught while iterating over a dataset.

  Returns:
    The DataError that a source raised; None if it was another error.
  """
  found = re.search(r'\bDataError: (.*)', error.message)
  return errors.DataError(found[1]) if found else None


@contextlib.contextmanager
def data_errors() -> Iterator[None]:
  """Raises the DataError that a source raised, in place of tf.data's error."""
  try:
    yield
  except tf.errors.OpError as error:
    raise (data_error(error) or error) from error


def _check(examples, batch_size, start=0, host=0, num_hosts=1):
  if not len(examples):
    raise errors.DataError('The source has no examples to train or test on.')
  if batch_size < 1:
    raise errors.ConfigError(f'batch_size must be positive: got {batch_size}.')
  if not 0 <= host < num_hosts:
    raise errors.ConfigError(f'There is no host {host} among {num_hosts}.')
  if start < 0 or start % num_hosts:
    raise errors.ConfigError(
      f'start is {start}, but must be a multiple of the {num_hosts} hosts.'
    )


def _index(position, examples, seed):
  if examples.order is not None:
    return examples.order(position, seed)
  return order.shuffled(position, len(examples), seed)


def _seed_at(seed, position):
  """int32 [2] for the example at a position."""
  return tf.random.experimental.stateless_fold_in(
    tf.stack([tf.cast(seed, tf.int64), 0]), tf.cast(position, tf.int32)
  )


def _read(
  examples: sources.Examples, index: tf.Tensor, seed: tf.Tensor
) -> transforms.Example:
  @tf.autograph.experimental.do_not_convert
  def read(index):
    example = examples[int(index)]
    # As objects: NumPy's own strings would lose trailing zero bytes.
    return np.array([example[key] for key in (IMAGE, LABEL, ID)], object)

  strings = tf.numpy_function(read, [index], tf.string)
  strings.set_shape([3])
  return {IMAGE: strings[0], LABEL: strings[1], ID: strings[2], SEED: seed}


def _apply(
  steps: Sequence[transforms.Transform], example: transforms.Example
) -> transforms.Example:
  seed = example[SEED]
  for stage in fused.stages(steps):
    seeds = [
      tf.random.experimental.stateless_fold_in(seed, i) for i in stage.numbers
    ]
    example = stage.run(example, seeds)
  return _without(example, SEED)


def _with_known_labels(
  example: transforms.Example, about: info.DatasetInfo | None
) -> transforms.Example:
  """The example; reading it fails if a label is not a class.

  Preparation refuses such masks. But files change, and a compiled step would
  turn an unknown class into NaN or ignore it.
  """
  label = example[LABEL]
  if about is None or not label.dtype.is_integer:  # Not decoded.
    return example
  known = (label >= 0) & (label < about.num_classes) | (label == IGNORE_LABEL)

  def fail(name, worst):
    raise errors.DataError(
      f'The mask of {name.decode()} has the label {worst}, but {about.name} '
      f'has {about.num_classes} classes: prepare the dataset again.'
    )

  def refuse():
    worst = tf.reduce_max(tf.where(known, 0, label))
    return tf.numpy_function(fail, [example[ID], worst], tf.bool)

  is_good = tf.cond(tf.reduce_all(known), lambda: True, refuse)
  with tf.control_dependencies([is_good]):
    return {**example, LABEL: tf.identity(label)}


def _without(example, key):
  return {k: v for k, v in example.items() if k != key}


def _filler(spec):
  """An example that does not count."""
  values = {LABEL: IGNORE_LABEL, ID: ''}
  return {
    key: tf.fill(s.shape, tf.constant(values.get(key, 0), s.dtype))
    for key, s in spec.items()
  }


def _map(dataset, function, batch_size):
  # AutoGraph would take seconds, and no branch here depends on tensors.
  dataset = dataset.map(
    tf.autograph.experimental.do_not_convert(function),
    num_parallel_calls=processor.cores(),
    deterministic=True,
  )
  spec = dataset.element_spec
  loose = [key for key, s in spec.items() if not s.shape.is_fully_defined()]
  if loose and batch_size > 1:
    raise errors.ConfigError(
      f'After the transforms {sorted(loose)} differ in size, so no batch of '
      f'{batch_size} can be made: pad or crop to one size, or use batch_size 1.'
    )
  return dataset


def _batches(dataset, batch_size):
  dataset = dataset.batch(batch_size, drop_remainder=True)
  return dataset.prefetch(_PREFETCHED).with_options(options())
