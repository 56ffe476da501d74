"""The parts of tools/prepare_dataset.py."""
