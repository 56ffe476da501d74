"""What `tools/faults.py` plays: the faults, each by real commands."""
