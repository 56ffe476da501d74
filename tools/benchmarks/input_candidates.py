"""The candidates of `benchmark.py input`: endless generators of batches.

Each takes examples (dicts of encoded bytes) and a batch size, and goes through
the examples in our pipeline's order.
"""

import multiprocessing
from multiprocessing import shared_memory

import numpy as np

from tools.benchmarks.input import CROP, STRENGTH, WORKERS

SEED = 0
SLOTS = 2 * WORKERS  # Batches that are being filled or read.


def ours(examples, batch):
  """Our pipeline of contrastive pretraining."""
  from deeplab_contrast.datasets import transforms

  twin = transforms.ColorDistortion(strength=STRENGTH)
  yield from _ours(examples, batch, transforms.TwoViews(twin))


def ours_softmax(examples, batch):
  """Our pipeline of softmax training."""
  from deeplab_contrast.datasets import transforms

  yield from _ours(examples, batch, transforms.BrightnessContrast())


def _ours(examples, batch, color):
  from deeplab_contrast.datasets import (
    pipeline,
    transforms,
    voc2012_segmentation,
  )

  steps = (
    transforms.Decode(),
    transforms.RandomScale(),
    transforms.Pad(CROP),
    transforms.RandomCrop(CROP),
    transforms.RandomFlip(),
    color,
  )
  # With the classes, every label is checked, as in a training.
  opened = _opened(examples, voc2012_segmentation.Voc2012.info)
  yield from _read(pipeline.Pipeline(None, steps), opened, batch)


def _read(source, opened, batch):
  """Reads one of our pipelines as a training does, which also closes it."""
  from deeplab_contrast.training import gates

  gate = gates.Gate()
  batches = iter(
    source.dataset(opened, batch_size=batch, seed=SEED, is_open=gate.is_open)
  )
  with gate.drained(batches):
    yield from batches


def _opened(examples, info=None):
  """The examples as a source; labels are unchecked without `info`."""
  from deeplab_contrast.datasets import sources

  class Listed(sources.Examples):
    """Examples in memory."""

    max_size = None

    def __init__(self):
      self.info = info

    def __len__(self):
      return len(examples)

    def __getitem__(self, index):
      return examples[index]

    def ids(self):
      return [example['id'].decode() for example in examples]

  return Listed()


def decode_only(examples, batch):
  """Decodes image and label; delivers one pixel of each, so copies nothing."""
  import tensorflow as tf

  from deeplab_contrast.datasets import pipeline
  from deeplab_contrast.imaging import decoding

  def decode(example):
    image = decoding.image(example['image'])
    label = decoding.label(example, tf.shape(image)[:2])
    return {'image': image[0, 0], 'label': label[0, 0]}

  yield from _read(pipeline.Pipeline(None, (decode,)), _opened(examples), batch)


def keras(examples, batch):
  """keras-cv's colours in tf.data, per image, as its guides do."""
  import keras_cv
  import tensorflow as tf

  from deeplab_contrast.imaging import decoding

  layers = keras_cv.layers
  span = 0.8 * STRENGTH
  jitter = [
    layers.RandomBrightness(factor=span, value_range=(0, 255)),
    layers.RandomContrast(factor=span, value_range=(0, 255)),
    # keras-cv's saturation factor 0.5 changes nothing.
    layers.RandomSaturation(factor=(0.5 - span / 2, 0.5 + span / 2)),
    layers.RandomHue(factor=0.2 * STRENGTH, value_range=(0, 255)),
  ]
  gray = layers.Grayscale(output_channels=3)

  def distort(image):
    image = tf.cond(
      tf.random.uniform([]) < 0.8, lambda: _chain(jitter, image), lambda: image
    )
    return tf.cond(
      tf.random.uniform([]) < 0.2, lambda: gray(image), lambda: image
    )

  def load(image, label):
    image, label = _moved(decoding.image(image), tf.io.decode_png(label, 1))
    return tf.stack([image, distort(image)]), tf.cast(label[..., 0], tf.int32)

  dataset = tf.data.Dataset.from_tensor_slices(_in_order(examples)).cache()
  dataset = dataset.repeat().map(load, num_parallel_calls=tf.data.AUTOTUNE)
  dataset = dataset.batch(batch, drop_remainder=True)
  yield from iter(dataset.prefetch(tf.data.AUTOTUNE))


def _chain(layers, image):
  for layer in layers:
    image = layer(image)
  return image


def _moved(image, label):
  """Random scale, pad, crop and flip with TensorFlow's own image ops."""
  import tensorflow as tf

  from deeplab_contrast import common

  factor = tf.random.uniform([], 0.5, 2.0)
  size = tf.cast(tf.cast(tf.shape(image)[:2], tf.float32) * factor, tf.int32)
  image = tf.image.resize(image, size)
  label = tf.image.resize(label, size, 'nearest')
  missing = tf.maximum(CROP - size, 0)
  edges = [[0, missing[0]], [0, missing[1]], [0, 0]]
  image = tf.pad(image, edges, constant_values=common.MEAN_PIXEL)
  label = tf.pad(label, edges, constant_values=common.IGNORE_LABEL)
  room = tf.maximum(size - CROP, 0) + 1
  top, left = (
    tf.random.uniform([], 0, room[axis], tf.int32) for axis in range(2)
  )
  image = tf.image.crop_to_bounding_box(image, top, left, CROP, CROP)
  label = tf.image.crop_to_bounding_box(label, top, left, CROP, CROP)
  return tf.cond(
    tf.random.uniform([]) < 0.5,
    lambda: (tf.reverse(image, [1]), tf.reverse(label, [1])),
    lambda: (image, label),
  )


def albumentations(examples, batch):
  """Workers that fill whole batches in shared memory, slot after slot."""
  images, labels = _in_order(examples)
  shapes = ((batch, 2, CROP, CROP, 3), (batch, CROP, CROP))
  size = sum(4 * int(np.prod(shape)) for shape in shapes)
  context = multiprocessing.get_context('spawn')
  memories = [
    shared_memory.SharedMemory(create=True, size=size) for _ in range(SLOTS)
  ]
  orders = [context.Queue() for _ in range(SLOTS)]
  ready = [context.Queue() for _ in range(SLOTS)]
  workers = []
  for number in range(WORKERS):
    mine = range(number, SLOTS, WORKERS)
    settings = [(memories[i].name, orders[i], ready[i]) for i in mine]
    arguments = (settings, images, labels, shapes, number)
    workers.append(context.Process(target=_work, args=arguments, daemon=True))
    workers[-1].start()
  try:
    yield from _batches(memories, orders, ready, shapes, len(images))
  finally:
    for worker in workers:
      worker.terminate()
      worker.join()
    for memory in memories:
      memory.close()
      memory.unlink()


def _batches(memories, orders, ready, shapes, count):
  """Batches in order; one is overwritten when the next one is asked for."""
  batch = shapes[0][0]
  for i in range(SLOTS):
    orders[i].put([(i * batch + j) % count for j in range(batch)])
  step = 0
  while True:
    slot = step % SLOTS
    ready[slot].get()
    yield _arrays(memories[slot], shapes)
    step += 1
    start = (step - 1 + SLOTS) * batch
    orders[slot].put([(start + j) % count for j in range(batch)])


def _arrays(memory, shapes):
  split = 4 * int(np.prod(shapes[0]))
  return (
    np.ndarray(shapes[0], np.float32, memory.buf),
    np.ndarray(shapes[1], np.int32, memory.buf, split),
  )


def _work(settings, images, labels, shapes, number):
  """One worker: fills its slots in turn."""
  import cv2

  cv2.setNumThreads(0)  # One thread per worker, as usual.
  move, distort = _albumentations(number)
  memories = [shared_memory.SharedMemory(name=name) for name, _, _ in settings]
  slots = [_arrays(memory, shapes) for memory in memories]
  while True:
    for (_, orders, ready), (views, ids) in zip(settings, slots, strict=True):
      for j, index in enumerate(orders.get()):
        image = cv2.imdecode(
          np.frombuffer(images[index], np.uint8), cv2.IMREAD_COLOR_RGB
        )
        label = cv2.imdecode(
          np.frombuffer(labels[index], np.uint8), cv2.IMREAD_UNCHANGED
        )
        moved = move(image=image, mask=label)
        views[j, 0] = moved['image']
        views[j, 1] = distort(image=moved['image'])['image']
        ids[j] = moved['mask']
      ready.put(True)


def _albumentations(seed):
  import albumentations
  import cv2

  span = (1 - 0.8 * STRENGTH, 1 + 0.8 * STRENGTH)
  move = albumentations.Compose(
    [
      albumentations.RandomScale(scale_limit=(-0.5, 1.0), p=1.0),
      albumentations.PadIfNeeded(
        CROP,
        CROP,
        position='top_left',
        border_mode=cv2.BORDER_CONSTANT,
        fill=(128, 128, 128),
        fill_mask=255,
      ),
      albumentations.RandomCrop(CROP, CROP),
      albumentations.HorizontalFlip(p=0.5),
    ],
    seed=seed,
  )
  distort = albumentations.Compose(
    [
      albumentations.ColorJitter(
        span, span, span, (-0.2 * STRENGTH, 0.2 * STRENGTH), p=0.8
      ),
      albumentations.ToGray(p=0.2),
    ],
    seed=seed,
  )
  return move, distort


def _in_order(examples):
  """Images and labels in the order of our first epoch."""
  from deeplab_contrast.datasets import pipeline

  count = len(examples)
  indices = [pipeline.position_to_index(n, count, SEED) for n in range(count)]
  return tuple([examples[i][k] for i in indices] for k in ('image', 'label'))
