"""Who may import whom, and what nobody may do, read from the source itself.

The table is the map of the house. A new module either fits a row, or the change
of the map is made here, where it is seen.
"""

import ast
import pathlib

import pytest

PACKAGE = 'deeplab_contrast'
REPOSITORY = pathlib.Path(__file__).resolve().parents[1]

# The floors L0 to L4, by what stands on them.
_LIBRARY = (
  'common',
  'core',
  'utils',
  'datasets',
  'model',
  'tasks',
  'predictor',
  'trainer',
  'evaluator',
  'embedding_judge',
)
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
)

# What a module may import of the package. A row holds for what lies inside it
# too, unless there is a longer one. Inside core and tasks only the parts that
# are shared may be imported: backbones, losses and tasks do not see each other.
MAY_IMPORT = {
  '': ('utils.processor',),
  # L0
  'common': (),
  # L1
  'core': (
    'common',
    'core.atrous',
    'core.conv',
    'core.dropout',
    'core.norm',
    'core.pixels',
    'core.resize',
  ),
  'core.keras_cv_backbone': (
    'core.dropout',
    'core.keras_cv_variants',
    'core.pixels',
    'core.resize',
  ),
  'core.embedding_quality': ('core.confusion',),
  'core.color': ('common', 'core.compiled', 'core.hsv', 'core.jitter'),
  'core.jitter': ('core.compiled', 'core.hsv'),
  'core.window': ('core.compiled',),
  'core.tiles': ('common',),
  'core.pair_kernel': ('common', 'core.by_class', 'core.pair_tile'),
  'core.pixel_selection': ('common', 'core.by_class', 'core.draws'),
  'core.pixel_contrast': (
    'common',
    'core.draws',
    'core.pair_kernel',
    'core.pair_tile',
    'core.pixel_selection',
  ),
  'utils': ('common', 'utils'),
  # L2
  'datasets': (
    'common',
    'core.blur',
    'core.color',
    'core.geometry',
    'core.resize',
    'core.window',
    'datasets',
    'utils',
  ),
  'model': ('common', 'core'),
  # L3
  'tasks': ('common', 'core', 'tasks.task'),
  'predictor': ('common', 'core'),
  'trainer': ('common', 'tasks.task', 'training_loop', 'utils'),
  'training_loop': ('utils',),
  'parts': ('core', 'utils.graph_costs'),
  # L4
  'evaluator': (
    'common',
    'core.confusion',
    'core.resize',
    'datasets.info',
    'predictor',
    'utils.checks',
  ),
  'embedding_judge': (
    'common',
    'core.embedding_quality',
    'core.pixel_selection',
    'core.resize',
    'datasets',
    'evaluator',
    'utils.errors',
  ),
  'serving': ('common', 'core', 'predictor', 'utils.exported'),
  # L5
  'config': ('config', 'utils'),
  'launch': ('config', 'utils'),
  'experiment': (*_LIBRARY, 'pictures'),
  'crops': _LIBRARY,
  'pictures': _LIBRARY,
  'pseudo_labeler': ('datasets', 'evaluator', 'utils'),
  'labelling': _LIBRARY,
  'submission': _LIBRARY,
  'pixel_features': _LIBRARY,
  'demo_page': ('utils',),
  'reporting': ('config.run_folder', 'reporting', 'utils'),
  'stages': _LIBRARY,
  'study': ('stages', 'utils'),
  'ledger': ('stages', 'utils'),
  'comparison': ('utils',),
  'formats': ('core.folding', 'serving', 'utils'),
  'model_card': ('config.run_folder', 'utils'),
  'predictions': ('utils',),
  # L6
  **dict.fromkeys(
    _COMMANDS,
    (
      'comparison',
      'config.build',
      'config.run_folder',
      'crops',
      'datasets.overlap',
      'experiment',
      'labelling',
      'launch',
      'ledger',
      'parts',
      'pictures',
      'pseudo_labeler',
      'pixel_features',
      'reporting',
      'formats',
      'launch',
      'model_card',
      'parts',
      'pictures',
      'predictions',
      'stages',
      'submission',
      'demo_page',
      'utils',
    ),
  ),
}

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
  assert set(MAY_IMPORT) <= modules
  assert {name for names in MAY_IMPORT.values() for name in names} <= modules


@pytest.mark.parametrize(
  ('module', 'text', 'sentence'),
  [
    ('common', 'from deeplab_contrast import utils', 'imports utils'),
    ('utils.a', 'import deeplab_contrast.core.conv', 'imports core.conv'),
    ('core.x', 'from deeplab_contrast.core import resnet', 'core.resnet'),
    (
      'tasks.contrastive',
      'from deeplab_contrast.tasks.softmax import Softmax',
      'imports tasks.softmax',
    ),
    ('trainer', 'from deeplab_contrast.tasks import softmax', 'tasks.softmax'),
    (
      'evaluator',
      'def f():\n  from deeplab_contrast.core import resnet',
      'evaluator.py:2 imports core.resnet',
    ),
    ('train', 'from deeplab_contrast import eval', 'imports eval'),
    (
      'vis',
      "if __name__ == '__main__':\n  from deeplab_contrast import eval",
      'imports eval',
    ),
    ('comparison', 'from deeplab_contrast import stages', 'imports stages'),
    ('core.x', 'from . import conv', 'relative'),
    ('newcomer', '', 'no row'),
    ('trainer', 'import gin', 'imports gin'),
    ('launch', 'from gin import config', 'imports gin.config'),
    ('trainer', 'from absl import flags', 'imports absl.flags'),
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
  'core.conv': 'from deeplab_contrast import common',
  'core.resnet': (
    'from deeplab_contrast.core import conv\n'
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
  'config': 'import gin\nfrom gin import config_parser',
  'launch': 'from absl import app, flags\nfrom deeplab_contrast import config',
  'stages': '',
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


def _wrong_own(module, imports, sources):
  """Imports of the package that the map does not have."""
  rows = [row for row in MAY_IMPORT if _covers(row, module)]
  if module and not rows:
    yield '1 has no row in MAY_IMPORT of tests/architecture_test.py'
    return
  allowed = MAY_IMPORT[max(rows, key=len)] if rows else ()
  for name, line in imports:
    target = _resolve(name, sources)
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
