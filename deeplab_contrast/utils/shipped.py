"""Where the gin_configs folder of this code is."""

import pathlib

PACKAGE = pathlib.Path(__file__).resolve().parents[1]


def home(package: pathlib.Path = PACKAGE) -> pathlib.Path:
  """The folder that holds our `gin_configs`.

  An installed package contains it (`package_dir` in setup.cfg); in a checkout,
  or installed with `pip install -e`, it is beside the package. The package
  comes first: in site-packages, what is beside it is not ours.

  Args:
    package: the folder of `deeplab_contrast`.
  """
  if (package / 'gin_configs').is_dir():
    return package
  return package.parent
