"""Runs a data op eagerly and inside tf.data, where static shapes get lost."""

import numpy as np
import tensorflow as tf


def both_ways(op, example):
  """The results of `op` on an example: eagerly, and in a graph of unknown size.

  Args:
    op: a function of an example.
    example: a dict of arrays.

  Returns:
    The two results, as structures of NumPy arrays; they agree.
  """
  example = {key: tf.convert_to_tensor(value) for key, value in example.items()}
  eager = op(example)
  (graph,) = _mapped(op, example)
  for ours, theirs in zip(
    tf.nest.flatten(eager), tf.nest.flatten(graph), strict=True
  ):
    assert ours.dtype == theirs.dtype
    if ours.dtype.is_floating:
      np.testing.assert_allclose(ours, theirs, atol=1e-3)
    else:
      np.testing.assert_array_equal(ours, theirs)
  return [tf.nest.map_structure(lambda t: t.numpy(), r) for r in (eager, graph)]


def graph_spec(op, example):
  """Static types and shapes of the results of `op` on images of any size."""
  example = {key: tf.convert_to_tensor(value) for key, value in example.items()}
  return _mapped(op, example).element_spec


def draws(op, count):
  """The results of `op` for `count` different seeds, stacked; one graph."""
  dataset = tf.data.Dataset.range(count, output_type=tf.int32)
  dataset = dataset.map(lambda i: op(tf.stack([i, 7]))).batch(count)
  return tf.nest.map_structure(
    lambda t: t.numpy(), dataset.get_single_element()
  )


def _mapped(op, example):
  dataset = tf.data.Dataset.from_tensors(example)
  return dataset.map(lambda e: op({k: _of_any_size(v) for k, v in e.items()}))


def _of_any_size(tensor):
  if len(tensor.shape) < 2:
    return tensor
  shape = [None, None, *tensor.shape[2:]]
  return tf.compat.v1.placeholder_with_default(tensor, shape)
