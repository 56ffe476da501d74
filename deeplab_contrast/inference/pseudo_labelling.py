"""Confident labels of images, predicted into a folder by one or more shards."""

import glob
import json
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from PIL import Image

from deeplab_contrast.config import build, run_folder
from deeplab_contrast.datasets import sources
from deeplab_contrast.datasets.sources import overlap
from deeplab_contrast.imaging import images
from deeplab_contrast.inference import (
  class_thresholds,
  pseudo_labeler,
  pseudo_manifest,
  whole_images,
)
from deeplab_contrast.training import checkpoints
from deeplab_contrast.utils import (
  errors,
  files,
  journals,
  progress,
  results,
  run_files,
)


class Labelling:
  """Images of a source, each to get a label file.

  The images are divided into batches; shard i of n takes every n-th batch. So
  an image is always predicted in the same batch, and gets the same label
  whatever the number of shards and interruptions.

  Args:
    folder: where labels and counts go.
    whole: the images to label.
    thresholds: float32 [classes].
    batch_size: images in a batch.
    keep_confidence: whether probabilities are written too.
  """

  def __init__(
    self,
    folder: str,
    whole: whole_images.WholeImages,
    thresholds: Sequence[float] | np.ndarray,
    batch_size: int,
    keep_confidence: bool = False,
  ):
    self._folder = folder
    self._whole = whole
    self._info = whole.examples.info
    self._thresholds = np.asarray(thresholds, np.float32)
    self._batch_size = batch_size
    self._keep_confidence = keep_confidence
    self._ids = whole.examples.ids()

  def run(
    self,
    predict: Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor, tf.Tensor]],
    shard: int,
    num_shards: int,
    poll: Callable[[], object] = lambda: None,
  ) -> None:
    """Labels the images of one shard that have no label yet.

    Args:
      predict: maps float32 images [batch, height, width, 3] to (labels,
        classes, confidence), see `pseudo_labels.confident`.
      shard: which one.
      num_shards: how many there are.
      poll: called between batches, e.g. to stop on a signal.

    Raises:
      DataError: an image is damaged.
      SystemFault: the journal of the counts cannot be written.
    """
    path = os.path.join(
      self._folder, run_files.SHARDS, f'{shard}_of_{num_shards}.jsonl'
    )
    known = self.counts()
    # A batch is predicted as a whole, or not at all.
    indices = [
      i
      for batch in self._batches()[shard::num_shards]
      if not all(self._is_there(i, known) for i in batch)
      for i in batch
    ]
    if not indices:
      return
    with journals.Journal(path) as journal:
      several = self._whole.predict(predict, indices, self._batch_size, poll)
      for found in progress.over(several, 'Predicting', len(indices), 'images'):
        self._write(journal, found)
    known = self.counts()
    if lost := [i for i in indices if not self._is_there(i, known)]:
      raise errors.SystemFault(
        f'The counts of {len(lost)} images could not be written to {path}: '
        'make room or fix the folder, and run the same command again.'
      )

  def counts(self) -> dict[str, dict[str, list[int]]]:
    """{id: the dict of `pseudo_manifest.count`} of all shards so far."""
    found: dict[str, dict[str, list[int]]] = {}
    pattern = os.path.join(
      glob.escape(self._folder), run_files.SHARDS, '*.jsonl'
    )
    for path in sorted(glob.glob(pattern)):
      with open(path, encoding='utf-8', errors='replace') as file:
        found.update(filter(None, map(_line, file)))
    return found

  def missing(self) -> list[str]:
    """The ids that have no label yet."""
    known = self.counts()
    return [
      name
      for index, name in enumerate(self._ids)
      if not self._is_there(index, known)
    ]

  def path(self, name: str, folder: str = run_files.LABELS) -> str:
    """The file of an image's label."""
    return os.path.join(self._folder, folder, f'{name}.png')

  def _batches(self):
    indices = range(len(self._ids))
    size = self._batch_size
    return [indices[i : i + size] for i in range(0, len(indices), size)]

  def _is_there(self, index, known):
    name = self._ids[index]
    wanted = [run_files.LABELS, *[run_files.CONFIDENCE] * self._keep_confidence]
    files = [self.path(name, folder) for folder in wanted]
    return name in known and all(map(os.path.exists, files))

  def _write(self, journal, found):
    """Writes one image; the counts come last and mark it as complete."""
    labels, classes, confidence = found.maps
    path = self.path(found.id)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    images.write_palette_png(path, labels.astype(np.uint8), self._info.colors)
    if self._keep_confidence:
      self._write_confidence(found.id, confidence)
    counted = pseudo_manifest.count(
      labels, classes, found.label, self._info.num_classes
    )
    journal.write(found.id, counted)

  def _write_confidence(self, name, confidence):
    path = self.path(name, run_files.CONFIDENCE)
    levels = np.round(confidence.astype(np.float64) * 65535).astype(np.uint16)
    with files.replacing(path) as temporary:
      Image.fromarray(levels).save(temporary, 'PNG')


def label(
  labeler: pseudo_labeler.PseudoLabeler,
  strategy: tf.distribute.Strategy,
  folder: str,
  shard: int = 0,
  num_shards: int = 1,
  allow_imports: Sequence[str] = (),
  poll: Callable[[], object] = lambda: None,
) -> None:
  """Labels the images of one shard; the last one writes the manifest.

  Args:
    labeler: the run, the images and the thresholds.
    strategy: the strategy to predict under.
    folder: where labels and manifest go.
    shard: which shard.
    num_shards: how many there are.
    allow_imports: packages that the gin files of the run may import.
    poll: called between batches, e.g. to stop on a signal.

  Raises:
    ConfigError: the run cannot predict, its checkpoint or the rule for
      thresholds has changed since the first labels, or too few labelled images
      are left to be held out.
    DataError: labelled or val images are among the images, training or val
      images among those held out, or no pixel is confident enough.
  """
  experiment, origin = _restore(labeler, strategy, allow_imports)
  examples = _open(labeler, experiment)
  held_out = class_thresholds.open_held_out(labeler, experiment, allow_imports)
  how = labeler.evaluator or experiment.evaluator
  names = examples.info.class_names
  thresholds = _claim(
    folder,
    {**origin, 'thresholds_by': labeler.rule},
    lambda: class_thresholds.choose(
      labeler, experiment, examples, held_out, how, poll
    ),
  )
  size = how.batch_size
  whole = whole_images.of(experiment, examples, size, how, labels=False)
  work = Labelling(folder, whole, thresholds, size, labeler.keep_confidence)
  predict = class_thresholds.make_predict(
    experiment.model, how.predictor, thresholds
  )
  work.run(predict, shard, num_shards, poll)
  missing = work.missing()
  if missing:
    print(
      f'Shard {shard} is complete; {len(missing)} images of the other shards '
      'are missing.'
    )
    return
  summary = pseudo_manifest.summary(work.counts(), names, thresholds)
  _finish(folder, {**origin, 'thresholds_by': labeler.rule, **summary})


def _restore(labeler, strategy, allow_imports) -> tuple[Any, Mapping[str, Any]]:
  """The experiment of the run with its newest weights, and their checkpoint."""
  settings = {}
  if labeler.data_dir is not None:
    settings['data_dir'] = labeler.data_dir
  built = build.parse(
    [run_folder.config_file(labeler.run)],
    settings=settings,
    scope=strategy.scope,
    allow_imports=allow_imports,
  )
  step = built.root.restore(strategy, labeler.run)
  checkpoints.check_last(labeler.run, step)
  path = checkpoints.path_of(labeler.run, step)
  digest = checkpoints.digest(path)
  origin = {'checkpoint': path, 'step': step, 'checkpoint_sha256': digest}
  print(f'Labelling with {path}', flush=True)
  return built.root, origin


def _open(labeler, experiment) -> sources.Examples:
  """Opens the images; refuses images of the training or evaluation."""
  trained_on, data_dir = experiment.train.source, experiment.data_dir
  source = labeler.unlabelled(trained_on)
  if source.info.class_names != trained_on.info.class_names:
    raise errors.ConfigError(
      f'The run {labeler.run} has the classes of {trained_on.info.name}, but '
      f'the images to label are of {source.info.name}, which has different '
      'classes.'
    )
  examples = source.open(data_dir)
  labelled = pseudo_labeler.budget_of(trained_on) or trained_on
  for name, other in (
    ('labelled', labelled),
    ('val', experiment.eval_source),
  ):
    if other is not None:
      overlap.refuse(examples, other.open(data_dir), name)
  return examples


def _claim(folder, made_by, choose):
  """The thresholds of a folder, chosen by the first process that works in it.

  Refuses to mix labels of two checkpoints, or of two sets of thresholds.
  """
  path = os.path.join(folder, run_files.STARTED)
  if not os.path.exists(path):
    chosen = {'thresholds': choose().tolist()}
    files.write_json(path, {**made_by, **chosen})
  first = files.read_json(path, dict)
  with files.as_expected(path):
    thresholds = np.array(first.pop('thresholds', []), np.float32)
  if first != made_by:
    before, now = first.get('checkpoint'), made_by['checkpoint']
    raise errors.ConfigError(
      f'{folder} holds labels made by an earlier {before} with thresholds by '
      f'{first.get("thresholds_by")}, and would now get labels made by {now} '
      f'with thresholds by {made_by["thresholds_by"]}; give another '
      '--model_dir, or delete this one.'
    )
  return thresholds


def _finish(folder, manifest):
  """Writes manifest and DONE, and reports how good the labels are."""
  files.write_json(os.path.join(folder, run_files.MANIFEST), manifest)
  if not manifest['share_kept']:
    raise errors.DataError(
      f'No pixel of the {manifest["images"]} images reaches its threshold: '
      f'{manifest["checkpoint"]} is not confident of anything. Train it '
      'longer, or lower the thresholds.'
    )
  print(pseudo_manifest.table(manifest))
  labels = os.path.join(folder, run_files.LABELS)
  for line in pseudo_manifest.notes(manifest, labels):
    print(line)
  results.write_done(folder, manifest['step'])


def _line(text):
  """(id, counts) of a journal's line; None for a line that was cut off."""
  try:
    name, counts = json.loads(text)
  except (ValueError, TypeError):
    return None
  is_whole = set(pseudo_manifest.COUNTS) == set(counts)
  return (name, counts) if is_whole else None
