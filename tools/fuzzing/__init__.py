"""What `tools/fuzz.py` tries: inputs of each kind, and how they are damaged."""
