"""Depthwise convolutions of large kernels with a faster gradient on CPUs.

oneDNN has a fast gradient by a depthwise kernel of 3x3 taps only: one of 5x5
takes some ten times as long as it should. A part of 3x3 taps is the kernel of
a convolution too, of the same input moved by where the part begins.
"""

import tensorflow as tf

_PART = 3


def conv2d(inputs: tf.Tensor, kernel: tf.Tensor, stride: int) -> tf.Tensor:
  """A depthwise convolution with padding 'SAME'.

  Args:
    inputs: [batch, height, width, channels].
    kernel: [k1, k2, channels, 1].
    stride: of both sides.

  Returns:
    [batch, ceil(height / stride), ceil(width / stride), channels].
  """

  @tf.custom_gradient
  def convolve(inputs, kernel):
    def gradient(upstream):
      by_input = tf.raw_ops.DepthwiseConv2dNativeBackpropInput(
        input_sizes=tf.shape(inputs),
        filter=kernel,
        out_backprop=upstream,
        strides=[1, stride, stride, 1],
        padding='SAME',
      )
      return by_input, _by_kernel(inputs, upstream, kernel.shape, stride)

    strides = [1, stride, stride, 1]
    return tf.nn.depthwise_conv2d(inputs, kernel, strides, 'SAME'), gradient

  return convolve(inputs, kernel)


def atrous(inputs: tf.Tensor, kernel: tf.Tensor, rate: int) -> tf.Tensor:
  """The same with stride 1 and an atrous rate.

  Args:
    inputs: [batch, height, width, channels], height and width known.
    kernel: [k1, k2, channels, 1], k1 and k2 odd.
    rate: the atrous rate.

  Returns:
    Of the shape of `inputs`.
  """
  # Pixels of one phase lie side by side in one map. Its own padding with zeros
  # is that of the whole, so only multiples of the rate are needed here.
  sizes = inputs.shape[1:3]
  edges = [[0, -size % rate] for size in sizes]
  phases = tf.space_to_batch(inputs, [rate, rate], edges)
  return tf.batch_to_space(conv2d(phases, kernel, 1), [rate, rate], edges)


def _by_kernel(inputs, upstream, shape, stride):
  """The gradient by the kernel, of its shape, put together from parts."""
  padded, reach = _padded(inputs, upstream, shape, stride)

  def part(row, column):
    size = [min(_PART, shape[0]), min(_PART, shape[1]), shape[2], shape[3]]
    height, width = (reach[i] - shape[i] + size[i] for i in range(2))
    return tf.raw_ops.DepthwiseConv2dNativeBackpropFilter(
      input=padded[:, row : row + height, column : column + width],
      filter_sizes=size,
      out_backprop=upstream,
      strides=[1, stride, stride, 1],
      padding='VALID',
    )

  rows, columns = _starts(shape[0]), _starts(shape[1])
  return _joined(
    [_joined([part(i, j) for j in columns], columns, 1) for i in rows], rows, 0
  )


def _padded(inputs, upstream, shape, stride):
  """The input as the convolution sees it: (tensor, (height, width))."""
  edges, reach = [], []
  sizes = tf.unstack(tf.shape(inputs)[1:3])
  outs = tf.unstack(tf.shape(upstream)[1:3])
  for side, size, out in zip(shape[:2], sizes, outs, strict=True):
    seen = (out - 1) * stride + side
    total = tf.maximum(seen - size, 0)
    edges.append([total // 2, total - total // 2])
    reach.append(seen)
  return tf.pad(inputs, [[0, 0], *edges, [0, 0]]), reach


def _starts(side):
  """Where parts of a side begin; the last one may overlap the one before."""
  last = max(0, side - _PART)
  return [*range(0, last, _PART), last]


def _joined(parts, starts, axis):
  """Parts side by side, without what one shares with the one before."""
  pieces, end = [], 0
  for part, start in zip(parts, starts, strict=True):
    size = part.shape[axis]
    pieces.append(part[:, end - start :] if axis else part[end - start :])
    end = start + size
  return tf.concat(pieces, axis)
