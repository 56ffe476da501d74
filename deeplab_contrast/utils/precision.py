"""The precision in which this machine trains faster."""

import functools
import time

# bfloat16 rounds more, so it must be worth it.
_LEAST_GAIN = 1.1

_SHAPE, _LAYERS, _REPEATS = (4, 33, 33, 128), 4, 5


@functools.cache
def faster() -> str:
  """'float32' or 'mixed_bfloat16', measured once in a process.

  Times the gradients of a few convolutions with batch norm, in turn.
  """
  import tensorflow as tf

  steps = {
    'float32': _step(tf.float32),
    'mixed_bfloat16': _step(tf.bfloat16),
  }
  seconds = dict.fromkeys(steps, float('inf'))
  for _ in range(_REPEATS):
    for name, step in steps.items():
      start = time.perf_counter()
      step().numpy()
      # The first time it compiles, and is slowest.
      seconds[name] = min(seconds[name], time.perf_counter() - start)
  ratio = seconds['float32'] / seconds['mixed_bfloat16']
  found = 'mixed_bfloat16' if ratio >= _LEAST_GAIN else 'float32'
  print(
    f"Precision 'auto': {found} (bfloat16 is {ratio:.2f} times as fast as "
    'float32).',
    flush=True,
  )
  return found


def _step(dtype):
  """A function that computes the gradients of a small network."""
  import tensorflow as tf

  channels = _SHAPE[-1]
  images = tf.random.stateless_normal(_SHAPE, (0, 0))
  kernels = tf.random.stateless_normal(
    [_LAYERS, 3, 3, channels, channels], (0, 1), stddev=0.03
  )
  ones = tf.ones([channels])

  @tf.function(autograph=False)
  def step():
    with tf.GradientTape() as tape:
      tape.watch([images, kernels])
      net = tf.cast(images, dtype)
      for kernel in tf.unstack(tf.cast(kernels, dtype)):
        net = tf.nn.conv2d(net, kernel, 1, 'SAME')
        net = tf.compat.v1.nn.fused_batch_norm(net, ones, 0.0 * ones)[0]
        net = tf.nn.relu(net)
      loss = tf.reduce_mean(tf.cast(net, tf.float32) ** 2)
    return tf.add_n(
      [tf.reduce_sum(x) for x in tape.gradient(loss, [images, kernels])]
    )

  return step
