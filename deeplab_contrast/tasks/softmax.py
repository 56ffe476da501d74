"""Pixel classification: training from scratch and fine-tuning."""

from deeplab_contrast import common
from deeplab_contrast.core import heads, resize, softmax_loss
from deeplab_contrast.tasks import task


class Softmax(task.Task):
  """Cross entropy of logits upsampled to the labels' resolution."""

  needs = (common.IMAGE, common.LABEL)

  def make_head(self, num_classes):
    """A classifier of the dataset's classes."""
    return heads.Classifier(num_classes)

  def losses(self, model, batch, training):
    """Returns `{'softmax': Weighted over pixels}`; see `Task.losses`."""
    labels = batch[common.LABEL]
    logits = model(batch[common.IMAGE], training=training)
    logits = resize.bilinear(logits, resize.spatial_size(labels))
    return {'softmax': softmax_loss.pixel_cross_entropy(logits, labels)}
