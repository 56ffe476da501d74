"""Augmentation of images and labels, as stateless ops."""
