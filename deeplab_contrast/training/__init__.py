"""The one training: its loop, its checkpoints, its log."""
