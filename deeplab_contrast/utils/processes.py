"""Child processes that share our terminal and our signals."""

import shlex
import signal
import subprocess

from deeplab_contrast.utils import errors


class ChildFailed(errors.UserError):
  """A child process ended badly; it has said why itself."""

  def __init__(self, message, exit_code):
    super().__init__(message)
    self.exit_code = exit_code


def run(command, title):
  """Runs a command to its end, printing it first.

  SIGTERM is handed on to the child, which may need a moment to save its work.
  (SIGINT reaches it from the terminal by itself.)

  Args:
    command: list of strings.
    title: how messages call it.

  Raises:
    ChildFailed: with the child's exit code; 128 + n if signal n ended it.
  """
  print(f'$ {shlex.join(command)}', flush=True)
  with subprocess.Popen(command) as child:
    previous = {
      signal.SIGTERM: signal.signal(
        signal.SIGTERM, lambda number, _: child.send_signal(number)
      ),
      signal.SIGINT: signal.signal(signal.SIGINT, lambda *_: None),
    }
    try:
      code = child.wait()
    finally:
      for number, handler in previous.items():
        signal.signal(number, handler)
  if code != 0:
    code = code if code > 0 else 128 - code
    raise ChildFailed(
      f'{title} ended with exit code {code}; mend what it says and give the '
      'same command again: what is finished will not be repeated.',
      code,
    )
