"""Measures what steps cost on this machine, and what the machine has."""

import contextlib
import io
import itertools
import os
import pathlib
import re
import resource
import sys
import tempfile
import time
from collections.abc import Sequence

from deeplab_contrast.config import build
from deeplab_contrast.planning import plan
from deeplab_contrast.utils import metrics, processor

# Steps of a measurement; the first ones compile.
_STEPS = 6
_COMPILING = 2
# Batches of input that are timed.
_BATCHES = 2
# Seconds in which a stage imports TensorFlow and checks its data.
_START = 10.0
# Bytes that a process needs whatever its crops: EfficientNet-Lite0 took 1.43 GB
# with crops of 129 and 1.84 GB with crops of 193, 8 a step.
_BASE = 1.0e9

_CGROUP = '/sys/fs/cgroup'


def machine(has_weights: bool) -> plan.Machine:
  """This machine: cores and memory that this process may use."""
  return plan.Machine(processor.cores(), _free_memory(), has_weights)


def cost(
  gin_files: Sequence[str],
  bindings: Sequence[str],
  data_dir: str | None,
) -> tuple[plan.Cost, int]:
  """Trains some steps and times them.

  Args:
    gin_files: of an experiment that starts from no other run.
    bindings: applied after them.
    data_dir: the folder of prepared datasets.

  Returns:
    What a step costs, and the bytes of a checkpoint.

  Raises:
    UserError: the experiment cannot be built, or its data are wrong.
  """
  import tensorflow as tf

  short = (f'STEPS = {_STEPS}', f'SAVE_EVERY = {_STEPS}', 'LOG_EVERY = 1')
  settings = {} if data_dir is None else {'data_dir': data_dir}
  began = time.monotonic()
  experiment = build.parse(
    gin_files, (*bindings, *short), settings=settings
  ).root
  experiment.eval_source = experiment.embedding_judge = None
  with tempfile.TemporaryDirectory() as folder:
    with (
      contextlib.redirect_stdout(io.StringIO()),
      contextlib.redirect_stderr(io.StringIO()),
    ):
      experiment.fit(tf.distribute.get_strategy(), folder)
    # Other programs only make steps slower, so the fastest one counts.
    rate = max(
      line['images_per_second']
      for line in metrics.read(folder)
      if line.get('step', 0) > _COMPILING and 'images_per_second' in line
    )
    files = pathlib.Path(folder).rglob('*.data-*')
    stored = sum(path.stat().st_size for path in files)
  batch = experiment.trainer.batch_size
  seconds, height_width = batch / rate, experiment.crop_size
  overhead = time.monotonic() - began - _STEPS * seconds
  fixed = round(_BASE)
  found = plan.Cost(
    pixels=batch * height_width[0] * height_width[1],
    seconds=seconds,
    input_seconds=_input_seconds(experiment),
    overhead=_START + max(overhead, 0.0),
    fixed=fixed,
    memory=max(_peak() - fixed, 1),
  )
  return found, stored


def _input_seconds(experiment):
  """Seconds in which the input makes one image, or a pair of both streams."""
  pipelines = [experiment.train]
  if experiment.unlabelled is not None:
    pipelines.append(experiment.unlabelled)
  size, total = experiment.trainer.batch_size, 0.0
  for pipeline in pipelines:
    examples = pipeline.source.open(experiment.data_dir)
    stop = (_BATCHES + 1) * size
    batches = iter(
      pipeline.dataset(examples, batch_size=size, seed=0, stop=stop)
    )
    next(batches)  # Starts threads.
    began = time.monotonic()
    count = sum(1 for _ in itertools.islice(batches, _BATCHES + 1))
    total += (time.monotonic() - began) / max(count, 1) / size
  return total


def _peak():
  """The largest memory of this process so far, in bytes."""
  unit = 1 if sys.platform == 'darwin' else 1024
  return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _free_memory():
  """Bytes that programs may still take: of the machine, of the container."""
  try:
    text = pathlib.Path('/proc/meminfo').read_text(encoding='utf-8')
  except OSError:  # Not Linux: a cautious guess.
    return os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') // 2
  found = re.search(r'MemAvailable:\s+(\d+) kB', text)
  free = int(found[1]) * 1024 if found else 0
  with contextlib.suppress(OSError, ValueError):
    limit, used = (
      int(pathlib.Path(_CGROUP, name).read_text())
      for name in ('memory.max', 'memory.current')
    )
    free = min(free, limit - used)
  # What this process holds will be free when the recipe runs.
  return free + _resident()


def _resident():
  text = pathlib.Path('/proc/self/statm').read_text(encoding='utf-8')
  return int(text.split()[1]) * os.sysconf('SC_PAGE_SIZE')
