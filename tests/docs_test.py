"""The pages: their commands are right, their links work, and the main flow and
the Python examples run as written, on tiny scenes."""

import argparse
import json
import pathlib
import re
import shlex
import sys

import numpy as np
import pytest
from absl import flags
from PIL import Image

import deeplab_contrast
from deeplab_contrast import launch
from deeplab_contrast.config import build
from deeplab_contrast.utils import precision
from tests import fixtures, processes

_PAGES = ('README.md', 'CONTRIBUTING.md', 'docs/*.md', 'gin_configs/README.md')
_BLOCK = re.compile(r'^```(\w*)\n(.*?)^```', re.S | re.M)
_COMMAND = re.compile(r'(?:\S*/)?python -m deeplab_contrast\.(\w+)(.*)')
# Kinds of blocks that hold commands.
_SHELL = ('', 'bash', 'yaml')
# Any softmax experiment, for commands on a run that nobody has trained here.
_RUN = 'gin_configs/voc2012/softmax_scratch.gin'
# Experiments, one of which must take a binding that a page names.
_EXPERIMENTS = (
  ('voc2012/softmax_scratch',),
  ('voc2012/contrastive_pretrain',),
  ('voc2012/softmax_finetune',),
  ('voc2012/softmax_scratch', 'models/xception_65'),
  ('voc2012/softmax_scratch', 'models/resnet_v1_50'),
  ('voc2012/softmax_scratch', 'sources/mixture'),
  ('camvid/softmax_scratch',),
)
# What a table or a sentence abbreviates.
_ABBREVIATED = re.compile(r'[*{}]|\.\.\.')


def pages():
  """{name: text} of all pages."""
  paths = [p for pattern in _PAGES for p in processes.ROOT.glob(pattern)]
  return {
    str(path.relative_to(processes.ROOT)): path.read_text(encoding='utf-8')
    for path in sorted(paths)
  }


def blocks(name, *languages):
  """The code blocks of a page in some languages."""
  return [t for kind, t in _BLOCK.findall(pages()[name]) if kind in languages]


def commands(text):
  """Yields (module, arguments) of the complete commands in a page."""
  inline = re.findall(r'`([^`\n]+)`', _BLOCK.sub('', text))
  shell = [t for kind, t in _BLOCK.findall(text) if kind in _SHELL]
  lines = '\n'.join(shell).replace('\\\n', ' ').splitlines()
  for line in [*lines, *inline]:
    found = _COMMAND.search(line)
    if found and '...' not in line:
      yield found[1], shlex.split(found[2].partition(' [')[0])


def _all_commands():
  result = {}
  for name, text in pages().items():
    for module, arguments in commands(text):
      result[(module, *arguments)] = f'{name}: {module} {shlex.join(arguments)}'
  return result


_COMMANDS = _all_commands()


@pytest.fixture
def only_checked(monkeypatch, tmp_path):
  """Commands end once their flags and experiment have been checked."""
  parsed = argparse.ArgumentParser.parse_args

  def parse_args(parser, argv=None, namespace=None):
    values = parsed(parser, argv, namespace)
    if files := getattr(values, 'gin_file', None):
      launch.parse(files, getattr(values, 'gin_bindings', None) or ())
    sys.exit(0)

  own = tmp_path / 'my_data' / 'dataset.json'
  own.parent.mkdir()
  own.write_text('{"name": "mine", "classes": ["background", "leaf"]}')
  monkeypatch.setattr(launch, 'run', _check)
  monkeypatch.setattr(argparse.ArgumentParser, 'parse_args', parse_args)
  return tmp_path


def _check(main, root=build.EXPERIMENT, **how):
  """Takes the place of `launch.run`."""
  values = flags.FLAGS
  rest = values(sys.argv)[1:]
  assert how.get('takes_arguments') or not rest, rest
  if not all(
    how.get(key, True) for key in ('takes_experiment', 'needs_experiment')
  ):
    assert not (values.gin_file or values.gin_bindings)
  elif not _is_of_the_reader(values.gin_file):
    assert values.gin_file or values.model_dir
    launch.parse(
      values.gin_file or [_RUN],
      values.gin_bindings,
      root,
      settings=how.get('settings', dict)(),
      tolerate_unused_bindings=how.get('tolerate_unused_bindings', False),
      not_needed=how.get('not_needed', ()),
    )


def _is_of_the_reader(files):
  """Whether there are files that a page asks to write; extending_test does."""
  return any(not name.startswith('gin_configs/') for name in files)


@pytest.mark.parametrize('command', _COMMANDS, ids=_COMMANDS.get)
def test_commands_of_the_pages_are_right(command, only_checked):
  module, *arguments = command
  done = processes.run_module(module, *arguments, cwd=only_checked)
  assert done.returncode == 0, done.stderr


def test_wrong_commands_are_noticed(only_checked):
  text = '```\npython -m deeplab_contrast.train --gin_file=%s%s\n```\n'
  wrong = " --gin_bindings='STEP = 3'"
  for extra in (' --speed=3', ' --num_shards=3', wrong, ' x', '.gin'):
    ((module, arguments),) = commands(text % (_RUN, extra))
    done = processes.run_module(module, *arguments, cwd=only_checked)
    assert done.returncode, extra


def _bindings():
  """Bindings that a sentence or a table names, and those of gin blocks."""
  result = {
    tuple(text.strip().splitlines())
    for name in pages()
    for text in blocks(name, 'gin')
    if not text.startswith('# ')  # The overlays of extending_test.
  }
  for text in pages().values():
    for code in re.findall(r'`([^`\n]+)`', _BLOCK.sub('', text)):
      # On the command line, too.
      code = re.sub(r'^--gin_bindings="(.*)"$', r'\1', code)
      if re.match(r'([A-Z_]+|(\w+/)?\w+\.[A-Z]\w+\.\w+) = ', code):
        result.add((code,))
  return sorted(result)


@pytest.mark.parametrize('bindings', _bindings(), ids=str)
def test_bindings_of_the_pages_are_right(bindings, only_checked, monkeypatch):
  monkeypatch.setattr(precision, 'faster', lambda: 'float32')  # Not measured.
  given = [f'--gin_bindings={binding}' for binding in bindings]
  refusals = []
  for names in _EXPERIMENTS:
    files = [f'--gin_file=gin_configs/{name}.gin' for name in names]
    if 'sources/mixture' in names:
      files.append("--gin_bindings=PSEUDO_LABELS = 'folder'")
    done = processes.run_module('train', *files, *given, cwd=only_checked)
    if done.returncode == 0:
      return
    refusals.append(done.stderr.splitlines()[-1])
  pytest.fail('\n'.join(refusals))


@pytest.mark.parametrize('name', pages())
def test_what_a_page_names_is_there(name):
  text, folder = pages()[name], (processes.ROOT / name).parent
  missing = [
    path
    for path in re.findall(r'gin_configs/[\w/*{}.,-]+\.gin', text)
    if not _ABBREVIATED.search(path) and not (processes.ROOT / path).exists()
  ]
  for module in re.findall(r'-m deeplab_contrast\.(\w+)', text):
    if not (processes.ROOT / 'deeplab_contrast' / f'{module}.py').exists():
      missing.append(module)
  prose = _BLOCK.sub('', text)
  for link in re.findall(r'\]\(([^)\s]+)\)', prose):
    if not link.startswith('https://'):
      place, _, anchor = link.partition('#')
      target = folder / place if place else processes.ROOT / name
      if not target.exists() or (anchor and anchor not in anchors(target)):
        missing.append(link)
  assert not missing


def anchors(path: pathlib.Path):
  """What links may lead to in a page, as GitHub names headings."""
  heads = re.findall(r'^#+ (.*)$', path.read_text(encoding='utf-8'), re.M)
  return {re.sub(r'[^\w -]', '', h.lower()).replace(' ', '-') for h in heads}


def test_the_readme_is_short_and_names_all_pages():
  text = pages()['README.md']
  assert len(text.splitlines()) <= 150
  assert all(name in text for name in pages())


@pytest.fixture(scope='module')
def place(tmp_path_factory):
  """A folder in which the Python examples have run."""
  folder = tmp_path_factory.mktemp('docs')
  pixels = np.random.default_rng(0).integers(0, 256, (40, 52, 3), np.uint8)
  Image.fromarray(pixels).save(folder / 'photo.jpg')
  tiny = ', '.join(map(repr, fixtures.TINY_SCENES))
  with pytest.MonkeyPatch.context() as patch:
    patch.chdir(folder)
    names = {}
    for page in ('README.md', 'docs/python_api.md'):
      for code in blocks(page, 'python'):
        exec(code.replace("'LABELS = 6'", tiny), names)
  return folder, names


@pytest.mark.slow
def test_python_examples_run(place):
  folder, names = place
  result = names['result']
  assert result.labels.shape == (40, 52) and result.labels.dtype == np.uint8
  assert set(result.names) >= {'road', 'sky', 'car'}
  assert result.overlay().shape == result.image.shape == (40, 52, 3)
  assert (folder / 'runs/tiny/DONE').exists()
  assert 0 <= names['scores']['miou'] <= 1


@pytest.mark.slow
def test_commands_of_the_readme_run_and_agree_with_python(place):
  folder, names = place
  text = pages()['README.md'].replace('runs/finetune', 'runs/tiny')
  done = []
  for module, arguments in commands(text):
    if module != 'train':
      ended = processes.run_module(module, *arguments, cwd=folder)
      assert ended.returncode == 0, ended.stderr
      done.append(module)
  assert done == ['eval', 'export_model', 'predict']
  with Image.open(folder / 'predictions/masks/photo.png') as mask:
    ids = np.asarray(mask)
  np.testing.assert_array_equal(ids, names['result'].labels)
  model = deeplab_contrast.open(folder / 'runs/tiny/export/saved_model')
  again = model.predict(folder / 'photo.jpg', probabilities=True)
  np.testing.assert_array_equal(ids, again.labels)
  assert again.probabilities.shape == (40, 52, len(again.names))


@pytest.mark.slow
def test_the_tour_runs(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  path = processes.ROOT / 'docs' / 'tour.ipynb'
  cells = json.loads(path.read_text(encoding='utf-8'))['cells']
  codes = [''.join(c['source']) for c in cells if c['cell_type'] == 'code']
  (first, *rest), names = codes, {}
  assert 'STEPS = 300\n' in first
  for code in (first.replace('STEPS = 300\n', 'STEPS = 2\n'), *rest):
    exec(code, names)
  result = names['result']
  assert result.names == ('background', 'leaf', 'stem')
  assert result.overlay().shape == result.image.shape == (120, 160, 3)
