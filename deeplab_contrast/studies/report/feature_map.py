"""Pixel features in the plane: t-SNE, as in the paper's figure."""

import os
import zipfile
from collections.abc import Sequence

import numpy as np

from deeplab_contrast.studies.report import style, summary
from deeplab_contrast.studies.report.study import Entry, Study
from deeplab_contrast.utils import errors, run_files

# More points than this take minutes and hide each other.
_MOST_POINTS = 4000
_PERPLEXITY = 30.0


def check_installed() -> None:
  """Raises a SystemFault where scikit-learn is not installed."""
  try:
    import sklearn  # noqa: F401
  except ImportError as error:
    raise errors.SystemFault(
      "The t-SNE figure needs scikit-learn: pip install -e '.[report]', or "
      'leave that figure out with --no_tsne.'
    ) from error


def is_there(entry: Entry) -> bool:
  """Whether there are features of the weights that were evaluated."""
  path = os.path.join(entry.model_dir, run_files.FEATURES)
  if not os.path.exists(path):
    return False
  step = entry.result.get('step')
  return step is None or read(entry.model_dir)['step'] == step


def read(model_dir: str) -> dict[str, np.ndarray]:
  """The arrays that `python -m deeplab_contrast.features` wrote.

  Args:
    model_dir: the run's folder.

  Returns:
    {'features': float32 [n, d], 'labels': int [n], 'step': int, ...}.

  Raises:
    DataError: the file is damaged.
  """
  path = os.path.join(model_dir, run_files.FEATURES)
  try:
    with np.load(path, allow_pickle=False) as stored:
      found = {name: stored[name] for name in stored.files}
    features, labels, _ = found['features'], found['labels'], found['step']
  except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
    raise _damaged(path, str(error)) from error
  if features.ndim != 2 or labels.shape != features.shape[:1]:
    raise _damaged(path, f'features {features.shape}, labels {labels.shape}')
  if not np.isfinite(features).all():
    raise _damaged(path, 'features are not finite')
  return found


def layout(features: np.ndarray) -> np.ndarray:
  """Places points in the plane so that neighbours stay neighbours.

  t-SNE (van der Maaten and Hinton, JMLR 2008) from the first two principal
  components, so that nothing is random.

  Args:
    features: float32 [n, d], n > 3.

  Returns:
    float32 [n, 2].
  """
  import threadpoolctl  # Comes with scikit-learn.
  from sklearn import manifold

  perplexity = min(_PERPLEXITY, (len(features) - 1) / 3)
  tsne = manifold.TSNE(perplexity=perplexity, init='pca', random_state=0)
  # With threads, which wait for each other in each of 1000 short steps, it took
  # 20 times as long on a busy machine.
  with threadpoolctl.threadpool_limits(1):
    return tsne.fit_transform(features)


def side_by_side(study: Study, entries: Sequence[Entry]) -> style.Figure:
  """The features of several runs, coloured by class.

  Args:
    study: what to draw.
    entries: those to show; they have features.

  Raises:
    DataError: features are damaged.
  """
  names = summary.class_names(study)
  arrays = [_fewer(read(entry.model_dir), len(names)) for entry in entries]
  size = (4.6 * len(entries), 5.4)
  with style.subplots(1, len(entries), size) as (figure, axes):
    for axis, entry, (features, labels) in zip(
      axes[0], entries, arrays, strict=True
    ):
      if len(features) < 4:
        raise _damaged(entry.model_dir, f'only {len(features)} features')
      _scatter(axis, layout(features), labels, summary.class_colors(study))
      axis.set_title(style.arm_title(entry.arm), loc='left')
    style.legend_below(
      figure,
      axes[0],
      columns=6 if len(names) < 13 else 7,
      markerscale=2.5,
      columnspacing=1.2,
      handletextpad=0.1,
    )
    png = style.to_png(figure)
  arms = ' and '.join(style.arm_title(entry.arm) for entry in entries)
  labels = style.budget_title(entries[0].labels)
  points = max(len(labels) for _, labels in arrays)
  return style.Figure(
    'tsne',
    png,
    f't-SNE of pixel features of {arms}, one colour for each class.',
    f"t-SNE of the classifier's input, {points} pixels of val images, the same "
    f'number from each class as far as there are enough, with {labels}, seed '
    f'{entries[0].seed}. Distances between far groups mean nothing.',
    wide=True,
  )


def _fewer(stored, classes):
  """(features, labels) of at most _MOST_POINTS, equally from all classes."""
  features, labels = stored['features'], stored['labels']
  limit = max(1, _MOST_POINTS // classes)
  kept = np.concatenate(
    [np.flatnonzero(labels == k)[:limit] for k in range(classes)]
  )
  return features[kept], labels[kept]


def _scatter(axis, places, labels, colors):
  for number, (name, color) in enumerate(colors.items()):
    ours = places[labels == number]
    if not len(ours):
      continue
    axis.scatter(
      *ours.T,
      s=13,
      color=np.divide(color, 255),
      edgecolors='#00000055',
      linewidths=0.25,
      label=name,
    )
  axis.set_xticks([])
  axis.set_yticks([])
  axis.set_aspect('equal', adjustable='datalim')
  axis.spines[:].set(visible=True, color='#CCCCCC')


def _damaged(path, why):
  return errors.DataError(
    f'{path} is damaged ({why}); delete it and run the same command again.'
  )
