"""The work of `prepare`: checks, prepares and shows a dataset."""
