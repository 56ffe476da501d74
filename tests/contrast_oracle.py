"""The contrastive losses with a double loop over pixels, in float64.

Slow and simple: every equation of `core.losses.pixel_contrast`, pixel by pixel.
"""

import math

import numpy as np

from deeplab_contrast.common import IGNORE_LABEL


def _log_sum_exp(values):
  if not values:
    return -math.inf
  top = max(values)
  return top + math.log(sum(math.exp(v - top) for v in values))


def set_loss(
  anchors,
  contrast,
  anchor_labels,
  contrast_labels,
  temperature,
  *,
  anchor_images=None,
  contrast_images=None,
  one_positive=False,
  own_negatives=False,
):
  """The mean loss over the anchors of one set; see `pair_kernel.Rule`."""
  if anchor_images is None:
    anchor_images = np.zeros(len(anchors), int)
  if contrast_images is None:
    contrast_images = np.zeros(len(contrast), int)
  losses = []
  for p, y in enumerate(anchor_labels):
    valid = [
      k for k, label in enumerate(contrast_labels) if label != IGNORE_LABEL
    ]
    positives = [k for k in valid if contrast_labels[k] == y]
    if y == IGNORE_LABEL or not positives:
      continue
    s = {k: float(np.dot(anchors[p], contrast[k])) / temperature for k in valid}
    negatives = [
      k
      for k in valid
      if contrast_labels[k] != y
      and (not own_negatives or contrast_images[k] == anchor_images[p])
    ]
    below = lambda q: [q] if one_positive else positives  # noqa: E731, B023
    terms = [
      _log_sum_exp([s[k] for k in (*below(q), *negatives)]) - s[q]
      for q in positives
    ]
    losses.append(sum(terms) / len(terms))
  return sum(losses) / len(losses) if losses else 0.0


def within_image(f, g, y, temperature):
  """Eq. 1: [batch] losses of float [batch, pixels, channels]."""
  return [
    set_loss(*case, case_y, case_y, temperature)
    for *case, case_y in zip(f, g, y, strict=True)
  ]


def cross_image(f, g, y, temperature, partners):
  """Eq. 2, where the other image of image i is partners[i]."""
  pixels = y.shape[1]
  return [
    set_loss(
      f[i],
      np.concatenate([g[i], g[j]]),
      y[i],
      np.concatenate([y[i], y[j]]),
      temperature,
      contrast_images=np.repeat([0, 1], pixels),
      own_negatives=True,
    )
    for i, j in enumerate(partners)
  ]


def released_within(f, g, y, temperature):
  """The released within-image loss: two views, added."""
  return [
    sum(
      set_loss(x, x, case_y, case_y, temperature, one_positive=True)
      for x in views
    )
    for *views, case_y in zip(f, g, y, strict=True)
  ]


def released_cross(f, g, y, temperature, order):
  """The released cross-image loss of image i with the twin of order[i]."""
  images = np.repeat([0, 1], y.shape[1])
  losses = []
  for i, j in enumerate(order):
    both = np.concatenate([f[i], g[j]])
    labels = np.concatenate([y[i], y[j]])
    losses.append(
      set_loss(
        both,
        both,
        labels,
        labels,
        temperature,
        anchor_images=images,
        contrast_images=images,
        one_positive=True,
        own_negatives=True,
      )
    )
  return losses


def unit(x):
  """Vectors of length 1 along the last axis."""
  return x / np.linalg.norm(x, axis=-1, keepdims=True)


def random_case(seed, batch=2, pixels=20, channels=5, classes=4, ignored=0.2):
  """Random unit features of two views, and labels, some of them ignored."""
  rng = np.random.default_rng(seed)
  f, g = unit(rng.normal(size=(2, batch, pixels, channels)))
  y = rng.integers(0, classes, (batch, pixels))
  y[rng.random(y.shape) < ignored] = IGNORE_LABEL
  return f, g, y
