"""Who may import whom, and what nobody may do, read from the source itself.

The table is the map of the rooms. A new module either fits a row, or the map is
changed in `import_map`, where reviewers see it, and in CONTRIBUTING.md.
"""

import ast
import collections
import re

import pytest

from tests import import_map as rules


def test_the_package_keeps_to_the_map():
  found = rules.faults(rules.read_package())
  assert not found, '\n'.join(found)


def test_every_row_of_the_map_is_of_a_module():
  modules = set(rules.read_package())
  for table in (rules.MAY_IMPORT, rules.INSIDE):
    assert set(table) <= modules
    assert {name for names in table.values() for name in names} <= modules


def test_rooms_import_only_what_stands_above_them():
  rows = list(rules.MAY_IMPORT)
  for place, row in enumerate(rows):
    for name in rules.MAY_IMPORT[row]:
      meant = {
        rules.row_of(name, rules.MAY_IMPORT),
        *(r for r in rows if rules.covers(name, r)),
      }
      lower = meant - {row, *rows[:place]}
      assert not lower, f'{row} may import {name}, so {lower} must be above it'


def test_contributing_has_the_same_map():
  text = (rules.REPOSITORY / 'CONTRIBUTING.md').read_text(encoding='utf-8')
  (section,) = re.findall(r'(?s)\n## The map of the rooms\n(.*?)\n## ', text)
  found = []
  for line in section.splitlines():
    if line.startswith('| `'):
      rooms, _, allowed = line.strip('|').split('|')
      names = tuple(re.findall(r'`([\w.]+)`', allowed))
      found += [(room, names) for room in re.findall(r'`([\w.]+)`', rooms)]
  # Also in this order.
  assert found == list(rules.MAY_IMPORT.items())


def test_contributing_says_what_the_package_itself_imports():
  text = (rules.REPOSITORY / 'CONTRIBUTING.md').read_text(encoding='utf-8')
  (sentence,) = re.findall(r'(?s)\nThe package itself \((.*?)\.\n', text)
  names = re.findall(r'`([\w.]+)`', sentence)
  assert tuple(names[1:]) == rules.ROOT_MAY_IMPORT
  tree = ast.parse(
    (rules.REPOSITORY / rules.PACKAGE / '__init__.py').read_text()
  )
  at_once = {
    name for name, *_ in rules.imports_of(ast.Module(rules.top_level(tree), []))
  }
  ours = {
    n.removeprefix(f'{rules.PACKAGE}.') for n in at_once if rules.is_inside(n)
  }
  assert ours == set(rules.ROOT_AT_ONCE)


def test_nothing_lies_loose_but_commands_and_roots():
  loose = {
    path.stem for path in (rules.REPOSITORY / rules.PACKAGE).glob('*.py')
  }
  assert loose == {*rules.COMMANDS, *rules.ROOTS}


def test_tests_stand_where_their_modules_do():
  rooms, places = set(rules.ONLY_TESTS), collections.defaultdict(set)
  for module in rules.read_package():
    room, _, name = module.rpartition('.')
    rooms.add(room)
    places[name].add(room)
  for path in sorted((rules.REPOSITORY / 'tests').rglob('*_test.py')):
    folder = path.parent.relative_to(rules.REPOSITORY / 'tests')
    room = '.'.join(folder.parts)
    assert room in rooms, f'{path}: the package has no room {room}'
    expected = places[path.stem.removesuffix('_test')]
    assert room == 'tools' or not expected or room in expected, path


@pytest.mark.parametrize(
  ('module', 'text', 'sentence'),
  [
    ('common', 'from deeplab_contrast import utils', 'imports utils'),
    ('utils.a', 'import deeplab_contrast.core.resize', 'imports core.resize'),
    (
      'core.x',
      'from deeplab_contrast.core.network import resnet',
      'imports core.network.resnet',
    ),
    (
      'core.network.x',
      'from deeplab_contrast.core.network import resnet',
      'imports core.network.resnet',
    ),
    (
      'core.losses.x',
      'from deeplab_contrast.core.network import conv',
      'imports core.network.conv',
    ),
    (
      'tasks.contrastive',
      'from deeplab_contrast.tasks.softmax import Softmax',
      'imports tasks.softmax',
    ),
    (
      'training.trainer',
      'from deeplab_contrast.tasks import softmax',
      'imports tasks.softmax',
    ),
    (
      'inference.evaluator',
      'def f():\n  from deeplab_contrast.core.network import resnet',
      'evaluator.py:2 imports core.network.resnet',
    ),
    (
      'export.predictions',
      'from deeplab_contrast.export import serving',
      'imports export.serving',
    ),
    ('train', 'from deeplab_contrast import eval', 'imports eval'),
    (
      'vis',
      "if __name__ == '__main__':\n  from deeplab_contrast import eval",
      'imports eval',
    ),
    (
      'studies.x',
      'from deeplab_contrast import launch',
      'studies/x.py:1 imports launch',
    ),
    ('core.x', 'from . import conv', 'relative'),
    ('newcomer', '', 'no row'),
    ('training.x', 'import gin', 'imports gin'),
    ('launch', 'from gin import config', 'imports gin.config'),
    ('training.x', 'from absl import flags', 'imports absl.flags'),
    ('train', 'from absl import flags', 'imports absl.flags'),
    (
      'train',
      "def main():\n  if __name__ == '__main__':\n    import absl.flags",
      'imports absl.flags',
    ),
    ('utils.a', 'import pickle', 'imports pickle'),
    ('utils.a', 'import tests.fixtures', 'imports tests.fixtures'),
    ('utils.a', 'from tools import x', 'imports tools.x'),
    ('utils.a', 'np.load(f, allow_pickle=True)', 'allow_pickle'),
    ('core.x', 'x = tf.random.uniform([2])', 'tf.random.uniform'),
    ('datasets.x', 'f(tf.random.set_seed)', 'tf.random.set_seed'),
    ('datasets.x', 'tf.image.random_hue(i, 1)', 'tf.image.random_hue'),
    ('datasets.x', 'np.random.shuffle(x)', 'np.random.shuffle'),
    ('datasets.x', 'random.random()', 'random.random'),
    ('core.x', 'def f():\n' + '  x = 1\n' * 60, 'f has 61 lines'),
    ('core.x', 'x = 1\n' * 401, '401 lines'),
  ],
)
def test_the_checker_finds(module, text, sentence):
  found = rules.faults({**_GOOD, module: text})
  assert len(found) == 1
  assert sentence in found[0]
  path = module.replace('.', '/')
  assert found[0].startswith(f'{rules.PACKAGE}/{path}.py:')


def test_the_checker_finds_circles():
  circle = {
    'utils.a': 'from deeplab_contrast.utils import b',
    'utils.b': 'def f():\n  import deeplab_contrast.utils.c',
    'utils.c': 'from deeplab_contrast.utils.a import x',
  }
  expected = 'utils.a -> utils.b -> utils.c -> utils.a'
  assert rules.faults({**_GOOD, **circle}) == [
    f'A circle of imports: {expected}'
  ]


def test_the_checker_is_content_with_what_is_allowed():
  assert not rules.faults(_GOOD)


_GOOD = {
  '': '',
  'common': 'import typing',
  'core': '',
  'core.resize': 'from deeplab_contrast import common',
  'core.network': '',
  'core.network.conv': 'from deeplab_contrast.core import resize',
  'core.network.resnet': (
    'from deeplab_contrast.core.network import conv\n'
    'tf.random.stateless_uniform([])\n'
    'tf.random.experimental.index_shuffle(0)\n'
    'np.random.Generator(np.random.PCG64(0))\n'
  ),
  'utils': '',
  'utils.a': (
    'import random\nfrom absl import logging\nrandom.random()\n'
    'np.load(f, allow_pickle=False)'
  ),
  'tasks': '',
  'tasks.task': 'from deeplab_contrast.common import Weighted',
  'tasks.softmax': 'from deeplab_contrast.tasks import task',
  'inference': '',
  'inference.evaluator': '',
  'export': '',
  'export.serving': 'from deeplab_contrast.export import folders',
  'export.folders': '',
  'config': 'import gin\nfrom gin import config_parser',
  'launch': 'from absl import app, flags\nfrom deeplab_contrast import config',
  'eval': 'from deeplab_contrast import launch',
  'train': (
    "if __name__ == '__main__':\n"
    '  from absl import flags\n'
    '  from deeplab_contrast import launch\n'
  ),
}


def test_files_stay_short_enough_to_read():
  files = [*rules.REPOSITORY.glob('tools/**/*.py')]
  files += rules.REPOSITORY.glob('tests/**/*.py')
  lines = {path: path.read_text().count('\n') for path in files}
  most = rules.MOST_LINES_OF_A_FILE
  assert not {str(path): n for path, n in lines.items() if n > most}


def test_public_signatures_are_annotated():
  bare = [
    f'{path}:{line} {name}'
    for path in (rules.REPOSITORY / rules.PACKAGE).rglob('*.py')
    for name, line in rules.without_types(ast.parse(path.read_text()).body)
  ]
  assert not bare, '\n'.join(bare)


def test_a_public_signature_without_types_is_found():
  code = """
class A:
  def __init__(self, x): pass
  def whole(self, *, y: int) -> int: pass
  def _own(self, y): pass
  def half(self, *rest) -> int: pass
class _B:
  def b(self): pass
def bare(): pass
"""
  found = rules.without_types(ast.parse(code).body)
  assert list(found) == [('__init__', 3), ('half', 6), ('bare', 9)]
