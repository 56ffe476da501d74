import numpy as np
import tensorflow as tf

from deeplab_contrast.core.network import channel_dropout


def test_dropped_channels_complete_each_other():
  seeds = tf.stack([[i, 7] for i in range(64)])
  features = tf.ones([128, 2, 2, 16])
  drop = channel_dropout.ChannelDropout(seeds, 0.5, 2)
  dropped = drop(features, 4).numpy()
  first, second = dropped[:64, 0, 0], dropped[64:, 0, 0]
  np.testing.assert_array_equal(first + second, 2.0)
  left = (first == 1.0).all(-1)
  assert 20 < left.sum() < 44  # Half of them: 32, deviation 4.
  assert set(np.unique(first[~left])) == {0.0, 2.0}
  assert 0.4 < (first[~left] == 0).mean() < 0.6
  assert not np.array_equal(drop(features, 8), dropped)
