"""Contrastive learning for label-efficient semantic segmentation."""

from deeplab_contrast.utils import processor

# Before anything here imports TensorFlow, which then no longer listens.
processor.choose_kernels()
