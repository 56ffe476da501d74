"""What `tools/benchmark.py` can measure, one module each."""
