"""What pretraining has learnt so far, before any fine-tuning shows it."""

import dataclasses
import hashlib
import itertools

import numpy as np
import tensorflow as tf

from deeplab_contrast import common
from deeplab_contrast.core import embedding_quality, resize
from deeplab_contrast.core.losses import pixel_selection
from deeplab_contrast.datasets import sources, transforms
from deeplab_contrast.datasets.sources import extremes
from deeplab_contrast.inference import evaluator
from deeplab_contrast.utils import errors


@dataclasses.dataclass(frozen=True)
class EmbeddingJudge:
  """Judges the features of a network by pixels of a few labelled images.

  A fixed set of images is divided in two: a k-nearest-neighbour classifier and
  a linear probe are fitted to pixels of the first part and judged on the other.
  Both see what the head takes in, the representation that fine-tuning starts
  from; similarities are those of the projected unit embeddings, on which the
  contrastive loss works.

  Without a `source` of their own the images are those of the training.
  Pretraining has then seen all of them, labels included, also those of the part
  that is judged: the numbers tell whether training works and compare runs over
  the same images, but say little about images never seen. For that, give a
  source that the training does not use.

  Attributes:
    images: how many at most. Which ones, and which of them are judged, follows
      from `seed` and their ids alone.
    pixels_per_image: how many at most of each, at the resolution of the
      features, as many of each class as far as there are so many.
    neighbours: of the nearest-neighbour classifier.
    fit_share: the share of the images that classifiers are fitted to.
    seed: of the choice of images and pixels.
    crop_size: (height, width) images are padded to; None takes the largest
      image of the source, as k * 16 + 1.
    source: where the images come from; None is the training data. Such as
      `@sources.Complement()`, what a label budget leaves, or the split that
      judges the fine-tuning.

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

  def pad_size(self, max_size):
    """The one size all images are padded to; see `evaluator.pad_size`."""
    return evaluator.pad_size(max_size, self.crop_size, 'EmbeddingJudge')

  def choose(self, ids):
    """Which images are taken.

    Args:
      ids: names of all images.

    Returns:
      Two lists of places in `ids`: to fit to, and to judge. With one image
      there is none to judge.
    """
    order = sorted(range(len(ids)), key=lambda i: self._digest(ids[i]))
    chosen = order[: self.images]
    fitted = round(self.fit_share * len(chosen))
    fitted = max(1, min(fitted, len(chosen) - 1))
    return chosen[:fitted], chosen[fitted:]

  def on(self, model, examples, scale=1.0, pixel=common.MEAN_PIXEL):
    """Makes ready to judge a network, as often as one likes.

    Args:
      model: a `DeepLab` with a `Projection`; its variables need not be built.
      examples: the opened source.
      scale: factor images are resized by, as in prediction.
      pixel: what images are padded with, see `transforms.Pad`.

    Returns:
      A function of `poll`, see `Judgement`.

    Raises:
      ValueError: when an image would not fit into `crop_size`.
      DataError: when so many pixels would need absurd amounts of memory.
    """
    return Judgement(self, model, examples, scale, pixel)

  def seed_of(self, name):
    """int32 [2], the seed of the pixels of an image."""
    return np.frombuffer(self._digest(name)[:8], np.int32)

  def _digest(self, name):
    return hashlib.sha256(f'{self.seed}/{name}'.encode()).digest()


class Judgement:
  """A judge, made ready for one network and one set of images.

  It computes outside of `tf.distribute.Strategy.run`: of several replicas the
  first one's weights on one device, on every worker the same.
  """

  def __init__(self, judge, model, examples, scale, pixel):
    self._judge = judge
    self._examples = examples
    self._parts = judge.choose(examples.ids())
    size = judge.pad_size(examples.max_size)
    # Features at a quarter of the size have some 256 channels.
    values = 16 * size[0] * size[1]
    if values > extremes.MOST_VALUES:
      raise extremes.refusal(examples, size, 1, values)
    self._pad = transforms.Pad(size, pixel, exact=True)
    selection = pixel_selection.PixelSelection(per_image=judge.pixels_per_image)

    # Made once, so that it is traced once.
    @tf.function(reduce_retracing=True)
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

  def __call__(self, poll=lambda: None):
    """Computes features with the weights of now, and judges them.

    Args:
      poll: called between images, e.g. to stop on a signal.

    Returns:
      dict: `within_similarity` and `between_similarity`, `knn_miou` and
      `probe_miou`, all floats, NaN where not defined; see
      `core.embedding_quality`. And ints: `fit_images`, `judged_images`, and
      `fit_pixels`, `judged_pixels`: how many had labels.
    """
    num_classes = self._examples.info.num_classes
    fitted, seen = len(self._parts[0]), []
    for index in itertools.chain(*self._parts):
      poll()
      seen.append(self._pixels(index))
    _, embeddings = _join(seen, seen)
    within, between = embedding_quality.class_similarities(
      *embeddings, num_classes
    )
    # What classifiers see; (values, labels) of both parts.
    fit, judged = (_join(part, seen)[0] for part in _cut(seen, fitted))
    knn = embedding_quality.knn_miou(
      *fit, *judged, num_classes, self._judge.neighbours
    )
    probe = embedding_quality.probe_miou(*fit, *judged, num_classes)
    return {
      'within_similarity': within,
      'between_similarity': between,
      'knn_miou': knn,
      'probe_miou': probe,
      'fit_images': fitted,
      'judged_images': len(seen) - fitted,
      'fit_pixels': _count_known(fit[1], num_classes),
      'judged_pixels': _count_known(judged[1], num_classes),
    }

  def _pixels(self, index):
    """Two pairs (values, labels) of arrays: of features, of embeddings."""
    example = self._pad(transforms.Decode()(self._examples[index]))
    name = example[common.ID].decode()
    drawn = self._sample(
      example[common.IMAGE],
      example[common.LABEL],
      tf.constant(self._judge.seed_of(name)),
    )
    return tf.nest.map_structure(lambda x: x.numpy(), drawn)


def _cut(values, place):
  return values[:place], values[place:]


def _join(part, seen):
  """The pixels of some images as one; of none, arrays of no pixels."""
  empty = tf.nest.map_structure(lambda x: x[:0], seen[0])
  return tf.nest.map_structure(lambda *x: np.concatenate(x), empty, *part)


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
