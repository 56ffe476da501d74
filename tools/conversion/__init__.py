"""The parts of `tools/convert_checkpoint.py`."""
