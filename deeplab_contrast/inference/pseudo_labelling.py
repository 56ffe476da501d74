"""Predicts confident labels of images into a folder, in shares of the work."""

import glob
import json
import os

import numpy as np
import tensorflow as tf
import tqdm
from PIL import Image

from deeplab_contrast import common
from deeplab_contrast.core import pseudo_labels
from deeplab_contrast.datasets import pipeline, sources, transforms
from deeplab_contrast.imaging import decoding, images
from deeplab_contrast.inference import predictor
from deeplab_contrast.utils import files, journals, run_files, tables

COUNTS = ('predicted', 'kept', 'judged', 'correct')


class Labelling:
  """Images of a source, each to get a label file.

  The work is cut into batches; a share takes every so many-th of them. So an
  image is always predicted in the same batch, and gets the same label whatever
  the number of shares and interruptions.

  Args:
    folder: where labels and counts go.
    examples: the opened source.
    thresholds: float32 [classes].
    batch_size: images in a batch.
    keep_confidence: whether probabilities are written too.
  """

  def __init__(
    self, folder, examples, thresholds, batch_size, keep_confidence=False
  ):
    self._folder = folder
    self._examples = examples
    self._thresholds = np.asarray(thresholds, np.float32)
    self._batch_size = batch_size
    self._keep_confidence = keep_confidence
    self._ids = examples.ids()

  def run(self, predict, pad, shard, num_shards, poll=lambda: None):
    """Labels what is missing of one share.

    Args:
      predict: maps float32 images [batch, height, width, 3] to (labels,
        classes, confidence), see `pseudo_labels.confident`.
      pad: `transforms.Pad` that brings all images to one size.
      shard: which share.
      num_shards: of how many.
      poll: called between batches, e.g. to stop on a signal.
    """
    path = os.path.join(
      self._folder, run_files.SHARDS, f'{shard}_of_{num_shards}.jsonl'
    )
    known = self.counts()
    missing = [
      batch
      for batch in self._batches()[shard::num_shards]
      if not all(self._is_there(i, known) for i in batch)
    ]
    indices = [i for batch in missing for i in batch]
    if not indices:
      return
    steps = (transforms.Decode(), pad)
    share = sources.Subset(self._examples, indices)
    batches = pipeline.once(share, steps, self._batch_size)
    with (
      journals.Journal(path) as journal,
      tqdm.tqdm(total=len(indices), unit=' images', disable=None) as bar,
    ):
      for batch, members in zip(batches, missing, strict=True):
        poll()
        found = [x.numpy() for x in predict(batch[common.IMAGE])]
        for row, index in enumerate(members):
          truth = batch[common.LABEL][row].numpy()
          self._write(journal, index, truth, *(x[row] for x in found))
        bar.update(len(members))

  def counts(self):
    """{id: {name of a count: a number per class}} of all shares so far."""
    found = {}
    pattern = os.path.join(
      glob.escape(self._folder), run_files.SHARDS, '*.jsonl'
    )
    for path in sorted(glob.glob(pattern)):
      with open(path, encoding='utf-8', errors='replace') as file:
        found.update(filter(None, map(_line, file)))
    return found

  def missing(self):
    """The ids that have no label yet."""
    known = self.counts()
    return [
      name
      for index, name in enumerate(self._ids)
      if not self._is_there(index, known)
    ]

  def path(self, name, folder=run_files.LABELS):
    """The file of an image's label."""
    return os.path.join(self._folder, folder, f'{name}.png')

  def _batches(self):
    indices = range(len(self._examples))
    size = self._batch_size
    return [indices[i : i + size] for i in range(0, len(indices), size)]

  def _is_there(self, index, known):
    name = self._ids[index]
    wanted = [run_files.LABELS, *[run_files.CONFIDENCE] * self._keep_confidence]
    files = [self.path(name, folder) for folder in wanted]
    return name in known and all(map(os.path.exists, files))

  def _write(self, journal, index, truth, labels, classes, confidence):
    """Writes one image; last the counts, which say that it is whole."""
    name, info = self._ids[index], self._examples.info
    encoded = self._examples[index][common.IMAGE]
    height, width = decoding.image_size(encoded)
    cut = np.s_[:height, :width]
    labels, classes, truth = labels[cut], classes[cut], truth[cut]
    path = self.path(name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    images.write_palette_png(path, labels.astype(np.uint8), info.colors)
    if self._keep_confidence:
      self._write_confidence(name, confidence[cut])
    journal.write(name, _count(labels, classes, truth, info.num_classes))

  def _write_confidence(self, name, confidence):
    path = self.path(name, run_files.CONFIDENCE)
    levels = np.round(confidence.astype(np.float64) * 65535).astype(np.uint16)
    with files.replacing(path) as temporary:
      Image.fromarray(levels).save(temporary, 'PNG')


def make_predict(model, how: predictor.Predictor, thresholds):
  """The compiled prediction of a batch, for `Labelling.run`."""

  @tf.function
  def predict(batch):
    return pseudo_labels.confident(
      how.probabilities(model, batch), tf.constant(thresholds)
    )

  return predict


def summary(counts, class_names, thresholds):
  """What became of all pixels, for the manifest.

  Args:
    counts: of `Labelling.counts`.
    class_names: in the order of the ids.
    thresholds: float32 [classes].

  Returns:
    dict: thresholds, pixels (predicted as each class), kept (how many of them
    got a label), coverage (kept / pixels, null for a class that was never
    predicted), share_kept (over all), images, and agreement: null where no
    image has a true label, else accuracy and precision per class, both over
    pixels with a label and a truth.
  """
  total = {
    name: np.sum([c[name] for c in counts.values()], axis=0) for name in COUNTS
  }

  def by_class(values):
    return dict(zip(class_names, values, strict=True))

  agreement = None
  if total['judged'].sum():
    agreement = {
      'accuracy': float(total['correct'].sum() / total['judged'].sum()),
      'precision': by_class(_shares(total['correct'], total['judged'])),
    }
  return {
    'images': len(counts),
    'thresholds': by_class([round(float(t), 6) for t in thresholds]),
    'pixels': by_class(total['predicted'].tolist()),
    'kept': by_class(total['kept'].tolist()),
    'coverage': by_class(_shares(total['kept'], total['predicted'])),
    'share_kept': float(total['kept'].sum() / total['predicted'].sum()),
    'agreement': agreement,
  }


def table(manifest):
  """The text table of a manifest, a line per class."""
  agreement = manifest['agreement']
  rows = []
  for name, threshold in manifest['thresholds'].items():
    row = [
      name,
      f'{threshold:g}',
      str(manifest['pixels'][name]),
      tables.percent(manifest['coverage'][name]),
    ]
    if agreement:
      row.append(tables.percent(agreement['precision'][name]))
    rows.append(row)
  columns = ['class', 'threshold', 'pixels', 'kept %']
  return tables.table(columns + ['right %'] * bool(agreement), rows)


def _count(labels, classes, truth, num_classes):
  """How many pixels of an image each class has, see COUNTS."""
  judged = (labels != common.IGNORE_LABEL) & (truth != common.IGNORE_LABEL)
  chosen = {
    'predicted': classes,
    'kept': labels[labels != common.IGNORE_LABEL],
    'judged': labels[judged],
    'correct': labels[judged & (labels == truth)],
  }
  return {
    name: np.bincount(values.ravel(), minlength=num_classes).tolist()
    for name, values in chosen.items()
  }


def _shares(part, whole):
  return [float(p / w) if w else None for p, w in zip(part, whole, strict=True)]


def _line(text):
  """(id, counts) of a journal's line; None for one that a kill cut off."""
  try:
    name, counts = json.loads(text)
  except (ValueError, TypeError):
    return None
  return (name, counts) if set(COUNTS) == set(counts) else None
