"""The pipeline does not grow, in a process whose memory is its own."""

import subprocess
import sys

import pytest

from tests import processes

SCRIPT = """
import functools, pathlib
import numpy as np
from deeplab_contrast.datasets import pipeline, transforms
from tests.datasets import in_memory

class Kept(in_memory.Painted):
  @functools.cache
  def __getitem__(self, index):
    return super().__getitem__(index)

rng = np.random.default_rng(0)
labels = [rng.integers(0, 3, (h, 48), np.uint8) for h in range(20, 60)]
examples = Kept([str(i) for i in range(40)], labels)
steps = (transforms.Decode(), transforms.RandomScale(), transforms.Pad(33),
         transforms.RandomCrop(33, 0.5), transforms.RandomFlip(),
         transforms.TwoViews())
batches = iter(pipeline.Pipeline(None, steps).dataset(
  examples, batch_size=20, seed=0, stop=10_000))
sizes = []
for step, _ in enumerate(batches):
  if step % 50 == 49:
    sizes.append(
      int(pathlib.Path('/proc/self/statm').read_text().split()[1]) / 256)
print(*sizes)
"""


@pytest.mark.slow
def test_memory_is_flat_over_ten_thousand_examples():
  done = subprocess.run(
    [sys.executable, '-c', SCRIPT],
    capture_output=True,
    text=True,
    cwd=processes.ROOT,
    check=False,
  )
  assert done.returncode == 0, done.stderr
  megabytes = [float(x) for x in done.stdout.split()]
  # 8,000 examples after the first 2,000; a leak of one example each is 250 MB.
  assert megabytes[-1] - megabytes[1] < 15, megabytes
