"""Checkpoints of the original, of Keras and of ours, into each other."""
