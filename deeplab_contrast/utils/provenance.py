"""Which version of the code produced a result."""

import os
import subprocess


def commit() -> str:
  """The commit of this code's repository, e.g. '9fda505', or 'unknown'.

  A '+' at the end means that files have changed since.
  """
  folder, file = os.path.split(os.path.abspath(__file__))
  try:
    # An installed copy may be inside the repository of another project.
    _git(folder, 'ls-files', '--error-unmatch', file)
    name = _git(folder, 'rev-parse', '--short', 'HEAD')
    changed = _git(folder, 'status', '--porcelain', '--untracked-files=no')
  except (OSError, subprocess.SubprocessError):
    return 'unknown'
  return f'{name}+' if changed else name


def _git(folder: str, *arguments: str) -> str:
  done = subprocess.run(
    ['git', '-C', folder, *arguments],
    capture_output=True,
    text=True,
    timeout=10,
    check=True,
  )
  return done.stdout.strip()
