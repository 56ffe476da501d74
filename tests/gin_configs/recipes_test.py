"""Every stage of the recipes and studies of gin_configs."""

import re

import pytest

from deeplab_contrast import launch
from deeplab_contrast.datasets import transforms
from deeplab_contrast.studies import stages
from tests.gin_configs import experiments


def _imagenet(job):
  """Where a stage starts that does not start from another stage."""
  overlay = 'gin_configs/tasks/imagenet_backbone.gin'
  return 'runs/imagenet' if overlay in job.stage.gin_files else None


def _kinds(jobs):
  """Without those that differ from others in the number of labels alone."""
  return {(job.stage.gin_files, job.stage.arm): job for job in jobs}.values()


@pytest.mark.parametrize('name', experiments.RECIPES)
def test_every_stage_of_a_recipe_builds(name, tmp_path):
  is_own = name.endswith('/own.gin')
  own = experiments.describe_own_data(tmp_path) if is_own else ()
  recipe = launch.parse([f'gin_configs/{name}'], root=experiments.RECIPE).root
  for job in _kinds(stages.plan(recipe, str(tmp_path), ())):
    link = job.stage.starts_from and f'{tmp_path}/{job.stage.starts_from}'
    # Nothing is tolerated here: a binding without a use would be refused.
    if job.stage.command == 'pseudo_label':
      built = launch.parse(
        job.stage.gin_files, job.bindings, experiments.LABELER
      )
      assert built.root.run == link
      continue
    is_small = any('lite0.gin' in file for file in job.stage.gin_files)
    shallow = () if is_small else experiments.SHALLOW
    bindings = (*job.bindings, *own, *shallow)
    built = launch.parse(job.stage.gin_files, bindings)
    start = built.root.trainer.warm_start
    # With several seeds, folders have theirs in their name.
    found = start and re.sub(r'_seed\d+$', '', start.path)
    assert found == (link or _imagenet(job))
  assert any(stage.arm is not None for stage in recipe.stages)


def test_the_quickstart_distorts_colours_as_it_says(tmp_path):
  """In pretraining always, in cross entropy in half of the arms."""
  files = ['gin_configs/quickstart.gin']
  recipe = launch.parse(files, root=experiments.RECIPE).root
  last = {}
  for job in stages.plan(recipe, str(tmp_path), ()):
    bindings = (*job.bindings, *experiments.SHALLOW)
    built = launch.parse(job.stage.gin_files, bindings).root
    last[job.stage.name] = type(built.train.transforms[-1])
  assert last == {
    'scratch_4': transforms.BrightnessContrast,
    'pretrain_4': transforms.TwoViews,
    'finetune_4': transforms.BrightnessContrast,
    'scratch_4_distorted': transforms.ColorDistortion,
    'pretrain_4_distorted': transforms.TwoViews,
    'finetune_4_distorted': transforms.ColorDistortion,
  }
