"""The split that the name of a folder or file stands for."""

import re

_NAMES = {
  'train': ('train', 'training', 'trainset', 'trainaug'),
  'val': ('val', 'valid', 'validation', 'dev', 'valset'),
  'test': ('test', 'testing', 'testset'),
}
_OF_NAME = {name: split for split, names in _NAMES.items() for name in names}


def of_name(name: str) -> str | None:
  """'train', 'val' or 'test' for names like 'instances_val2017', or None."""
  words = re.split(r'[^a-z]+', name.lower())
  found = {_OF_NAME[word] for word in words if word in _OF_NAME}
  return found.pop() if len(found) == 1 else None


def of_path(path: str) -> str | None:
  """The split of the innermost folder of a path (with `/`) that has one."""
  folders = path.split('/')[:-1]
  return next(filter(None, map(of_name, reversed(folders))), None)
