"""Tensors in, tensors out. Knows no dataset, task, file, flag or config."""
