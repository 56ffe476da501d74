"""The experiment in a model_dir: its config.gin, and its lock."""

import contextlib
import json
import os
import re
import shlex
import time
from collections.abc import Iterator
from typing import Any

from deeplab_contrast.config import gin_text
from deeplab_contrast.utils import (
  errors,
  files,
  locking,
  metrics,
  results,
  run_files,
)

# Parameters that cannot change what is learnt, such as the folder of the data
# or how often something is written; and classes with only such parameters.
FREE = frozenset(
  (
    'data_dir',
    'root',
    'sbd',
    'log_every',
    'save_every',
    'eval_every',
    'eval_first',
    'keep',
    'embedding_judge',
  )
)
FREE_CLASSES = frozenset(
  ('deeplab_contrast.inference.embedding_judge.EmbeddingJudge',)
)

# Those that may differ between machines that train together.
LOCAL = frozenset(('data_dir', 'root', 'sbd'))

# Files of a training that has not logged or saved a step yet.
_BEFORE = frozenset(
  (
    run_files.CONFIG,
    run_files.REPLICAS,
    run_files.DATA,
    run_files.METRICS,
    run_files.TENSORBOARD,
  )
)

# Folders that may exist before the configuration: pictures of `browse`, locks
# of processes that share the work.
OWN = frozenset((run_files.BROWSE, run_files.SHARDS))

_SHOWN = 5

# Scopes aside, the key of the number of steps, see `_flatten`.
_STEPS = ('deeplab_contrast.training.trainer.Trainer', '', 'steps')


def config_file(model_dir: str) -> str:
  """Returns the path of the experiment stored in a folder.

  Raises:
    ConfigError: there is none.
  """
  path = os.path.join(model_dir, run_files.CONFIG)
  if not os.path.isfile(path):
    raise errors.ConfigError(
      f'{model_dir} holds no experiment (no {run_files.CONFIG}); train there '
      'first, or give --gin_file.'
    )
  return path


@contextlib.contextmanager
def prepare(
  model_dir: str,
  config: str,
  allow_config_change: bool = False,
  part: str = '',
  replicas: int | None = None,
) -> Iterator[None]:
  """Claims a folder for a training run while inside, and stores its config.

  Args:
    model_dir: the folder; made if it is not there.
    config: the text of the operative configuration.
    allow_config_change: continues even if another configuration is stored.
    part: claims only this subfolder, for a process that shares the work.
    replicas: the number the run trains on, which is stored too; None if it does
      not matter.

  Raises:
    BusyError: another process trains there.
    ConfigError: the folder holds another experiment, or unrelated files.
    SystemFault: the folder cannot be made or written.
  """
  with locking.model_dir_lock(os.path.join(model_dir, part)):
    check(model_dir, config, allow_config_change, replicas)
    if not results.is_done(model_dir):
      if _is_unused(model_dir):
        for name in (run_files.DATA, run_files.METRICS):
          _remove(model_dir, name)
      # First: a folder with anything else, but no config, is refused.
      _write(model_dir, run_files.CONFIG, config)
      if replicas is not None:
        _write(
          model_dir,
          run_files.REPLICAS,
          json.dumps({'replicas': replicas}) + '\n',
        )
    yield


def seen(model_dir: str, seconds: float = 10.0) -> str:
  """The configuration that another machine has just written to a folder.

  Args:
    model_dir: the folder.
    seconds: how long to wait: network file systems may be late.

  Returns:
    Its text; '' if there is none after that time.
  """
  path, until = (
    os.path.join(model_dir, run_files.CONFIG),
    time.monotonic() + seconds,
  )
  while not os.path.exists(path):
    if time.monotonic() > until:
      return ''
    time.sleep(0.1)
  with open(path, encoding='utf-8') as file:
    return file.read()


def differences(stored: str, given: str) -> list[str]:
  """Compares two configurations, without running them.

  Args:
    stored: text of an operative configuration.
    given: text of another one.

  Returns:
    A phrase for every parameter that differs and is neither in FREE nor of a
    class in FREE_CLASSES.
  """
  old, new = (
    _flatten(stored, run_files.CONFIG),
    _flatten(given, 'the given configuration'),
  )
  result = []
  for key in sorted({**old, **new}):
    was, now = old.get(key), new.get(key)
    is_free = key[-1] in FREE or key[0] in FREE_CLASSES
    if is_free or (was and now and was[1] == now[1]):
      continue
    name = (now or was)[0]
    result.append(f'{name} stored {_show(was)}, given {_show(now)}')
  return result


def common(config: str) -> str:
  """The settings that all workers of a training must share, as text.

  Args:
    config: text of an operative configuration.
  """
  flat = _flatten(config, run_files.CONFIG)
  shared = {key: x for key, (_, x) in flat.items() if key[-1] not in LOCAL}
  return '\n'.join(f'{key} = {shared[key]!r}' for key in sorted(shared))


def parameters(stored: str) -> dict[tuple[str, str], Any]:
  """The bindings of a stored configuration, without running it.

  Args:
    stored: text of an operative configuration.

  Returns:
    {(full name of the class, parameter): value}; the last of several scopes.
  """
  flat = _flatten(stored, run_files.CONFIG)
  return {(key[0], key[2]): value for key, (_, value) in flat.items()}


def check(
  model_dir: str,
  config: str,
  allow_config_change: bool = False,
  replicas: int | None = None,
) -> None:
  """Refuses a folder that holds anything but this experiment.

  A training that failed before it logged or saved a step may be started again
  with another configuration.

  Args:
    model_dir: the folder; it need not exist.
    config: the text of the operative configuration.
    allow_config_change: accepts another stored configuration, but not of a
      finished run, and not a folder of unrelated files.
    replicas: the number to resume on; None if it does not matter.

  Raises:
    ConfigError: it holds another experiment, unrelated files, or an unfinished
      run with a different number of replicas.
  """
  path = os.path.join(model_dir, run_files.CONFIG)
  if not os.path.exists(path):
    # Hidden files do not count: the lock, NFS, a killed write.
    listing = os.listdir(model_dir) if os.path.isdir(model_dir) else []
    foreign = sorted(f for f in listing if f[0] != '.' and f not in OWN)
    if foreign:
      raise errors.ConfigError(
        f'{model_dir} is not empty ({", ".join(foreign[:_SHOWN])}) and holds no'
        f' {run_files.CONFIG}; give another --model_dir.'
      )
    return
  if _is_unused(model_dir):
    return
  changes = _changes(path, config)
  is_done = results.is_done(model_dir)
  if not is_done:  # A finished run computes nothing.
    changes += _other_replicas(model_dir, replicas)
  if changes and (is_done or not allow_config_change):
    if is_done and (sentence := _longer(model_dir, path, config)):
      raise errors.ConfigError(sentence)
    more = len(changes) - _SHOWN
    way_out = (
      ' (it is finished).'
      if is_done
      else ', or --allow_config_change to continue with the new values.'
    )
    raise errors.ConfigError(
      f'{model_dir} holds another experiment: {"; ".join(changes[:_SHOWN])}'
      f'{f"; and {more} more" if more > 0 else ""}; give another --model_dir'
      f'{way_out}'
    )


def _longer(model_dir, path, given):
  """A sentence if nothing but more steps are asked of a finished run; or ''.

  It is not trained on in its own folder: `config.gin` would not say how its
  weights came about, and what is finished would be lost.
  """
  try:
    with open(path, encoding='utf-8') as file:
      stored = file.read()
    old, new = (_flatten(text, run_files.CONFIG) for text in (stored, given))
  except (UnicodeDecodeError, errors.ConfigError):
    return ''
  different = [
    (_value(old, key), _value(new, key))
    for key in {**old, **new}
    if key[-1] not in FREE and _value(old, key) != _value(new, key)
  ]
  # The learning rate depends on them, and nothing else may be different.
  steps = _value(old, _STEPS), _value(new, _STEPS)
  is_all = different and all(both == steps for both in different)
  if not is_all or not steps[0] < steps[1]:
    return ''
  folder, more = os.path.normpath(model_dir), steps[1] - steps[0]
  macro = re.search(r'^STEPS = ', stored, re.MULTILINE)
  flags = [
    f'--gin_file={os.path.join(folder, run_files.CONFIG)}',
    '--gin_file=gin_configs/tasks/warm_start.gin',
    f'--gin_bindings=INIT = {folder!r}',
    "--gin_bindings=checkpoints.WarmStart.parts = ('trunk', 'head')",
    f'--gin_bindings={"STEPS" if macro else "trainer.Trainer.steps"} = {more}',
    f'--model_dir={folder}_{steps[1]}_steps',
  ]
  return (
    f'{folder} has finished its {steps[0]} steps and stays as it is. To train '
    f'{more} more from its weights, with a learning rate that starts over, run '
    f'python -m deeplab_contrast.train {shlex.join(flags)}'
  )


def _value(flat, key):
  return flat[key][1] if key in flat else None


def _is_unused(model_dir):
  """Whether a training began there, but has not logged or saved a step."""
  found = {f for f in os.listdir(model_dir) if f[0] != '.' and f not in OWN}
  # Folders of recipes and pseudo-labels, which processes share, have no record
  # of replicas.
  if run_files.REPLICAS not in found or not found <= _BEFORE:
    return False
  # An embedding is also evaluated before the first step.
  lines = metrics.read(model_dir) if run_files.METRICS in found else []
  return not any(line.get('step') for line in lines)


def _remove(model_dir, name):
  with contextlib.suppress(FileNotFoundError):
    os.remove(os.path.join(model_dir, name))


def _changes(path, config):
  """Differences from a stored configuration, or a phrase about its damage."""
  try:
    with open(path, encoding='utf-8') as file:
      text = file.read()
    if not text:
      return [f'its {run_files.CONFIG} is empty']
    return differences(text, config)
  except (UnicodeDecodeError, errors.ConfigError) as error:
    return [f'its {run_files.CONFIG} is damaged ({str(error).rstrip(".")})']


def _other_replicas(model_dir, given):
  """A list with a phrase if the run began with different replicas."""
  path = os.path.join(model_dir, run_files.REPLICAS)
  record = files.read_json(path, dict) or {}
  stored = record.get('replicas')
  # Runs of older versions have no record.
  if None in (stored, given) or stored == given:
    return []
  return [f'replicas stored {stored}, given {given} (--strategy and devices)']


def _write(model_dir, name, text):
  """Writes a file atomically; SystemFault if that fails."""
  path = os.path.join(model_dir, name)
  try:
    files.write_text(path, text, sync=True)
  except OSError as error:
    raise errors.SystemFault(
      f'Cannot write {path} ({error.strerror}).'
    ) from error


def _flatten(text, file):
  """Maps (full selector, scope, parameter) to (name, value) of each binding.

  Macros are replaced by their values, names by their full names.
  """
  source = gin_text.read_text(text, file, allowed=None)
  macros = {b.parameter: b for b in source.bindings if not b.selector}
  result = {}
  for binding in source.bindings:
    if binding.selector:
      selector = gin_text.full_name(binding.selector, binding.imports)
      key = selector, binding.scope, binding.parameter
      result[key] = binding.name, _plain(binding, macros)
  return result


def _plain(binding, macros):
  def leaf(value):
    if isinstance(value, gin_text.Macro) and value.name in macros:
      return _plain(macros[value.name], macros)
    if isinstance(value, gin_text.Reference):
      selector = gin_text.full_name(value.selector, binding.imports)
      return gin_text.Reference(value.scope, selector, value.is_called)
    return value

  return gin_text.transform(binding.value, leaf)


def _show(named_value):
  return 'nothing' if named_value is None else repr(named_value[1])
