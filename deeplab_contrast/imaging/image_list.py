"""The images that a command line names, and the names of their outputs."""

import collections
import dataclasses
import glob
import os
from collections.abc import Sequence

from deeplab_contrast.utils import errors

# What is taken from folders, for training too; a file named on the command line
# always is. HEIC needs the plugin pillow_heif.
ENDINGS = (
  *('.bmp', '.gif', '.jpe', '.jpeg', '.jfif', '.jpg', '.png', '.tif', '.tiff'),
  *('.avif', '.heic', '.heif', '.webp'),
)


@dataclasses.dataclass(frozen=True)
class Entry:
  """One image.

  Attributes:
    path: path of the file.
    name: the outputs' relative path, without an extension and never with `..`.
  """

  path: str
  name: str


def find(arguments: Sequence[str], without: str | None = None) -> list[Entry]:
  """Lists images.

  Outputs have the name of the file, relative to the folder it was found in. If
  two would share a name, all are relative to the folder that contains all of
  them; if that is not enough (a.jpg, a.png), the extension is added.

  Args:
    arguments: files, folders (with all below them) and glob patterns, with
      `**` too.
    without: a folder whose files are left out, such as that of the outputs.

  Returns:
    A list of `Entry`, every file once, in an order that depends on the
    arguments and the files only.

  Raises:
    ConfigError: nothing is named.
    DataError: a folder or a pattern has no image.
  """
  if not arguments:
    raise errors.ConfigError(
      'Name the images to predict: files, folders or patterns.'
    )
  # {real path: (path, the folder it was found in)}
  found: dict[str, tuple[str, str]] = {}
  for argument in arguments:
    for path, root in _expand(argument):
      if without is None or not _is_below(path, without):
        found.setdefault(os.path.realpath(path), (path, root))
  if not found:
    raise errors.DataError(
      f'There are no images in {", ".join(arguments)}; known extensions: '
      f'{", ".join(ENDINGS)}.'
    )
  return _named(list(found.values()))


def skipped(arguments: Sequence[str], without: str | None = None) -> list[str]:
  """The files in the folders of `find` that it leaves out, sorted."""
  return sorted(
    path
    for folder in filter(os.path.isdir, arguments)
    for path in _below(folder, are_images=False)
    if without is None or not _is_below(path, without)
  )


def _expand(argument):
  """Lists (path, root) of one argument."""
  if os.path.isdir(argument):
    return [(path, argument) for path in _below(argument)]
  is_pattern = not os.path.lexists(argument) and glob.has_magic(argument)
  if not is_pattern:
    # Even if it does not exist: it is reported with the bad files.
    return [(argument, os.path.dirname(argument) or '.')]
  matches = sorted(glob.glob(argument, recursive=True))
  paths = [path for path in matches if not os.path.isdir(path)]
  if not paths:
    raise errors.DataError(f'No file matches {argument!r}.')
  return [(path, os.path.dirname(path) or '.') for path in paths]


def _below(folder, are_images=True):
  """Paths of the images, or of all others, below a folder, sorted.

  Hidden files are left out.
  """
  for place, folders, files in os.walk(folder):
    folders[:] = sorted(name for name in folders if name[0] != '.')
    for name in sorted(files):
      if name[0] != '.' and name.lower().endswith(ENDINGS) == are_images:
        yield os.path.join(place, name)


def _is_below(path, folder):
  folder = os.path.join(os.path.realpath(folder), '')
  return os.path.realpath(path).startswith(folder)


def _named(found):
  paths = [os.path.abspath(path) for path, _ in found]
  names = [
    os.path.relpath(path, os.path.abspath(root))
    for path, (_, root) in zip(paths, found, strict=True)
  ]
  if _repeated(map(_stem, names)):
    top = os.path.commonpath([os.path.dirname(path) for path in paths])
    names = [os.path.relpath(path, top) for path in paths]
  repeated = _repeated(map(_stem, names))
  return [
    Entry(path, name if _stem(name) in repeated else _stem(name))
    for (path, _), name in zip(found, names, strict=True)
  ]


def _stem(name):
  return os.path.splitext(name)[0]


def _repeated(names):
  """Names that occur twice, where A and a count as the same (some disks)."""
  names = list(names)
  counts = collections.Counter(name.lower() for name in names)
  return {name for name in names if counts[name.lower()] > 1}
