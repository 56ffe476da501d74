"""What `prepare` does: checks, prepares and shows a dataset."""
