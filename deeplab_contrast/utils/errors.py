"""Errors that a user can act on, each with the exit code it ends with.

Raise one with a single sentence that names the file or the value and says what
to do. `launch` prints that sentence, without a traceback, and exits with the
code.
"""


class UserError(Exception):
  """A fault the user can mend; the base of the errors below."""

  exit_code = 1


class ConfigError(UserError):
  """The command line or the gin configuration is wrong."""

  exit_code = 2


class DataError(UserError):
  """A dataset, image, mask or list file is missing or wrong."""

  exit_code = 3


class NumericalError(UserError):
  """A loss or a weight stopped being finite."""

  exit_code = 4


class SystemFault(UserError):
  """Disk, permission, missing package: the machine, not the experiment."""

  exit_code = 5


class BusyError(UserError):
  """Another live process works in this model_dir."""

  exit_code = 6


class Preempted(UserError):
  """Asked to stop (SIGTERM, SIGINT); state is saved, start again to go on."""

  exit_code = 143
