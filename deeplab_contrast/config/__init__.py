"""The configuration of a run: gin files in, an experiment and its text out."""
