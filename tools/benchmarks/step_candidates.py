"""The candidates of `benchmark.py step`, each inside a process of its own.

Each takes the arguments of the command and returns a function that runs a
number of steps and returns their seconds.
"""

import functools
import time

import numpy as np

from tools.benchmarks import networks

CLASSES = 21
DECAY, RATE, MOMENTUM = 4e-5, 1e-3, 0.9


def ours(arguments):
  """A step of our `Trainer`, on one batch."""
  import keras
  import tensorflow as tf

  from deeplab_contrast.training import step, trainer

  keras.mixed_precision.set_global_policy(_policy(arguments))
  task = _task(arguments)
  model = network(arguments, task)
  strategy = tf.distribute.get_strategy()
  optimizer = keras.optimizers.SGD(RATE, MOMENTUM)
  training = trainer.Trainer(
    optimizer, 1000, arguments.batch, weight_decay=DECAY
  )
  optimizer.build(model.trainable_variables)
  counter = step.make_counter()
  run = training.step.compiled(model, task, strategy, counter)
  batch = {k: tf.constant(v) for k, v in _batch(arguments).items()}
  return lambda count: _timed(lambda: float(run(batch)['loss']), count)


def network(arguments, task):
  """Our network with the head of a task, its variables built."""
  from deeplab_contrast.core.network import aspp, decoder, model, resnet_v1

  filters = networks.filters(arguments.width)
  trunk = model.Trunk(
    resnet_v1.ResNetV1(arguments.network, width=arguments.width),
    functools.partial(aspp.ASPP, aspp_convs_filters=filters),
    functools.partial(decoder.Decoder, decoder_filters=filters),
  )
  built = model.DeepLab(trunk, task.make_head(CLASSES))
  built.build_variables()
  return built


def keras(arguments):
  """The network of stock layers under `Model.fit`, step by step."""
  import keras
  import tensorflow as tf

  from tools.benchmarks import keras_deeplab

  keras.mixed_precision.set_global_policy(_policy(arguments))
  model = keras_deeplab.deep_lab(CLASSES, arguments.crop, _plan(arguments))
  model.compile(
    keras.optimizers.SGD(RATE, MOMENTUM),
    keras.losses.SparseCategoricalCrossentropy(True, ignore_class=255),
  )
  batch = _batch(arguments)
  batch = tf.data.Dataset.from_tensors((batch['image'], batch['label']))
  batches = batch.cache().repeat()
  seconds = []

  class Clock(keras.callbacks.Callback):
    """Times steps."""

    def on_train_batch_begin(self, batch, logs=None):
      """Starts."""
      self.start = time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
      """Stops."""
      seconds.append(time.perf_counter() - self.start)

  def measure(count):
    seconds.clear()
    settings = {'shuffle': False, 'verbose': 0, 'callbacks': [Clock()]}
    model.fit(batches, steps_per_epoch=count, **settings)
    return list(seconds)

  return measure


def torch(arguments):
  """The network in PyTorch, with channels last."""
  import torch

  from tools.benchmarks import torch_deeplab

  model = torch_deeplab.DeepLab(CLASSES, _plan(arguments)).train()
  model = model.to(memory_format=torch.channels_last)
  optimizer = torch.optim.SGD(
    model.parameters(), RATE, MOMENTUM, weight_decay=DECAY
  )
  loss = torch.nn.CrossEntropyLoss(ignore_index=255)
  batch = _batch(arguments)
  images = torch.from_numpy(batch['image']).permute(0, 3, 1, 2)
  labels = torch.from_numpy(batch['label']).long()

  def step():
    optimizer.zero_grad()
    with torch.autocast('cpu', torch.bfloat16, enabled=_is_half(arguments)):
      logits = model.logits(images)
    value = loss(logits, labels)
    value.backward()
    optimizer.step()
    return value.item()

  return lambda count: _timed(step, count)


def _plan(arguments):
  return networks.plan(arguments.network, arguments.width)


def _is_half(arguments):
  return arguments.precision == 'bfloat16'


def _policy(arguments):
  return 'mixed_bfloat16' if _is_half(arguments) else 'float32'


def _task(arguments):
  from deeplab_contrast.core.losses import pixel_contrast, pixel_selection
  from deeplab_contrast.core.network import heads
  from deeplab_contrast.tasks import contrastive, softmax

  if arguments.task == 'softmax':
    return softmax.Softmax()
  selection = pixel_selection.PixelSelection(per_image=arguments.pixels)
  return contrastive.Contrastive(
    pixel_contrast.WithinImage(selection=selection),
    functools.partial(heads.Projection, scale=arguments.scale),
  )


def _batch(arguments):
  """Images of noise and labels of blocks, a few of them void."""
  rng = np.random.default_rng(0)
  size, side = arguments.batch, arguments.crop
  blocks = rng.integers(0, 7, (size, 8, 8))
  blocks[:, 3, 2:6] = 255
  places = np.arange(side) * 8 // side
  shape = (size, side, side, 3)
  images = rng.uniform(0, 255, shape).astype(np.float32)
  batch = {'label': blocks[:, places][:, :, places].astype(np.int32)}
  if arguments.task == 'softmax':
    return {**batch, 'image': images}
  return {
    **batch,
    'views': np.stack([images, 255 - images], axis=1),
    'seed': np.arange(2 * size, dtype=np.int32).reshape(size, 2),
  }


def _timed(step, count):
  seconds = []
  for _ in range(count):
    start = time.perf_counter()
    step()
    seconds.append(time.perf_counter() - start)
  return seconds
