"""What the comments of gin_configs say is true; no file is built."""

import re

import pytest

from deeplab_contrast.config import gin_text
from tests.gin_configs import experiments

_MACRO = r'\b[A-Z][A-Z_]+\b'
_README = (experiments.FOLDER / 'README.md').read_text()


def _head(name):
  """The comment at the beginning of a file, as one line."""
  lines = re.match(r'(#.*\n)*', experiments.text(name))[0].splitlines()
  return ' '.join(line.removeprefix('# ') for line in lines)


def _required(name):
  """The macros that a file leaves open."""
  return {
    macro
    for macro, value in experiments.defaults(name).items()
    if isinstance(value, gin_text.Macro) and value.name == 'gin.REQUIRED'
  }


@pytest.mark.parametrize('name', experiments.FILES)
def test_comments_name_files_that_are_there(name):
  text = experiments.text(name)
  for mentioned in re.findall(r'gin_configs/[\w/]+\.gin', text):
    assert (experiments.FOLDER.parent / mentioned).is_file()
  for neighbor in re.findall(r'Feeds (\S+\.gin)', text):
    assert (experiments.FOLDER / name).with_name(neighbor).is_file()


def test_the_readme_names_files_that_are_there():
  for mentioned in re.findall(r'`([\w/]+\.gin)`', _README):
    assert mentioned in experiments.FILES


@pytest.mark.parametrize('name', experiments.EXPERIMENTS)
def test_an_experiment_includes_at_most_five_files(name):
  included = experiments.included(name)
  assert len(set(included)) == len(included) <= 5


@pytest.mark.parametrize('name', experiments.EXPERIMENTS)
def test_the_head_lists_the_macros_to_set(name):
  must, may = re.search(
    r'Must set: (.*?)\. May set: (.*)', _head(name)
  ).groups()
  assert set(re.findall(_MACRO, must)) == _required(name)
  suggested = set(re.findall(rf'({_MACRO}),', may))
  assert suggested
  assert suggested <= set(experiments.defaults(name))


@pytest.mark.parametrize('name', experiments.EXPERIMENTS)
def test_the_readme_lists_all_macros(name):
  assert set(experiments.defaults(name)) <= set(re.findall(r'\w+', _README))
