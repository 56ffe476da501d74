"""Convolutions whose gradients are computed in the fastest equivalent form.

For atrous rates TensorFlow has no gradients on CPUs, so Keras' layers move
pixels from space to batch and back. Here a plain convolution runs as it is. Its
gradient by the input is a convolution of the same rate with the turned kernel;
its gradient by the kernel is a matrix product for each position of the kernel.

Taps of a kernel that only ever meet padding are left out: at rate 18, a 3x3
kernel on a map of 17x17 is a 1x1 kernel.
"""

import tensorflow as tf


def conv2d(inputs: tf.Tensor, kernel: tf.Tensor, rate: int) -> tf.Tensor:
  """An atrous convolution with stride 1 and padding 'SAME'.

  Args:
    inputs: [batch, height, width, channels].
    kernel: [k, k, channels, filters], k odd.
    rate: the atrous rate.

  Returns:
    [batch, height, width, filters].
  """
  kernel = useful_taps(kernel, inputs.shape[1:3], rate)
  if kernel.shape[:2] == [1, 1]:
    return tf.nn.conv2d(inputs, kernel, 1, 'SAME')
  if has_accelerator():
    return _forward(inputs, kernel, rate)
  return _atrous(inputs, kernel, rate)


def has_accelerator() -> bool:
  """Whether the gradients are computed by a GPU or TPU, which have kernels."""
  kinds = {device.device_type for device in tf.config.list_logical_devices()}
  return bool(kinds & {'GPU', 'TPU'})


def useful_taps(
  kernel: tf.Tensor, size: tf.TensorShape, rate: int
) -> tf.Tensor:
  """The middle of a kernel, without what only meets padding.

  Args:
    kernel: [k, k, ...], k odd.
    size: (height, width) of the input; unknown sides keep all taps.
    rate: the atrous rate.

  Returns:
    [k1, k2, ...], k1 and k2 odd.
  """
  starts = [
    0 if side is None else max(0, k // 2 - (side - 1) // rate)
    for k, side in zip(kernel.shape[:2], size, strict=True)
  ]
  if not any(starts):
    return kernel
  top, left = starts
  return kernel[top : kernel.shape[0] - top, left : kernel.shape[1] - left]


def _atrous(inputs, kernel, rate):
  @tf.custom_gradient
  def convolve(inputs, kernel):
    def gradient(upstream):
      turned = tf.transpose(tf.reverse(kernel, [0, 1]), [0, 1, 3, 2])
      return (
        _forward(upstream, turned, rate),
        _by_kernel(inputs, upstream, kernel.shape, rate),
      )

    return _forward(inputs, kernel, rate), gradient

  return convolve(inputs, kernel)


def _forward(inputs, kernel, rate):
  # ONNX's runtime pads no atrous convolution by itself.
  padded = _padded(inputs, kernel.shape, rate)
  return tf.nn.conv2d(padded, kernel, 1, 'VALID', dilations=rate)


def _padded(inputs, shape, rate):
  edges = [[rate * (k // 2)] * 2 for k in shape[:2]]
  return tf.pad(inputs, [[0, 0], *edges, [0, 0]])


def _by_kernel(inputs, upstream, shape, rate):
  """The gradient by the kernel, of its shape."""
  height, width = tf.unstack(tf.shape(upstream)[1:3])
  upstream = tf.reshape(upstream, [-1, shape[3]])
  padded = _padded(inputs, shape, rate)

  def tap(row, column):
    top, left = row * rate, column * rate
    seen = padded[:, top : top + height, left : left + width]
    return tf.matmul(
      tf.reshape(seen, [-1, shape[2]]), upstream, transpose_a=True
    )

  taps = [tap(i, j) for i in range(shape[0]) for j in range(shape[1])]
  return tf.reshape(tf.stack(taps), shape)
