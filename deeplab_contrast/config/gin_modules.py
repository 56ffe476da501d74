"""Imports the modules that gin files name."""

import importlib
import os
import pathlib
import pkgutil
import sys

from deeplab_contrast.config import gin_text
from deeplab_contrast.utils import run_files, shipped

_PACKAGE = 'deeplab_contrast'


def load(statement: gin_text.Import, place: gin_text.Place) -> None:
  """Imports the module of an import statement.

  Raises:
    ConfigError: the module does not exist; suggests a similar one.
  """
  try:
    importlib.import_module(statement.module)
  except ModuleNotFoundError as error:
    missing = error.name or ''
    if not f'{statement.module}.'.startswith(f'{missing}.'):
      raise  # The module exists; something that it imports does not.
    parent, _, name = missing.rpartition('.')
    gin_text.fail(place, _unknown(parent, name, place))


def _unknown(parent: str, name: str, place: gin_text.Place) -> str:
  if not parent:
    return (
      f'there is no package {name}; install it, or add its folder to PYTHONPATH'
    )
  module = sys.modules[parent]
  if hasattr(module, name):
    return (
      f'{parent}.{name} is not a module; import {parent} and write {name}'
      ' where you use it'
    )
  moved = _moved(parent, name)
  if moved and os.path.basename(place.file) == run_files.CONFIG:
    return (
      f'this run was made by a version in which {moved} was still'
      f' {parent}.{name}: train it again'
    )
  if moved:
    return f'{parent}.{name} is now {moved}; correct the import'
  known = [
    m.name for m in pkgutil.iter_modules(getattr(module, '__path__', []))
  ]
  return f'{parent} has no module {name}{gin_text.nearest(name, known)}'


def _moved(parent: str, name: str) -> str | None:
  """The module of our package that has this name, if there is just one."""
  if parent.partition('.')[0] != _PACKAGE:
    return None
  root = pathlib.Path(shipped.PACKAGE)
  found = [*root.rglob(f'{name}.py'), *root.rglob(f'{name}/__init__.py')]
  if len(found) != 1:
    return None
  path = found[0].parent if found[0].name == '__init__.py' else found[0]
  return '.'.join([_PACKAGE, *path.relative_to(root).with_suffix('').parts])
