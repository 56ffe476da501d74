"""Outputs of a training: metrics.jsonl, TensorBoard and the terminal."""

import contextlib
import functools
import json
import math
import os
import sys
import textwrap
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
import tqdm
from absl import logging

from deeplab_contrast.training import contents
from deeplab_contrast.utils import errors, files, metrics, run_files

# The key of what only TensorBoard shows of an evaluation: see `write`.
SHOWN = 'shown'


class MetricWriter:
  """Appends numbers to `metrics.jsonl` and to TensorBoard's event files.

  Args:
    model_dir: the run's folder.
    step: the step the run resumes from. Later lines, written by a process that
      was killed before its next checkpoint, are removed; so are evaluations at
      this step, which is evaluated again. None removes nothing, so that several
      processes can append.

  Raises:
    SystemFault: by any method, when `metrics.jsonl` cannot be written.
  """

  def __init__(self, model_dir: str, step: int | None = 0):
    os.makedirs(model_dir, exist_ok=True)
    self._path = os.path.join(model_dir, run_files.METRICS)
    try:
      if step is not None:
        _remove_later(self._path, step)
      self._file = open(self._path, 'a', encoding='utf-8')  # noqa: SIM115
    except OSError as error:
      raise _cannot_write(self._path, error) from error
    self._summaries = _summary_writer(model_dir)

  def write(
    self,
    step: int,
    split: str,
    values: Mapping[str, float],
    shown: Mapping[str, Any] | None = None,
  ) -> None:
    """Writes one line.

    Args:
      step: the step.
      split: 'train' or the name of an evaluated split.
      values: {name: float}; NaN is written as null.
      shown: for TensorBoard only: {name: float, or a picture as uint8 [height,
        width, 3]}.
    """
    line = {
      'step': step,
      'split': split,
      **{k: _plain(v) for k, v in values.items()},
    }
    try:
      self._file.write(json.dumps(line) + '\n')
      self._file.flush()
    except OSError as error:
      raise _cannot_write(self._path, error) from error
    self._summarize(step, split, {**values, **(shown or {})})

  def _summarize(self, step, split, values):
    if self._summaries is None:
      return
    try:
      with self._summaries.as_default():
        for name, value in values.items():
          kind = tf.summary.image if np.ndim(value) else tf.summary.scalar
          value = value[np.newaxis] if np.ndim(value) else value
          kind(f'{split}/{name}', value, step=step)
    except Exception as error:  # noqa: BLE001  A log must not stop a training.
      _warn(error)
      self._summaries = None

  def close(self) -> None:
    """Closes both files."""
    # `write` has reported any error.
    with contextlib.suppress(OSError):
      self._file.close()
    if self._summaries is not None:
      with contextlib.suppress(Exception):
        self._summaries.close()


class Silent:
  """In place of a `MetricWriter` or `Progress`: writes and shows nothing."""

  def write(self, *values: Any) -> None:
    """Does nothing."""

  def update(self, *values: Any) -> None:
    """Does nothing."""

  def close(self) -> None:
    """Does nothing."""


def write_config(model_dir: str, config: str) -> None:
  """Shows the operative configuration as text in TensorBoard.

  Args:
    model_dir: the run's folder.
    config: a gin file, as text.
  """
  summaries = _summary_writer(model_dir)
  if summaries is None:
    return
  try:
    with summaries.as_default():
      # Four spaces make it code in Markdown.
      tf.summary.text(run_files.CONFIG, textwrap.indent(config, '    '), step=0)
    summaries.close()
  except Exception as error:  # noqa: BLE001
    _warn(error)


class Progress:
  """A bar with ETA on a terminal, plain lines otherwise.

  Args:
    total: number of steps of the run.
    done: number of steps already done.
    every: the fewest seconds between two plain lines.
  """

  def __init__(self, total: int, done: int, every: float = 10.0):
    self._total, self._start, self._every = total, done, every
    self._began = self._last = time.monotonic()
    self._bar = None
    if sys.stderr.isatty():
      self._bar = tqdm.tqdm(total=total, initial=done, unit='step')

  def update(self, step: int, values: Mapping[str, float]) -> None:
    """Shows the numbers of a step: {name: float}."""
    text = '  '.join(f'{name} {value:.4g}' for name, value in values.items())
    if self._bar is not None:
      self._bar.set_postfix_str(text, refresh=False)
      self._bar.update(step - self._bar.n)
      return
    now = time.monotonic()
    if now - self._last < self._every and step < self._total:
      return
    self._last = now
    per_step = (now - self._began) / max(1, step - self._start)
    left = time.strftime(
      '%H:%M:%S', time.gmtime(per_step * (self._total - step))
    )
    print(f'step {step}/{self._total}  {text}  ETA {left}', flush=True)

  def close(self) -> None:
    """Ends the bar's line."""
    if self._bar is not None:
      self._bar.close()


def _cannot_write(path, error):
  return errors.SystemFault(
    f'Cannot write {path} ({error.strerror}); make room or fix the folder, '
    'and start again to resume from the last checkpoint.'
  )


def _plain(value):
  value = float(value)
  return value if math.isfinite(value) else None


def _remove_later(path, step):
  if not os.path.exists(path):
    return
  lines = metrics.read_lines(path)
  # The line of a training step comes before the evaluation of that step.
  kept = [x for x in lines if x['step'] < step + (x['split'] == 'train')]
  files.write_text(path, ''.join(json.dumps(line) + '\n' for line in kept))


def _summary_writer(model_dir):
  try:
    return tf.summary.create_file_writer(
      os.path.join(model_dir, run_files.TENSORBOARD)
    )
  except Exception as error:  # noqa: BLE001
    _warn(error)
    return None


@functools.cache
def _warn_once(text):
  logging.warning('TensorBoard files cannot be written: %s', text)


def _warn(error):
  _warn_once(contents.first_line(error))
