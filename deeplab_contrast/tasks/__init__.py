"""What one training step teaches."""
