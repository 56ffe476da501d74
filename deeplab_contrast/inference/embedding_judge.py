"""How good the features of a pretraining are, before any fine-tuning."""

import dataclasses
import hashlib
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from deeplab_contrast import common
from deeplab_contrast.core import embedding_quality, resize
from deeplab_contrast.core.losses import pixel_selection
from deeplab_contrast.datasets import sources
from deeplab_contrast.datasets.sources import extremes
from deeplab_contrast.inference import whole_images
from deeplab_contrast.utils import errors


@dataclasses.dataclass(frozen=True)
class EmbeddingJudge:
  """Evaluates the features of a network on pixels of a few labelled images.

  A fixed set of images is divided in two: a k-nearest-neighbour classifier and
  a linear probe are fitted to pixels of the first part and evaluated on the
  second. Both get the input of the head, the representation that fine-tuning
  starts from; similarities are those of the projected unit embeddings, on which
  the contrastive loss works.

  Without a `source` the images are those of the training. Pretraining has then
  seen all of them, with their labels, also those of the second part: the scores
  show whether training works and compare runs over the same images, but say
  little about new images. For that, give a source that the training does not
  use.

  Attributes:
    images: at most how many. Which ones, and how they are divided, follows from
      `seed` and their ids alone.
    pixels_per_image: at most how many of each image, at the resolution of the
      features; the same number of each class where there are enough.
    neighbours: number of neighbours of the nearest-neighbour classifier.
    fit_share: the share of the images that classifiers are fitted to.
    seed: seed of the choice of images and pixels.
    crop_size: (height, width) that images are padded to; None takes the
      largest image of the source, as k * 16 + 1.
    source: source of the images; None is the training data. For example
      `@sources.Complement()`, the images that a label budget leaves out, or
      the split that fine-tuning is evaluated on.

  Raises:
    ConfigError: when a number is out of range.
  """

  images: int = 16
  pixels_per_image: int = 200
  neighbours: int = 10
  fit_share: float = 0.5
  seed: int = 0
  crop_size: tuple[int, int] | None = None
  source: sources.Source | None = None

  def __post_init__(self):
    least = {'images': 2, 'pixels_per_image': 2, 'neighbours': 1, 'seed': 0}
    for name, smallest in least.items():
      value = getattr(self, name)
      if type(value) is not int or value < smallest:
        raise errors.ConfigError(
          f'EmbeddingJudge.{name} is {value!r}; it must be a whole number, at '
          f'least {smallest}.'
        )
    if not 0 < self.fit_share < 1:
      raise errors.ConfigError(
        f'EmbeddingJudge.fit_share is {self.fit_share}; it is a share, between '
        '0 and 1.'
      )

  def choose(self, ids: Sequence[str]) -> tuple[list[int], list[int]]:
    """Chooses the images.

    Args:
      ids: names of all images.

    Returns:
      Two lists of indices into `ids`: to fit to, and to evaluate on. The second
      is empty if there is only one image.
    """
    order = sorted(range(len(ids)), key=lambda i: self._digest(ids[i]))
    chosen = order[: self.images]
    fitted = round(self.fit_share * len(chosen))
    fitted = max(1, min(fitted, len(chosen) - 1))
    return chosen[:fitted], chosen[fitted:]

  def on(
    self,
    model: keras.Model,
    examples: sources.Examples,
    scale: float = 1.0,
    pixel: float | tuple[float, float, float] = common.MEAN_PIXEL,
  ) -> 'Judgement':
    """Prepares the evaluation of a network, to be run any number of times.

    Args:
      model: a `DeepLab` with a `Projection`; its variables need not be built.
      examples: the opened source.
      scale: factor that images are resized by, as in prediction.
      pixel: what images are padded with, see `transforms.Pad`.

    Returns:
      A `Judgement`.

    Raises:
      ConfigError: an image does not fit into `crop_size`.
      DataError: images of this size would need too much memory.
    """
    return Judgement(self, model, examples, scale, pixel)

  def seed_of(self, name: str) -> np.ndarray:
    """int32 [2], the seed of the pixels of an image."""
    return np.frombuffer(self._digest(name)[:8], np.int32)

  def _digest(self, name):
    return hashlib.sha256(f'{self.seed}/{name}'.encode()).digest()


def of_experiment(
  experiment: Any, trained_on: sources.Examples | None = None
) -> 'Judgement':
  """The evaluation of an experiment's features.

  Args:
    experiment: an `Experiment` without a classifier.
    trained_on: its training data, if they are open already.

  Raises:
    ConfigError, DataError: see `EmbeddingJudge.on`.
  """
  source = source_of(experiment)
  examples = trained_on
  if examples is None or source is not experiment.train.source:
    examples = source.open(experiment.data_dir)
  judge = experiment.embedding_judge or EmbeddingJudge()
  return judge.on(
    experiment.model, examples, experiment.feature_scale, experiment.pad_pixel
  )


def source_of(experiment: Any) -> sources.Source:
  """The source of the images that an experiment's features are evaluated on."""
  judge = experiment.embedding_judge or EmbeddingJudge()
  return judge.source or experiment.train.source


class Judgement:
  """The evaluation of one network's features on one set of images.

  It computes outside of `tf.distribute.Strategy.run`: with the weights of the
  first replica on one device, on every worker the same.
  """

  def __init__(
    self,
    judge: EmbeddingJudge,
    model: keras.Model,
    examples: sources.Examples,
    scale: float,
    pixel: float | tuple[float, float, float],
  ):
    self.examples = examples
    self._judge = judge
    self._halves = judge.choose(examples.ids())
    owner = type(judge).__name__
    size = whole_images.pad_size(examples.max_size, judge.crop_size, owner)
    # Features at a quarter of the size have some 256 channels.
    values = 16 * size[0] * size[1]
    if values > extremes.MOST_VALUES:
      raise extremes.refusal(examples, size, 1, values)
    self._images = whole_images.WholeImages(examples, size, pixel)
    selection = pixel_selection.PixelSelection(per_image=judge.pixels_per_image)

    # Made once, so that it is traced once.
    @tf.function(reduce_retracing=True, autograph=False)
    def sample(image, label, seed):
      images = resize.by_factor(image[tf.newaxis], scale)
      features = model.trunk(images, training=False)
      embeddings = model.head(features, training=False)
      labels = label[tf.newaxis]
      return (
        _draw(tf.cast(features, tf.float32), labels, selection, seed),
        _draw(embeddings, labels, selection, seed),
      )

    self._sample = sample

  def __call__(
    self, poll: Callable[[], object] = lambda: None
  ) -> dict[str, Any]:
    """Evaluates the features with the current weights.

    Args:
      poll: called between images, e.g. to stop on a signal.

    Returns:
      dict: `within_similarity` and `between_similarity`, `knn_miou` and
      `probe_miou`, all floats, NaN where not defined; see
      `core.embedding_quality`. And ints: `fit_images`, `judged_images`, and
      `fit_pixels`, `judged_pixels`: how many had labels; fitted to, and
      evaluated on.
    """
    num_classes = self.examples.info.num_classes
    fitted, seen = len(self._halves[0]), []
    for index in itertools.chain(*self._halves):
      poll()
      seen.append(self._pixels(index))
    _, (embeddings, labels) = _join(seen, seen)
    within, between = embedding_quality.class_similarities(
      embeddings, labels, num_classes
    )
    # (values, labels) of both halves, as the classifiers get them.
    (fit, fit_labels), (values, labels) = (
      _join(half, seen)[0] for half in _cut(seen, fitted)
    )
    knn = embedding_quality.knn_miou(
      fit, fit_labels, values, labels, num_classes, self._judge.neighbours
    )
    probe = embedding_quality.probe_miou(
      fit, fit_labels, values, labels, num_classes
    )
    return {
      'within_similarity': within,
      'between_similarity': between,
      'knn_miou': knn,
      'probe_miou': probe,
      'fit_images': fitted,
      'judged_images': len(seen) - fitted,
      'fit_pixels': _count_known(fit_labels, num_classes),
      'judged_pixels': _count_known(labels, num_classes),
    }

  def _pixels(self, index):
    """Two pairs (values, labels) of arrays: of features, of embeddings."""
    example = self._images.padded(index)
    name = example[common.ID].decode()
    drawn = self._sample(
      example[common.IMAGE],
      example[common.LABEL],
      tf.constant(self._judge.seed_of(name)),
    )
    return tf.nest.map_structure(lambda x: x.numpy(), drawn)


def _cut(values, place):
  return values[:place], values[place:]


def _join(images, seen):
  """The pixels of some images as one; of no images, empty arrays."""
  empty = tf.nest.map_structure(lambda x: x[:0], seen[0])
  return tf.nest.map_structure(lambda *x: np.concatenate(x), empty, *images)


def _draw(values, labels, selection, seed):
  """Some pixels of a map [1, h, w, c], and their labels.

  Returns:
    float32 [pixels, c] and int32 [pixels].
  """
  labels = resize.labels_nearest(labels, resize.spatial_size(values))
  labels = tf.reshape(labels, [1, -1])
  places = selection.draw(labels, seed)[0]
  values = tf.reshape(values, [-1, values.shape[-1]])
  return tf.gather(values, places), tf.gather(labels[0], places)


def _count_known(labels, num_classes):
  return int(((labels >= 0) & (labels < num_classes)).sum())
