"""The import map: who may import whom, and what checks the source against it.

A new module either fits a row, or the map is changed here, where reviewers see
it. `tests/architecture_test.py` applies it to the package.
"""

import ast
import pathlib

PACKAGE = 'deeplab_contrast'
REPOSITORY = pathlib.Path(__file__).resolve().parents[1]

# The commands, which are most of the loose modules in the package.
COMMANDS = (
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
  'configure',
  'convert',
)
_DATASETS = (
  'datasets.ade20k_segmentation',
  'datasets.cityscapes_segmentation',
  'datasets.scenes',
  'datasets.voc2012_segmentation',
)
_OF_ONE_DATASET = (
  *('common', 'datasets.info', 'datasets.raw', 'datasets.sources'),
  *('imaging', 'utils'),
)
_TO_TRAIN = ('common', 'core', 'datasets', 'distributed', 'training', 'utils')

# What a room may import of the package besides itself: only what has a row
# above its own. A row applies to everything inside that has no longer row; a
# name on the right stands for everything inside. The map in CONTRIBUTING.md
# says the same.
MAY_IMPORT = {
  '__main__': (),
  'common': (),
  'utils': (),
  'imaging': ('common', 'utils'),
  'distributed': ('utils',),
  'config': ('utils',),
  'core': ('common',),
  'core.network': ('common', 'core.resize'),
  'core.losses': ('common',),
  'core.augment': ('common', 'core.resize'),
  'datasets.info': ('common', 'imaging', 'utils'),
  'datasets.sources': ('common', 'datasets.info', 'imaging', 'utils'),
  'datasets.raw': ('common', 'datasets.sources', 'imaging', 'utils'),
  'datasets.annotations': (
    'datasets.raw',
    'datasets.sources',
    'imaging',
    'utils',
  ),
  **dict.fromkeys(_DATASETS, _OF_ONE_DATASET),
  'datasets.folder_segmentation': ('datasets.annotations', *_OF_ONE_DATASET),
  'datasets': (
    'common',
    'core.augment',
    'core.resize',
    'datasets.info',
    'datasets.sources',
    'imaging',
    'utils',
  ),
  'datasets.preparation': (
    'common',
    'core.losses',
    'datasets',
    'imaging',
    'utils',
  ),
  'tasks': ('common', 'core'),
  'training': ('common', 'distributed', 'tasks.task', 'utils'),
  'inference': ('config', 'imaging', *_TO_TRAIN),
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
  'studies.report': (
    'config',
    'imaging',
    'studies.arms',
    'studies.processes',
    'utils',
  ),
  'experiment': ('inference', 'tasks.task', *_TO_TRAIN),
  'launch': ('config', 'distributed', 'utils'),
  'conversion': ('config', 'core.network', 'launch', 'training', 'utils'),
  'planning': ('config', 'datasets', 'utils'),
  **dict.fromkeys(
    COMMANDS,
    (
      'config',
      'conversion',
      'datasets.preparation',
      'export',
      'imaging',
      'inference',
      'launch',
      'planning',
      'studies',
      'training',
      'utils',
    ),
  ),
}

_LAYERS = (
  *(
    f'core.network.{name}'
    for name in (
      *('atrous', 'atrous_conv', 'conv', 'depthwise_conv'),
      *('dropout', 'norm', 'pixels'),
    )
  ),
  'core.resize',
)
# Inside of rooms, instead of the room's row: neither other backbones nor tasks.
INSIDE = {
  'core.network': _LAYERS,
  'core.network.keras_cv_backbone': (
    *_LAYERS,
    'core.network.keras_cv_layers',
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
ROOT_AT_ONCE = ('utils.processor',)
ROOT_MAY_IMPORT = (*ROOT_AT_ONCE, 'export.opened', 'train')
# The loose modules in the package besides the commands.
ROOTS = ('__init__', '__main__', 'common', 'experiment', 'launch')
# Folders of tests that are not rooms.
ONLY_TESTS = ('', 'data', 'gin_configs', 'tools')

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

# Where random numbers must follow from a seed alone: names that start like this
# and do not continue in one of these ways are refused there.
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


def read_package():
  """{name below the package: source text} of all modules; '' is the root."""
  sources = {}
  for path in sorted((REPOSITORY / PACKAGE).rglob('*.py')):
    parts = path.relative_to(REPOSITORY / PACKAGE).with_suffix('').parts
    name = '.'.join(part for part in parts if part != '__init__')
    sources[name] = path.read_text(encoding='utf-8')
  return sources


def faults(sources):
  """A sentence for everything forbidden that a package does."""
  found, graph = [], {}
  for module, text in sources.items():
    tree = ast.parse(text)
    imports = list(imports_of(tree))
    ours = [(name, line) for name, line, _ in imports if is_inside(name)]
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


def imports_of(tree):
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


def top_level(tree):
  """The statements of a module that run when it is imported."""
  return [node for node in tree.body if not isinstance(node, ast.FunctionDef)]


def is_inside(name):
  return f'{name}.'.startswith(f'{PACKAGE}.')


def _resolve(name, sources):
  """The module that an import of the package means: its name below that."""
  below = name.removeprefix(PACKAGE).removeprefix('.')
  if below in sources:
    return below
  return below.rpartition('.')[0]  # A class or function of it.


def covers(row, module):
  return f'{module}.'.startswith(f'{row}.')


def row_of(module, table):
  """The longest row of a table that covers a module, or None."""
  rows = [row for row in table if covers(row, module)]
  return max(rows, key=len, default=None)


def _rule(module):
  """The room of a module, and what it may import.

  The room is None where the neighbours may not be imported either.
  """
  room, inside = row_of(module, MAY_IMPORT), row_of(module, INSIDE)
  if inside and len(inside) >= len(room):
    return None, INSIDE[inside]
  return room, MAY_IMPORT[room]


def _wrong_own(module, imports, sources):
  """Imports of the package that the map does not have."""
  if not module:
    room, allowed = None, ROOT_MAY_IMPORT
  elif row_of(module, MAY_IMPORT) is None:
    yield '1 has no row in MAY_IMPORT of tests/architecture_test.py'
    return
  else:
    room, allowed = _rule(module)
  for name, line in imports:
    target = _resolve(name, sources)
    if room is not None and row_of(target, MAY_IMPORT) == room:
      continue
    if not any(covers(row, target) for row in allowed):
      yield f'{line} imports {target}; it may import {", ".join(allowed)}'


def _wrong_others(module, imports):
  for name, line, is_guarded in imports:
    if name.startswith('.'):
      yield f'{line} has a relative import; write it in full'
    for kept, owners in KEPT_TO.items():
      if not covers(kept, name):
        continue
      is_command = module in COMMANDS and kept == 'absl.flags' and is_guarded
      if not (is_command or any(covers(owner, module) for owner in owners)):
        yield f'{line} imports {name}; only {list(owners)} may'


def _wrong_calls(module, tree):
  """Indirect uses of pickle, and stateful random numbers."""
  is_seeded = any(covers(row, module) for row in _SEEDED)
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
  """The first import cycle found, as a list of one sentence."""
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


def without_types(nodes, in_class=False):
  """Yields (name, line) of public functions that lack a type."""
  for node in nodes:
    if isinstance(node, ast.ClassDef) and not node.name.startswith('_'):
      yield from without_types(node.body, in_class=True)
    if not isinstance(node, ast.FunctionDef):
      continue
    is_public = not node.name.startswith('_') or node.name == '__init__'
    if is_public and _lacks_types(node, in_class):
      yield node.name, node.lineno


def _lacks_types(node, in_class):
  names = node.args
  kinds = map(ast.unparse, node.decorator_list)
  has_self = in_class and 'staticmethod' not in kinds
  arguments = [*names.posonlyargs, *names.args][has_self:]
  arguments += [*names.kwonlyargs, names.vararg, names.kwarg]
  returns = node.returns is not None or node.name == '__init__'
  return not returns or any(a and a.annotation is None for a in arguments)
