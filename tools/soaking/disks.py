"""A disk of its own for a run, which can be filled."""

import contextlib
import os
import resource
import subprocess

_SIZE = 256 << 20
_BALLAST = '.ballast'
_ATTEMPTS = 20


class Disk:
  """A small tmpfs; where mounting is not allowed, a limit on files' sizes.

  Args:
    folder: where the run works.
  """

  def __init__(self, folder):
    self.folder = str(folder)
    os.makedirs(self.folder, exist_ok=True)
    self.is_own = os.path.ismount(self.folder) or self._mount()

  @property
  def kind(self):
    """What a full disk is here."""
    return 'tmpfs' if self.is_own else 'RLIMIT_FSIZE'

  def fill(self, process, free):
    """Leaves `free` bytes, on the disk or for each file of a process."""
    if not self.is_own:
      for pid in (process.pid, *children(process.pid)):
        with contextlib.suppress(ProcessLookupError):
          resource.prlimit(pid, resource.RLIMIT_FSIZE, (free, free))
      return
    with open(os.path.join(self.folder, _BALLAST), 'wb') as file:
      for _ in range(_ATTEMPTS):  # The run may write meanwhile.
        room = os.statvfs(self.folder)
        size = room.f_bavail * room.f_frsize - free
        with contextlib.suppress(OSError):
          os.posix_fallocate(file.fileno(), 0, max(size, 1))
          return

  def clear(self):
    """Makes room again."""
    with contextlib.suppress(FileNotFoundError):
      os.remove(os.path.join(self.folder, _BALLAST))

  def close(self):
    """Unmounts it; what it holds is lost."""
    if self.is_own:
      subprocess.run(['umount', self.folder], check=False)

  def _mount(self):
    size = f'size={_SIZE}'
    command = ['mount', '-t', 'tmpfs', '-o', size, 'soak', self.folder]
    with contextlib.suppress(OSError):
      return not subprocess.run(
        command, capture_output=True, check=False
      ).returncode
    return False


def children(pid):
  """The processes that a process has started."""
  try:
    with open(f'/proc/{pid}/task/{pid}/children', encoding='ascii') as file:
      return [int(child) for child in file.read().split()]
  except OSError:
    return []
