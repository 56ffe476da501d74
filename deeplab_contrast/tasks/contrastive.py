"""Contrastive pretraining on pixels whose labels are known."""

import tensorflow as tf

from deeplab_contrast import common
from deeplab_contrast.core import heads, pixel_contrast, resize
from deeplab_contrast.tasks import task


class Contrastive(task.Task):
  """Contrast between an image and its colour-distorted twin.

  Args:
    loss: maps (embeddings of the image, of the twin, labels) to `Weighted`; the
      within-image loss of the paper by default.
    projection: makes the projection head.
  """

  needs = (common.VIEWS, common.LABEL)

  def __init__(self, loss=None, projection=heads.Projection):
    self.loss = loss or pixel_contrast.WithinImage()
    self._projection = projection

  def make_head(self, num_classes):
    """The projection; it does not depend on the classes."""
    del num_classes
    return self._projection()

  def losses(self, model, batch, training):
    """Returns `{'contrastive': Weighted over images}`; see `Task.losses`."""
    views = batch[common.VIEWS]
    # Both views go through the network together and share its statistics.
    images = tf.concat([views[:, 0], views[:, 1]], axis=0)
    embeddings = model(images, training=training)
    anchors, contrast = tf.split(embeddings, 2)
    size = resize.spatial_size(embeddings)
    labels = resize.labels_nearest(batch[common.LABEL], size)
    return {'contrastive': self.loss(anchors, contrast, labels)}
