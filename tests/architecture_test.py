"""Who may import whom, and what nobody may do, read from the source itself.

The table is the map of the rooms. A new module either fits a row, or the change
of the map is made here, where it is seen, and in CONTRIBUTING.md.
"""

import ast
import collections
import pathlib
import re

import pytest

PACKAGE = 'deeplab_contrast'
REPOSITORY = pathlib.Path(__file__).resolve().parents[1]

# The commands, which are most of what lies loose in the package.
_COMMANDS = (
  'train',
  'eval',
  'vis',
  'submit',
  'export_model',
  'predict',
  'demo',
  'browse',
  'features',
  'pseudo_label',
  'recipe',
  'report',
  'model_summary',
  'prepare',
  'convert',
)
_DATASETS = (
  'datasets.ade20k_segmentation',
  'datasets.cityscapes_segmentation',
  'datasets.folder_segmentation',
  'datasets.scenes',
  'datasets.voc2012_segmentation',
)

# What a room may import of the package besides itself: only what has a row
# above its own. A row holds for what lies inside, unless that has a longer one;
# a name on the right stands for all that lies inside. The map in
# CONTRIBUTING.md says the same.
MAY_IMPORT = {
  'common': (),
  'utils': (),
  'imaging': ('common', 'utils'),
  'distributed': ('utils',),
  'config': ('utils',),
  'core': ('common',),
  'core.network': ('common', 'core.resize'),
  'core.losses': ('common',),
  'core.augment': ('common', 'core.resize'),
  'datasets.info': ('common', 'utils'),
  'datasets.sources': ('common', 'datasets.info', 'imaging', 'utils'),
  'datasets.raw': ('common', 'datasets.sources', 'imaging', 'utils'),
  **dict.fromkeys(
    _DATASETS,
    (
      'common',
      'datasets.info',
      'datasets.raw',
      'datasets.sources',
      'imaging',
      'utils',
    ),
  ),
  'datasets': (
    'common',
    'core.augment',
    'core.resize',
    'datasets.info',
    'datasets.sources',
    'imaging',
    'utils',
  ),
  'datasets.preparation': ('common', 'datasets', 'imaging', 'utils'),
  'tasks': ('common', 'core'),
  'training': ('common', 'distributed', 'tasks.task', 'utils'),
  'inference': (
    'common',
    'config',
    'core',
    'datasets',
    'distributed',
    'imaging',
    'training',
    'utils',
  ),
  'export': (
    'common',
    'config',
    'core',
    'imaging',
    'inference.predictor',
    'inference.whole_images',
    'utils',
  ),
  'studies': ('config', 'imaging', 'utils'),
  'studies.report': ('config', 'imaging', 'studies.processes', 'utils'),
  'experiment': (
    'common',
    'core',
    'datasets',
    'distributed',
    'inference',
    'tasks.task',
    'training',
    'utils',
  ),
  'launch': ('config', 'distributed', 'utils'),
  'conversion': ('config', 'core.network', 'launch', 'training', 'utils'),
  **dict.fromkeys(
    _COMMANDS,
    (
      'config',
      'conversion',
      'datasets.preparation',
      'export',
      'imaging',
      'inference',
      'launch',
      'studies',
      'training',
      'utils',
    ),
  ),
}

_LAYERS = (
  'core.network.atrous',
  'core.network.conv',
  'core.network.dropout',
  'core.network.norm',
  'core.network.pixels',
  'core.resize',
)
# Rules inside of rooms, in place of the row of the room: here a module may not
# import its neighbours either. Backbones and tasks do not see each other, and a
# prediction from an export needs no network.
INSIDE = {
  'core.network': _LAYERS,
  'core.network.keras_cv_backbone': (
    *_LAYERS,
    'core.network.keras_cv_variants',
  ),
  'core.network.costs': (
    'core.network.graph_costs',
    'core.network.heads',
    'core.resize',
  ),
  'core.network.model': (
    *_LAYERS,
    'common',
    'core.network.aspp',
    'core.network.decoder',
    'core.network.heads',
    'core.network.original_names',
  ),
  'tasks': ('common', 'core', 'tasks.task'),
  'inference.predictor': ('common', 'core'),
  'inference.evaluator': (
    'common',
    'core.confusion',
    'core.resize',
    'datasets.info',
    'inference.predictor',
    'utils.checks',
  ),
  'export.exported': ('imaging', 'utils'),
  'export.predictions': ('export.exported', 'imaging', 'utils'),
  'export.demo_page': ('export.exported', 'imaging', 'utils'),
}

# What the package itself may import: this before all else, and on first use
# what it offers to Python. CONTRIBUTING.md says the same.
_ROOT_AT_ONCE = ('utils.processor',)
_ROOT_MAY_IMPORT = (*_ROOT_AT_ONCE, 'export.opened', 'train')
# What lies loose in the package besides the commands.
_ROOTS = ('__init__', 'common', 'experiment', 'launch')
# Folders of tests that are not rooms.
_ONLY_TESTS = ('', 'data', 'gin_configs', 'tools')

# Who may import what is not of the package; all the rest is free.
KEPT_TO = {
  'absl.app': ('launch',),
  'absl.flags': ('launch',),  # And commands, under their __main__ guard.
  'gin': ('config',),
  'importlib': ('config',),  # A way around this test.
  # Files that run code when they are read.
  'dill': (),
  'joblib': (),
  'marshal': (),
  'pickle': (),
  'shelve': (),
  # Not installed with the package.
  'tests': (),
  'tools': (),
}

# Where random numbers must follow from a seed alone; what begins like this and
# does not go on in one of these ways is refused there.
_SEEDED = ('core', 'datasets')
_STATELESS = {
  'tf.random.': ('experimental', 'fold_in', 'split', 'stateless_'),
  'tf.image.random_': (),
  'tf.image.sample_distorted_bounding_box': (),
  'keras.random.': (),
  'np.random.': ('default_rng', 'Generator', 'PCG64', 'Philox', 'SeedSequence'),
  'random.': (),
}

MOST_LINES_OF_A_FUNCTION = 60
MOST_LINES_OF_A_FILE = 400


def test_the_package_keeps_to_the_map():
  found = faults(read_package())
  assert not found, '\n'.join(found)


def test_every_row_of_the_map_is_of_a_module():
  modules = set(read_package())
  for table in (MAY_IMPORT, INSIDE):
    assert set(table) <= modules
    assert {name for names in table.values() for name in names} <= modules


def test_rooms_import_only_what_stands_above_them():
  rows = list(MAY_IMPORT)
  for place, row in enumerate(rows):
    for name in MAY_IMPORT[row]:
      meant = {_row(name, MAY_IMPORT), *(r for r in rows if _covers(name, r))}
      lower = meant - {row, *rows[:place]}
      assert not lower, f'{row} may import {name}, so {lower} must be above it'


def test_contributing_has_the_same_map():
  text = (REPOSITORY / 'CONTRIBUTING.md').read_text(encoding='utf-8')
  (section,) = re.findall(r'(?s)\n## The map of the rooms\n(.*?)\n## ', text)
  found = []
  for line in section.splitlines():
    if line.startswith('| `'):
      rooms, _, allowed = line.strip('|').split('|')
      names = tuple(re.findall(r'`([\w.]+)`', allowed))
      found += [(room, names) for room in re.findall(r'`([\w.]+)`', rooms)]
  # Also in this order.
  assert found == list(MAY_IMPORT.items())


def test_contributing_says_what_the_package_itself_imports():
  text = (REPOSITORY / 'CONTRIBUTING.md').read_text(encoding='utf-8')
  (sentence,) = re.findall(r'(?s)\nThe package itself \((.*?)\.\n', text)
  names = re.findall(r'`([\w.]+)`', sentence)
  assert tuple(names[1:]) == _ROOT_MAY_IMPORT
  tree = ast.parse((REPOSITORY / PACKAGE / '__init__.py').read_text())
  at_once = {name for name, *_ in _imports(ast.Module(_outside(tree), []))}
  ours = {n.removeprefix(f'{PACKAGE}.') for n in at_once if _inside(n)}
  assert ours == set(_ROOT_AT_ONCE)


def test_nothing_lies_loose_but_commands_and_roots():
  loose = {path.stem for path in (REPOSITORY / PACKAGE).glob('*.py')}
  assert loose == {*_COMMANDS, *_ROOTS}


def test_tests_stand_where_their_modules_do():
  rooms, places = set(_ONLY_TESTS), collections.defaultdict(set)
  for module in read_package():
    room, _, name = module.rpartition('.')
    rooms.add(room)
    places[name].add(room)
  for path in sorted((REPOSITORY / 'tests').rglob('*_test.py')):
    folder = path.parent.relative_to(REPOSITORY / 'tests')
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
  found = faults({**_GOOD, module: text})
  assert len(found) == 1
  assert sentence in found[0]
  path = module.replace('.', '/')
  assert found[0].startswith(f'{PACKAGE}/{path}.py:')


def test_the_checker_finds_circles():
  circle = {
    'utils.a': 'from deeplab_contrast.utils import b',
    'utils.b': 'def f():\n  import deeplab_contrast.utils.c',
    'utils.c': 'from deeplab_contrast.utils.a import x',
  }
  expected = 'utils.a -> utils.b -> utils.c -> utils.a'
  assert faults({**_GOOD, **circle}) == [f'A circle of imports: {expected}']


def test_the_checker_is_content_with_what_is_allowed():
  assert not faults(_GOOD)


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


def read_package():
  """{name below the package: source text} of all modules; '' is the root."""
  sources = {}
  for path in sorted((REPOSITORY / PACKAGE).rglob('*.py')):
    parts = path.relative_to(REPOSITORY / PACKAGE).with_suffix('').parts
    name = '.'.join(part for part in parts if part != '__init__')
    sources[name] = path.read_text(encoding='utf-8')
  return sources


def faults(sources):
  """A sentence for everything that a package does and may not."""
  found, graph = [], {}
  for module, text in sources.items():
    tree = ast.parse(text)
    imports = list(_imports(tree))
    ours = [(name, line) for name, line, _ in imports if _inside(name)]
    graph[module] = {_resolve(name, sources) for name, _ in ours}
    faults_here = [
      *_wrong_own(module, ours, sources),
      *_wrong_others(module, imports),
      *_wrong_calls(module, tree),
      *_too_long(text, tree),
    ]
    path = module.replace('.', '/') or '__init__'
    found += [f'{PACKAGE}/{path}.py:{fault}' for fault in faults_here]
  return found + _circles(graph)


def _imports(tree):
  """Yields (name, line, whether only `python -m` gets there)."""
  guarded = {
    id(node)
    for guard in tree.body
    if isinstance(guard, ast.If)
    and ast.unparse(guard.test) == "__name__ == '__main__'"
    for node in ast.walk(guard)
  }
  for node in ast.walk(tree):
    if isinstance(node, ast.Import):
      names = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
      start = '.' * node.level + (node.module or '')
      names = [f'{start}.{alias.name}' for alias in node.names]
    else:
      continue
    for name in names:
      yield name, node.lineno, id(node) in guarded


def _outside(tree):
  """The statements of a module that run when it is imported."""
  return [node for node in tree.body if not isinstance(node, ast.FunctionDef)]


def _inside(name):
  return f'{name}.'.startswith(f'{PACKAGE}.')


def _resolve(name, sources):
  """The module that an import of the package means: its name below that."""
  below = name.removeprefix(PACKAGE).removeprefix('.')
  if below in sources:
    return below
  return below.rpartition('.')[0]  # A class or function of it.


def _covers(row, module):
  return f'{module}.'.startswith(f'{row}.')


def _row(module, table):
  """The longest row of a table that covers a module, or None."""
  rows = [row for row in table if _covers(row, module)]
  return max(rows, key=len, default=None)


def _rule(module):
  """The room of a module, and what it may import.

  The room is None where the neighbours may not be imported either.
  """
  room, inside = _row(module, MAY_IMPORT), _row(module, INSIDE)
  if inside and len(inside) >= len(room):
    return None, INSIDE[inside]
  return room, MAY_IMPORT[room]


def _wrong_own(module, imports, sources):
  """Imports of the package that the map does not have."""
  if not module:
    room, allowed = None, _ROOT_MAY_IMPORT
  elif _row(module, MAY_IMPORT) is None:
    yield '1 has no row in MAY_IMPORT of tests/architecture_test.py'
    return
  else:
    room, allowed = _rule(module)
  for name, line in imports:
    target = _resolve(name, sources)
    if room is not None and _row(target, MAY_IMPORT) == room:
      continue
    if not any(_covers(row, target) for row in allowed):
      yield f'{line} imports {target}; it may import {", ".join(allowed)}'


def _wrong_others(module, imports):
  for name, line, is_guarded in imports:
    if name.startswith('.'):
      yield f'{line} has a relative import; write it in full'
    for kept, owners in KEPT_TO.items():
      if not _covers(kept, name):
        continue
      is_command = module in _COMMANDS and kept == 'absl.flags' and is_guarded
      if not (is_command or any(_covers(owner, module) for owner in owners)):
        yield f'{line} imports {name}; only {list(owners)} may'


def _wrong_calls(module, tree):
  """Uses of pickle by the back door, and of random numbers with a memory."""
  is_seeded = any(_covers(row, module) for row in _SEEDED)
  for node in ast.walk(tree):
    if isinstance(node, ast.keyword) and node.arg == 'allow_pickle':
      if getattr(node.value, 'value', True) is not False:
        yield f'{node.value.lineno} has allow_pickle'
    elif is_seeded and isinstance(node, ast.Attribute):
      name = ast.unparse(node)
      for start, ways in _STATELESS.items():
        rest = name.removeprefix(start)
        if rest != name and not rest.startswith(ways):
          yield f'{node.lineno} uses {name}, which does not follow from a seed'


def _too_long(text, tree):
  for node in ast.walk(tree):
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
      lines = node.end_lineno - node.lineno + 1
      if lines > MOST_LINES_OF_A_FUNCTION:
        yield f'{node.lineno} {node.name} has {lines} lines; divide it'
  lines = len(text.splitlines())
  if lines > MOST_LINES_OF_A_FILE:
    yield f'1 is a file of {lines} lines; divide it'


def _circles(graph):
  """The first circle of imports that is found, as a list of one sentence."""
  done = set()

  def visit(module, path):
    if module in path:
      circle = [*path[path.index(module) :], module]
      return [f'A circle of imports: {" -> ".join(circle)}']
    if module in done:
      return []
    for target in sorted(graph.get(module, ())):
      if found := visit(target, [*path, module]):
        return found
    done.add(module)
    return []

  for module in graph:
    if found := visit(module, []):
      return found
  return []
