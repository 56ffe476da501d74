"""Where the gin_configs folder is that belongs to this code."""

import pathlib

_PACKAGE = pathlib.Path(__file__).resolve().parents[1]


def home(package: pathlib.Path = _PACKAGE) -> pathlib.Path:
  """The folder that holds our `gin_configs`.

  Installed, the package brings them along (`package_dir` in setup.cfg); in a
  checkout, or installed with `pip install -e`, they lie beside the package. The
  package comes first: in site-packages, what lies beside it is not ours.

  Args:
    package: the folder of `deeplab_contrast`.
  """
  if (package / 'gin_configs').is_dir():
    return package
  return package.parent
