"""The processor, and the kernels that TensorFlow uses on it.

TensorFlow leaves oneDNN off on processors without AVX512-VNNI, AVX512-BF16 or
AMX, where it is still faster: a training step of an 18-layer network took 0.26
instead of 0.57 s with AVX2 alone. The switch is read when TensorFlow is
imported, so the package sets it before that, in its `__init__`.

This module imports neither TensorFlow nor anything of the package.
"""

import functools
import os
import platform

SWITCH = 'TF_ENABLE_ONEDNN_OPTS'

# The name of an instruction set, and its flag in Linux.
_INSTRUCTION_SETS = {
  'AVX2': 'avx2',
  'AVX-512': 'avx512f',
  'VNNI': 'avx512_vnni',
  'BF16': 'avx512_bf16',
  'AMX': 'amx_tile',
}


def choose_kernels() -> None:
  """Turns oneDNN on where it is faster, unless the user has set the switch.

  Has no effect once TensorFlow has been imported.
  """
  if 'AVX2' in instruction_sets():
    os.environ.setdefault(SWITCH, '1')


@functools.cache
def instruction_sets(path: str = '/proc/cpuinfo') -> tuple[str, ...]:
  """The instruction sets of this processor that matter for speed.

  Args:
    path: in the format of Linux; without such a file the result is empty.

  Returns:
    Names such as 'AVX2' and 'AMX', from the oldest to the newest.
  """
  try:
    with open(path, encoding='utf-8') as file:
      lines = [line for line in file if line.startswith('flags')]
  except OSError:
    return ()
  found = set(lines[0].split()) if lines else set()
  return tuple(k for k, flag in _INSTRUCTION_SETS.items() if flag in found)


def cores() -> int:
  """The cores that this process may use."""
  if hasattr(os, 'sched_getaffinity'):  # Not on macOS.
    return len(os.sched_getaffinity(0))
  return os.cpu_count() or 1


def describe() -> str:
  """One line: cores, instruction sets, and whether oneDNN is on."""
  sets = ', '.join(instruction_sets()) or platform.machine()
  switch = os.environ.get(SWITCH)
  state = {'1': 'on', '0': 'off'}.get(switch or '', "TensorFlow's default")
  return f'{cores()} cores ({sets}), oneDNN {state}'
