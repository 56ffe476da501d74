"""Installed without the repository, the package still has its experiments.

What `pip install .` installs is made here without pip, which would need the
network: a wheel of a copy of the sources, unpacked into its own folder.
"""

import configparser
import os
import pathlib
import shutil
import subprocess
import sys
import zipfile

import pytest

from deeplab_contrast.utils import provenance, shipped
from tests import processes, recipe_test

ROOT = processes.ROOT
CONFIGS = 'gin_configs'


def test_every_package_is_installed():
  # `find:` cannot be used (see setup.cfg), so a package could be forgotten.
  setup = configparser.ConfigParser()
  setup.read(ROOT / 'setup.cfg', encoding='utf-8')
  listed = setup['options']['packages'].split()
  found = {
    '.'.join(path.parent.relative_to(ROOT).parts)
    for path in (ROOT / 'deeplab_contrast').rglob('*.py')
  }
  assert set(listed) == found | {f'deeplab_contrast.{CONFIGS}'}
  assert len(listed) == len(set(listed))


def test_the_package_brings_its_experiments_or_has_them_beside_it(tmp_path):
  package = tmp_path / 'deeplab_contrast'
  (tmp_path / CONFIGS).mkdir()
  package.mkdir()
  assert shipped.home(package) == tmp_path
  (package / CONFIGS).mkdir()
  assert shipped.home(package) == package
  assert shipped.home() == ROOT


def test_inside_a_foreign_repository_the_commit_is_unknown(
  tmp_path, monkeypatch
):
  git = ['git', '-C', str(tmp_path), '-c', 'user.name=a', '-c', 'user.email=a']
  (tmp_path / 'provenance.py').write_text('')
  monkeypatch.setattr(provenance, '__file__', str(tmp_path / 'provenance.py'))
  for command in (['init'], ['commit', '--allow-empty', '-m', 'theirs']):
    subprocess.run([*git, *command], check=True, capture_output=True)
  assert provenance.commit() == 'unknown'
  for command in (['add', '.'], ['commit', '-m', 'ours']):
    subprocess.run([*git, *command], check=True, capture_output=True)
  assert len(provenance.commit()) >= 7 and provenance.commit() != 'unknown'


@pytest.fixture(scope='module')
def wheel(tmp_path_factory):
  sources = tmp_path_factory.mktemp('sources')
  ignore = shutil.ignore_patterns('__pycache__')
  for name in ('deeplab_contrast', CONFIGS):
    shutil.copytree(ROOT / name, sources / name, ignore=ignore)
  for name in ('setup.cfg', 'pyproject.toml', 'README.md', 'LICENSE'):
    shutil.copy(ROOT / name, sources)
  code = 'from setuptools import build_meta; build_meta.build_wheel("wheels")'
  done = subprocess.run(
    [sys.executable, '-c', code],
    cwd=sources,
    capture_output=True,
    text=True,
    check=False,
  )
  assert done.returncode == 0, done.stdout + done.stderr
  (path,) = (sources / 'wheels').glob('*.whl')
  return path


@pytest.fixture(scope='module')
def site(wheel, tmp_path_factory):
  """The wheel, unpacked to a read-only folder."""
  folder = tmp_path_factory.mktemp('installed') / 'Programme für alle' / 'site'
  with zipfile.ZipFile(wheel) as archive:
    archive.extractall(folder)
  paths = [folder, *folder.rglob('*')]
  for path in paths:
    path.chmod(0o555 if path.is_dir() else 0o444)
  before = contents(folder)
  yield folder
  after = contents(folder)
  for path in paths:
    path.chmod(0o755 if path.is_dir() else 0o644)
  # For root nothing is read-only; even so, nothing was written.
  assert after == before


def contents(folder):
  return {
    path.relative_to(folder): path.stat().st_size for path in folder.rglob('*')
  }


@pytest.fixture
def run(site, tmp_path):
  """Runs a command of the installed package in a folder far away."""
  cwd = tmp_path / 'Käthe Müller'
  cwd.mkdir()

  def command(module, *arguments):
    environment = {
      'PATH': os.environ['PATH'],
      'PYTHONPATH': str(site),
      'PYTHONDONTWRITEBYTECODE': '1',
      'CUDA_VISIBLE_DEVICES': '-1',
      'LANG': 'C',
    }
    done = subprocess.run(
      [sys.executable, '-m', module, *arguments],
      cwd=cwd,
      env=environment,
      capture_output=True,
      text=True,
      encoding='utf-8',
      check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout

  command.cwd = cwd
  return command


@pytest.mark.slow
def test_the_wheel_has_every_experiment(wheel):
  with zipfile.ZipFile(wheel) as archive:
    names = set(archive.namelist())
  expected = {
    f'deeplab_contrast/{path.relative_to(ROOT).as_posix()}'
    for pattern in ('*.gin', '*.json')
    for path in (ROOT / CONFIGS).rglob(pattern)
  }
  assert len(expected) > 50 and expected <= names
  tops = {pathlib.PurePath(name).parts[0] for name in names}
  assert tops == {'deeplab_contrast', 'deeplab_contrast-0.1.0.dist-info'}


@pytest.mark.slow
def test_a_recipe_of_an_installed_package(run, site):
  scratch = ('scratch', 'softmax_scratch', {'arm': 'softmax'})
  recipe_test.write_recipe(run.cwd, scratch)
  said = run(
    'deeplab_contrast.recipe',
    '--gin_file=recipe.gin',
    '--model_dir=meine Läufe/erster',
    '--data_dir=Bilder für alle',
  )
  assert '[1/1] scratch' in said
  folder = run.cwd / 'meine Läufe' / 'erster'
  assert (folder / 'comparison.png').exists()
  assert (folder / 'scratch' / 'DONE').exists()
  where = run('deeplab_contrast.eval', '--helpshort')
  assert str(site / 'deeplab_contrast' / 'eval.py') in where
  file = '--gin_file=gin_configs/quickstart.gin'
  assert 'pretrain' in run('deeplab_contrast.recipe', file, '--print_config')


@pytest.mark.slow
def test_own_files_of_an_installed_package_come_first(run):
  (run.cwd / 'mine.gin').write_text(
    "include 'gin_configs/scenes/softmax_scratch.gin'\n"
    "include 'gin_configs/tiny.gin'\n"
  )
  config = run(
    'deeplab_contrast.train', '--gin_file=mine.gin', '--print_config'
  )
  assert 'BATCH_SIZE = 2\n' in config
  (run.cwd / CONFIGS).mkdir()
  (run.cwd / CONFIGS / 'tiny.gin').write_text('BATCH_SIZE = 3\n')
  config = run(
    'deeplab_contrast.train', '--gin_file=mine.gin', '--print_config'
  )
  assert 'BATCH_SIZE = 3\n' in config


@pytest.mark.slow
def test_an_experiment_that_names_a_json_file_of_ours(run):
  config = run(
    'deeplab_contrast.train',
    '--gin_file=gin_configs/camvid/softmax_scratch.gin',
    '--gin_bindings=CAMVID_ROOT = "nowhere"',
    '--print_config',
  )
  assert 'gin_configs/datasets/camvid.json' in config
