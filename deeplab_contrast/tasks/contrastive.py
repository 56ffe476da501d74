"""Contrastive pretraining on pixels whose labels are known."""

from collections.abc import Callable, Mapping

import keras
import tensorflow as tf

from deeplab_contrast import common
from deeplab_contrast.core import resize
from deeplab_contrast.core.losses import pixel_contrast
from deeplab_contrast.core.network import heads
from deeplab_contrast.core.network.model import DeepLab
from deeplab_contrast.tasks import task

# The loss has its own seed for random draws. Those of transforms are numbered
# from 0.
_LOSS_SEED = 1_000_000


class Contrastive(task.Task):
  """Contrast between an image and its colour-distorted view.

  Args:
    loss: a `pixel_contrast.PixelContrast`; the within-image loss of the paper
      by default.
    projection: builds the projection head.
    views: 2, or 1 to contrast the image with itself: no distortion, and half
      the work for the network. Batches then need `IMAGE`, not `VIEWS`.

  Raises:
    ValueError: when `views` is neither 1 nor 2.
  """

  def __init__(
    self,
    loss: pixel_contrast.PixelContrast | None = None,
    projection: Callable[[], keras.layers.Layer] = heads.Projection,
    views: int = 2,
  ):
    if views not in (1, 2):
      raise ValueError(f'views is {views}; it must be 1 or 2.')
    self.loss = loss or pixel_contrast.WithinImage()
    self.views = views
    image = common.VIEWS if views == 2 else common.IMAGE
    self.needs = (image, common.LABEL, common.SEED)
    self._projection = projection

  def make_head(self, num_classes: int) -> keras.layers.Layer:
    """The projection; it does not depend on the classes."""
    del num_classes
    return self._projection()

  def losses(
    self,
    model: DeepLab,
    batch: Mapping[str, tf.Tensor],
    training: bool,
    step: tf.Tensor,
  ) -> dict[str, common.Weighted]:
    """Returns `{'contrastive': Weighted}`; see `Task.losses`."""
    del step
    maps, project = self._maps(model, self._images(batch), training)
    size = resize.spatial_size(maps)
    labels = resize.labels_nearest(batch[common.LABEL], size)
    # One draw for the batch of a replica, from the seed of its first example.
    seed = tf.random.experimental.stateless_fold_in(
      batch[common.SEED][0], _LOSS_SEED, 'philox'
    )
    chosen = self.loss.choose(labels, seed)
    views = [chosen.take(view) for view in tf.split(maps, self.views)]
    # Only the chosen pixels are projected.
    pixels = project(tf.concat(views, axis=0)[:, tf.newaxis])[:, 0]
    views = tf.split(pixels, self.views)
    loss = self.loss.of_chosen(views[0], views[-1], chosen.labels, seed)
    return {'contrastive': loss}

  def _images(self, batch):
    """All views, one after the other.

    They go through the network together and share its statistics.
    """
    if self.views == 1:
      return batch[common.IMAGE]
    views = batch[common.VIEWS]
    return tf.concat([views[:, 0], views[:, 1]], axis=0)

  def _maps(self, model, images, training):
    """The maps of images, and what makes embeddings of their pixels."""
    if isinstance(model.head, heads.Projection):
      features = model.trunk(images, training=training)
      return model.head.resized(features), model.head.project
    return model(images, training=training), tf.identity
