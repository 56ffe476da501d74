"""Converts checkpoints of the original and of Keras to ours, and ours back."""
