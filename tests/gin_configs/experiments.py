"""The files of gin_configs, and how tests build them."""

import functools
import pathlib
import re

from deeplab_contrast import launch
from deeplab_contrast.config import gin_text

FOLDER = pathlib.Path(gin_text.OURS, 'gin_configs')
LABELER = 'deeplab_contrast.inference.pseudo_labeler.PseudoLabeler'
RECIPE = 'deeplab_contrast.studies.stages.Recipe'
TINY = 'gin_configs/tiny.gin'

# For tests that do not look at the network: the paper's takes longer to build.
SHALLOW = ("BACKBONE = 'resnet_v1_18_beta'", 'MULTI_GRID = None')

FILES = sorted(p.relative_to(FOLDER).as_posix() for p in FOLDER.rglob('*.gin'))


def text(name):
  """The text of a file of gin_configs."""
  return (FOLDER / name).read_text()


RECIPES = [
  n
  for n in FILES
  if n.startswith(('recipes/', 'studies/', 'quickstart'))
  and not text(n).startswith('# Overlay')
]


def _is_experiment(name):
  """Whether the comment of a file says how to train with it."""
  command = f'deeplab_contrast.train --gin_file=gin_configs/{name} '
  return command in text(name)


EXPERIMENTS = [name for name in FILES if _is_experiment(name)]
OF_PAPER = [
  n
  for n in EXPERIMENTS
  if n.startswith(('voc2012/', 'cityscapes/')) and 'consistency' not in n
]

# Those that are trained, the first two in the quick step: every task, start,
# kind of crop and dataset once. The others differ from one of these in numbers
# alone, or are the usual experiment of the tests of commands (scenes).
QUICK = ('voc2012/contrastive_pretrain.gin', 'voc2012/softmax_scratch.gin')
TRAINED = (
  *QUICK,
  'camvid/softmax_finetune.gin',
  'cityscapes/contrastive_cross_image_596.gin',
  'cityscapes/softmax_scratch_596.gin',
  'original/voc2012_trainval.gin',
  'voc2012/contrastive_batch_2118.gin',
  'voc2012/contrastive_one_view_2118.gin',
  'voc2012/contrastive_stride4_2118.gin',
  'voc2012_small/contrastive_pretrain.gin',
)

# {experiment that starts from a run: experiment of that run}.
STARTS_FROM = {
  'original/voc2012_train_aug.gin': 'voc2012/contrastive_pretrain.gin',
  'original/voc2012_trainval.gin': 'original/voc2012_train_aug.gin',
} | {
  name: f'{name.partition("/")[0]}/contrastive_pretrain.gin'
  for name in EXPERIMENTS
  if 'finetune' in name
}


def parse(name, *overlays, init='INIT', bindings=(), **settings):
  """Builds an experiment; INIT is given to those that start from a run."""
  starts = [f'INIT = {str(init)!r}'] if name in STARTS_FROM else []
  files = [f'gin_configs/{name}', *overlays]
  return launch.parse(files, (*bindings, *starts), settings=settings)


@functools.cache
def plain(name):
  """An experiment as it stands, built once."""
  return parse(name)


def macros(built):
  """{name: value} of the macros that a configuration uses."""
  operative = gin_text.read_text(built.config, 'config.gin', allowed=None)
  return {b.parameter: b.value for b in operative.bindings if not b.selector}


def defaults(name):
  """{name: value} of the macros of a file and all that it includes."""
  source = gin_text.read_file(f'gin_configs/{name}', gin_text.ALLOWED_PACKAGES)
  return {b.parameter: b.value for b in source.bindings if not b.selector}


def included(name):
  """All files that a file includes, directly or not."""
  found = []
  for inner in re.findall(r"^include 'gin_configs/(.*)'", text(name), re.M):
    found += [inner, *included(inner)]
  return found


def describe_own_data(folder):
  """Bindings that name a description of own data, without files."""
  (folder / 'dataset.json').write_text('{"name": "my", "classes": ["a", "b"]}')
  return (f"OWN_DATA = '{folder}'",)
