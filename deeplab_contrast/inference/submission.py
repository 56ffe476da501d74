"""Predictions of a split as a test server wants them; goes on where it was."""

import dataclasses
import os

import tensorflow as tf

from deeplab_contrast import common
from deeplab_contrast.datasets import sources, transforms
from deeplab_contrast.imaging import decoding
from deeplab_contrast.inference import packing, test_servers
from deeplab_contrast.utils import errors, files

# In the folder of a submission: what it was made by, and its files.
MANIFEST = 'submission.json'
FILES = 'files'

_LOG_EVERY = 50


def open_split(experiment, split, competition):
  """The images of a split, and the server that judges them.

  Args:
    experiment: an `Experiment`; its eval_source names the dataset.
    split: of that dataset.
    competition: see `test_servers.of_dataset`.

  Returns:
    Opened examples and a `test_servers.Server`.

  Raises:
    ConfigError: no server is known for the dataset.
    DataError: it has no such split, or its files are missing.
  """
  source = experiment.eval_source
  if not isinstance(source, sources.TfdsSplit):
    raise errors.ConfigError(
      'The eval_source of this experiment is no split of a dataset, so there '
      'is no other split of it.'
    )
  server = test_servers.of_dataset(source.info, competition)
  source = dataclasses.replace(source, split=split)
  return source.open(experiment.data_dir), server


def check(examples, server, path):
  """Checks an archive or folder; see `test_servers.check`."""
  return test_servers.check(server, path, sizes_of(examples))


def sizes_of(examples):
  """{id: (height, width)} of the images of an opened split."""
  sizes = {}
  for i in range(len(examples)):
    example = examples[i]
    size = decoding.image_size(example[common.IMAGE])
    sizes[example[common.ID].decode()] = size
  return sizes


def write(experiment, examples, server, folder, made_by, poll=lambda: None):
  """Predicts all images, checks the files, and packs them.

  Args:
    experiment: an `Experiment` whose model is restored and classifies.
    examples: the opened split.
    server: a `test_servers.Server`.
    folder: where to; files of a submission that was `made_by` the same are
      kept if they are right.
    made_by: all that the predictions depend on, as JSON can hold it.
    poll: called before every image, e.g. to stop on a signal.

  Returns:
    The path of the archive.

  Raises:
    ConfigError: the folder holds anything else.
  """
  _claim(folder, made_by)
  sizes = sizes_of(examples)
  root = os.path.join(folder, FILES)
  paths = {name: os.path.join(root, server.name_of(name)) for name in sizes}
  missing = [
    i
    for i, (name, size) in enumerate(sizes.items())
    if not os.path.exists(paths[name])
    or server.fault_of(paths[name], size) is not None
  ]
  if len(missing) < len(sizes):
    print(f'{len(sizes) - len(missing)} images are there already.', flush=True)
  for done, (name, labels) in enumerate(
    _predictions(experiment, examples, missing, poll), start=1
  ):
    os.makedirs(os.path.dirname(paths[name]), exist_ok=True)
    server.write(paths[name], labels)
    if done % _LOG_EVERY == 0 or done == len(missing):
      print(f'{done}/{len(missing)} images', flush=True)
  _sweep(root)
  test_servers.check(server, root, sizes)
  archive = os.path.join(folder, _archive_name(made_by) + server.archive)
  packing.pack(root, map(server.name_of, sizes), archive)
  return archive


def _claim(folder, made_by):
  """Makes the folder this submission's own, or refuses it."""
  path = os.path.join(folder, MANIFEST)
  stored = files.read_json(path)
  if stored is None:
    if os.path.isdir(folder) and os.listdir(folder):
      raise errors.ConfigError(
        f'{folder} is not empty and holds no submission; give another --out.'
      )
    files.write_json(path, made_by)
  elif stored != files.as_json(made_by):
    stored, given = stored, files.as_json(made_by)
    differing = [key for key in given if stored.get(key) != given[key]]
    raise errors.ConfigError(
      f'{folder} holds another submission: its {", ".join(differing)} differs; '
      'give another --out, or remove the folder.'
    )


def _predictions(experiment, examples, indices, poll):
  """Yields (id, int32 [height, width]) of some images, at their own size."""
  pad = experiment.pad(examples)

  @tf.function
  def predict(images):
    return experiment.evaluator.predictor.labels(experiment.model, images)

  for index in indices:
    poll()
    example = transforms.Decode()(examples[index])
    height, width = example[common.LABEL].shape
    labels = predict(pad(example)[common.IMAGE][tf.newaxis])[0].numpy()
    yield example[common.ID].decode(), labels[:height, :width]


def _sweep(root):
  """Removes what a write that was killed left behind."""
  for folder, _, names in os.walk(root):
    for name in names:
      if name.endswith('.tmp'):
        os.remove(os.path.join(folder, name))


def _archive_name(made_by):
  return '_'.join([made_by['dataset'], made_by['split']])
