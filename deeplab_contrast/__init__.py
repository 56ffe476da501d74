"""Contrastive learning for label-efficient semantic segmentation."""
