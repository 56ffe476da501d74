"""What data.yaml of Ultralytics YOLO says: names of classes, and splits."""

import posixpath
from collections.abc import Iterator
from typing import Any

import yaml

from deeplab_contrast.datasets.annotations import splits
from deeplab_contrast.datasets.annotations.annotated import label
from deeplab_contrast.datasets.annotations.tree import Tree

_LISTS = ('.yaml', '.yml')
# Larger files are something else.
_MOST_LETTERS = 1 << 20


def names_of(tree: Tree) -> tuple[str, ...]:
  """The names in data.yaml, classes.txt or obj.names; () without any."""
  for file, value in _read(tree):
    with tree.reading(file, 'a list of names, data.yaml'):
      if names := _names(value.get('names')):
        return names
  for file in (*tree.named('classes.txt'), *tree.ending('.names')):
    return tuple(map(label, filter(str.strip, tree.text(file).splitlines())))
  return ()


def splits_of(tree: Tree) -> dict[str, str]:
  """{image: its split} as far as data.yaml states it."""
  result: dict[str, str] = {}
  for file, value in _read(tree):
    with tree.reading(file, 'a list of names, data.yaml'):
      for key, places in value.items():
        if split := splits.of_name(key):
          for place in _several(places):
            for image in _images(tree, file, place):
              result.setdefault(image, split)
  return result


def _read(tree) -> Iterator[tuple[str, dict[str, Any]]]:
  """The YAML files that hold keys, with all scalars as text."""
  for file in tree.ending(*_LISTS):
    with tree.reading(file, 'a list of names, data.yaml'):
      text = tree.text(file)
      if len(text) > _MOST_LETTERS:
        continue
      try:
        value = yaml.load(text, yaml.BaseLoader)  # Makes no objects.
      except (yaml.YAMLError, RecursionError) as error:
        if not any(line.startswith('names:') for line in text.splitlines()):
          continue  # Of another tool.
        about = getattr(error, 'problem', None) or str(error).split('\n')[0]
        mark = getattr(error, 'problem_mark', None)
        where = f', line {mark.line + 1}' if mark else ''
        raise ValueError(f'it is not YAML: {about}{where}') from error
    if isinstance(value, dict):
      yield file, value


def _names(value):
  """Of [a, b] or {0: a, 1: b}."""
  if isinstance(value, dict):
    numbers = {int(number): name for number, name in value.items()}
    if sorted(numbers) != list(range(len(numbers))):
      raise ValueError('the numbers of the names have gaps')
    value = [numbers[i] for i in sorted(numbers)]
  names = value if isinstance(value, list) else []
  return tuple(label(name) for name in names)


def _several(value):
  places = value if isinstance(value, list) else [value]
  return [place for place in places if isinstance(place, str) and place]


def _images(tree, near, value):
  """The images in a folder, or of a list, that data.yaml names."""
  parts = value.replace('\\', '/').split('/')
  parts = [p for p in parts if p not in ('', '.', '..')]
  below = posixpath.dirname(near)
  # Tools write paths of other computers: the longest end that is there counts.
  for i in range(len(parts)):
    place = posixpath.join(below, *parts[i:])
    if place.endswith('.txt') and tree.has(place):
      lines = filter(str.strip, tree.text(place).splitlines())
      return [tree.image(line.strip(), place) for line in lines]
    found = [file for file in tree.images if file.startswith(place + '/')]
    if found:
      return found
  return []
