"""From raw files to batches of dicts."""
