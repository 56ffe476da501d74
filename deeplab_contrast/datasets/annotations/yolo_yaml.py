"""What data.yaml of Ultralytics YOLO says: names of classes, and splits.

It is read line by line, as far as tools write it: no YAML library is needed.
"""

import itertools
import posixpath
import re

from deeplab_contrast.datasets.annotations import splits
from deeplab_contrast.datasets.annotations.annotated import label
from deeplab_contrast.datasets.annotations.tree import Tree

_LISTS = ('.yaml', '.yml')

# In brackets: a name, maybe after a number, with commas only in quotes.
_QUOTED = r'"(?:[^"\\]|\\.)*"|\'(?:[^\']|\'\')*\''
_ITEM = re.compile(rf'\s*((?:\d+\s*:\s*)?(?:{_QUOTED}|[^,]+))\s*(?:,|$)')


def names_of(tree: Tree) -> tuple[str, ...]:
  """The names in data.yaml, classes.txt or obj.names; () without any."""
  for file in tree.ending(*_LISTS):
    with tree.reading(file, 'a list of names, data.yaml'):
      if names := _names(tree.text(file)):
        return names
  for file in (*tree.named('classes.txt'), *tree.ending('.names')):
    return tuple(map(label, filter(str.strip, tree.text(file).splitlines())))
  return ()


def _names(text):
  """`names` of a YAML file: [a, b], lines of `- a`, or lines of `0: a`."""
  lines = _lines(text)
  start = next((i for i, x in enumerate(lines) if x.startswith('names:')), None)
  if start is None:
    return ()
  inline = lines[start].partition(':')[2].strip()
  block = []
  for line in lines[start + 1 :]:
    if line.strip() and not line.startswith((' ', '-', ']', '}')):
      break
    block.append(line.strip())
  if inline or (block and block[0].startswith(('[', '{'))):
    inside = ' '.join([inline, *block]).strip()[1:-1]
    items = _ITEM.findall(inside)
  else:
    items = [item.removeprefix('- ') for item in block]
  items = [item.strip() for item in items if item.strip()]
  if items and all(re.match(r'\d+\s*:', item) for item in items):
    pairs = [item.partition(':')[::2] for item in items]
    numbers = {int(number): name for number, name in pairs}
    if sorted(numbers) != list(range(len(numbers))):
      raise ValueError('the numbers of the names have gaps')
    items = [numbers[i].strip() for i in sorted(numbers)]
  return tuple(label(_unquoted(item)) for item in items)


def _unquoted(text):
  """Without quotes, and with what they escape."""
  if not text.startswith(('"', "'")):
    return text
  if not re.fullmatch(_QUOTED, text):
    raise ValueError(f'a quote is not closed: {text}')
  if text[0] == "'":
    return text[1:-1].replace("''", "'")
  return re.sub(r'\\(["\\/ ])', r'\1', text[1:-1])


def splits_of(tree: Tree) -> dict[str, str]:
  """{image: its split} as far as data.yaml states it."""
  result: dict[str, str] = {}
  for file in tree.ending(*_LISTS):
    with tree.reading(file, 'a list of names, data.yaml'):
      lines = _lines(tree.text(file))
      for split, value in _values(lines):
        for image in _images(tree, file, value):
          result.setdefault(image, split)
  return result


def _values(lines):
  """Yields (split, folder or list of images) of `train: images/train`."""
  for i, line in enumerate(lines):
    key, colon, value = line.partition(':')
    split = splits.of_name(key) if colon and key == key.strip() else None
    if split is None:
      continue
    items = [value]
    if not value.strip():
      below = itertools.takewhile(
        lambda line: line.strip().startswith('- '), lines[i + 1 :]
      )
      items = [line.strip()[2:] for line in below]
    for item in items:
      for part in item.strip(' []').split(','):
        if place := part.strip(' "\''):
          yield split, place


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


def _lines(text):
  """Without comments."""
  comment = re.compile(rf'(?<!\w)({_QUOTED})|(^|\s)#.*')
  return [comment.sub(r'\1', line) for line in text.splitlines()]
