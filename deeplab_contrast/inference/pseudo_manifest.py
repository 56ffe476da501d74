"""Counts of pseudo-labels, their manifest, and its table."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from deeplab_contrast import common
from deeplab_contrast.utils import tables

COUNTS = ('predicted', 'kept', 'judged', 'correct')


def count(
  labels: np.ndarray, classes: np.ndarray, truth: np.ndarray, num_classes: int
) -> dict[str, list[int]]:
  """Counts the pixels of each class in an image.

  Args:
    labels: int [height, width], the pseudo-labels, or IGNORE_LABEL.
    classes: int [height, width], the predicted classes.
    truth: int [height, width], the true classes, or IGNORE_LABEL.
    num_classes: int.

  Returns:
    {name: pixels per class} of COUNTS: predicted as the class; kept, those
    with a label; judged, those with a label and a truth; correct, those where
    both are equal.
  """
  is_judged = (labels != common.IGNORE_LABEL) & (truth != common.IGNORE_LABEL)
  chosen = {
    'predicted': classes,
    'kept': labels[labels != common.IGNORE_LABEL],
    'judged': labels[is_judged],
    'correct': labels[is_judged & (labels == truth)],
  }
  return {
    name: np.bincount(values.ravel(), minlength=num_classes).tolist()
    for name, values in chosen.items()
  }


def summary(
  counts: Mapping[str, Mapping[str, Sequence[int]]],
  class_names: Sequence[str],
  thresholds: np.ndarray,
) -> dict[str, Any]:
  """Sums up the pixels of all images, for the manifest.

  Args:
    counts: {id: the dict of `count`}.
    class_names: in the order of the ids.
    thresholds: float32 [classes].

  Returns:
    dict: thresholds (null for a class that gets no labels), pixels (predicted
    as each class), kept (how many of them got a label), coverage (kept /
    pixels, null for a class that was never predicted), share_kept (over all),
    images, and agreement: null where no image has a true label, else accuracy
    and precision per class, both over pixels with a label and a truth.
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
    'thresholds': by_class(
      [round(float(t), 6) if t <= 1 else None for t in thresholds]
    ),
    'pixels': by_class(total['predicted'].tolist()),
    'kept': by_class(total['kept'].tolist()),
    'coverage': by_class(_shares(total['kept'], total['predicted'])),
    'share_kept': float(total['kept'].sum() / total['predicted'].sum()),
    'agreement': agreement,
  }


def table(manifest: Mapping[str, Any]) -> str:
  """The text table of a manifest, a line per class."""
  agreement = manifest['agreement']
  rows = []
  for name, threshold in manifest['thresholds'].items():
    row = [
      name,
      'none' if threshold is None else f'{threshold:g}',
      str(manifest['pixels'][name]),
      tables.percent(manifest['coverage'][name]),
    ]
    if agreement:
      row.append(tables.percent(agreement['precision'][name]))
    rows.append(row)
  columns = ['class', 'threshold', 'pixels', 'kept %']
  return tables.table(columns + ['right %'] * bool(agreement), rows)


def notes(manifest: Mapping[str, Any], folder: str) -> list[str]:
  """What to say below the table: lines.

  Args:
    manifest: the dict of `summary`.
    folder: where the labels are.
  """
  agreement = manifest['agreement']
  right = ''
  if agreement:
    right = f', {100 * agreement["accuracy"]:.1f} % of them right'
  lines = [
    f'{manifest["images"]} images, {100 * manifest["share_kept"]:.1f} % of '
    f'their pixels labelled{right}: {folder}'
  ]
  for name, kept in manifest['kept'].items():
    pixels, threshold = manifest['pixels'][name], manifest['thresholds'][name]
    if kept:
      continue
    why = (
      'none is right often enough' if threshold is None else f'{threshold:g}'
    )
    lost = f'; it loses all of its {pixels} pixels' * (pixels > 0)
    lines.append(
      f'No pixel is confidently {name} (threshold {why}){lost}: these labels '
      'cannot teach this class.'
    )
  return lines


def _shares(part, whole):
  return [float(p / w) if w else None for p, w in zip(part, whole, strict=True)]
