"""What `tools/soak.py` does to a run, and how it compares the result."""
