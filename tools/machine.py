"""Describes the machine, so that times can be compared.

python tools/machine.py
"""

import os
import time

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')

from deeplab_contrast.utils import processor  # noqa: E402

_SIZE, _CHANNELS, _REPEATS = 65, 128, 9


def convolution_rate() -> float:
  """GFLOP/s of a 3x3 convolution in float32, the fastest of several."""
  import tensorflow as tf

  pixels = tf.random.normal([4, _SIZE, _SIZE, _CHANNELS])
  kernel = tf.random.normal([3, 3, _CHANNELS, _CHANNELS])
  convolve = tf.function(lambda: tf.nn.conv2d(pixels, kernel, 1, 'SAME'))
  seconds = []
  for _ in range(_REPEATS):
    start = time.perf_counter()
    convolve().numpy()
    seconds.append(time.perf_counter() - start)
  operations = 2 * 4 * _SIZE**2 * 9 * _CHANNELS**2
  return operations / min(seconds) / 1e9


if __name__ == '__main__':
  print(
    f'Machine: {processor.describe()}; '
    f'3x3 convolutions at {convolution_rate():.0f} GFLOP/s.'
  )
