"""The smallest real network, batches and trainer, for tests."""

import functools
import sys

import keras
import numpy as np
import tensorflow as tf

from deeplab_contrast import common
from deeplab_contrast.core.network import aspp, decoder, model, resnet_v1
from deeplab_contrast.datasets import pipeline
from deeplab_contrast.training import trainer

CLASSES = 3


def small_parts(filters, **aspp_arguments):
  """Functions that build a narrow ASPP and decoder, for `model.Trunk`."""
  return (
    functools.partial(aspp.ASPP, aspp_convs_filters=filters, **aspp_arguments),
    functools.partial(decoder.Decoder, decoder_filters=filters),
  )


class Backbone(resnet_v1.ResNetV1):
  """ResNet-18 with fewer units, since tests mostly trace graphs."""

  variants = {
    'resnet_v1_18_beta': (
      resnet_v1.ResNetV1.variants['resnet_v1_18_beta'][0],
      (2, 1, 1, 1),
      (16, 16, 32),
      (1, 1, 1),
    )
  }


def network(task, seed=0, dropout_rate=0.1, **trunk_arguments):
  """A built network with the task's head, a function of the seed."""
  keras.utils.set_random_seed(seed)
  backbone = Backbone('resnet_v1_18_beta', width=0.125)
  parts = small_parts(8, dropout_rate=dropout_rate)
  trunk = model.Trunk(backbone, *parts, **trunk_arguments)
  result = model.DeepLab(
    trunk, task.make_head(CLASSES), projection=task.make_projection()
  )
  result.build_variables()
  return result


def make_trainer(steps=4, learning_rate=0.05, **kwargs):
  """A trainer with two images per step that saves after every step."""
  schedule = keras.optimizers.schedules.CosineDecay(learning_rate, steps)
  optimizer = keras.optimizers.SGD(schedule, momentum=0.9)
  arguments = {'batch_size': 2, 'save_every': 1, 'log_every': 1, **kwargs}
  return trainer.Trainer(optimizer, steps, **arguments)


def example(position, size=33, views=False):
  """The example at a position of the stream, as NumPy arrays."""
  rng = np.random.default_rng(position)
  # Stripes that are wide enough for features at stride 4.
  stripes = rng.integers(0, CLASSES, -(-size // 11)).repeat(11)[:size]
  label = np.tile(stripes, (size, 1))
  label[: position % 3] = common.IGNORE_LABEL
  image = label[..., None] * 60.0 + rng.uniform(0, 60, (size, size, 3))
  result = {
    common.LABEL: label.astype(np.int32),
    common.SEED: np.array([position, 0], np.int32),
  }
  if views:
    result[common.VIEWS] = np.stack([image, 255 - image]).astype(np.float32)
  else:
    result[common.IMAGE] = image.astype(np.float32)
  return result


def unlabelled_example(position, size=33, strong=1):
  """An example for `Consistency`, whose hidden label is that of `example`."""
  rng = np.random.default_rng(1000 + position)
  plain = example(1000 + position, size)
  image = plain[common.IMAGE]
  noise = rng.uniform(-40, 40, (strong, *image.shape)).astype(np.float32)
  mix = np.zeros((strong, size, size), bool)
  mix[:, 3 : 5 + position % 7, : size // 2] = True
  valid = np.ones((size, size), bool)
  valid[size - 1 - position % 3 :] = False
  return {
    common.VIEWS: np.concatenate([image[None], np.clip(image + noise, 0, 255)]),
    common.MIX: mix,
    common.VALID: valid,
    common.LABEL: plain[common.LABEL],
    common.SEED: np.array([position, 1], np.int32),
  }


def with_unlabelled(stream, strong=1):
  """A stream whose batches have as many unlabelled examples."""

  def joined(batch_size, start, stop, host, num_hosts, is_open):
    def generate():
      for position in range(start + host, stop, num_hosts):
        yield unlabelled_example(position, strong=strong)

    signature = {
      k: tf.TensorSpec(v.shape, v.dtype)
      for k, v in unlabelled_example(0, strong=strong).items()
    }
    others = tf.data.Dataset.from_generator(
      generate, output_signature=signature
    ).batch(batch_size, drop_remainder=True)
    labelled = stream(batch_size, start, stop, host, num_hosts, is_open)
    return tf.data.Dataset.zip(labelled, others).map(
      lambda batch, other: {**batch, common.UNLABELLED: other}
    )

  return joined


def make_stream(views=False, fail_at=None, spoil_at=None, period=None, size=33):
  """A stream for `Trainer.fit`.

  Args:
    views: examples for `Contrastive` rather than `Softmax`.
    fail_at: the position at which reading raises an error.
    spoil_at: the position whose pixels are not finite.
    period: number of examples after which they repeat.
    size: height and width of images.
  """
  first = example(0, size, views)

  def stream(batch_size, start, stop, host, num_hosts, is_open):
    def generate():
      position = start + host
      while position < stop and is_open():
        if position == fail_at:
          raise RuntimeError('The power went off.')
        values = example(position % (period or sys.maxsize), size, views)
        if position == spoil_at:
          values = {
            k: v * np.float32('nan') if v.dtype == np.float32 else v
            for k, v in values.items()
          }
        yield values
        position += num_hosts

    signature = {k: tf.TensorSpec(v.shape, v.dtype) for k, v in first.items()}
    dataset = tf.data.Dataset.from_generator(
      generate, output_signature=signature
    )
    dataset = dataset.batch(batch_size, drop_remainder=True)
    return dataset.with_options(pipeline.options())

  return stream


def weights(model_):
  """All weights by path, as arrays."""
  return {v.path: np.array(v) for v in model_.weights}
