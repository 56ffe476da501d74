import types

import pytest

from deeplab_contrast import common
from deeplab_contrast.datasets import sources
from deeplab_contrast.inference import class_thresholds, pseudo_labeler
from deeplab_contrast.utils import errors
from tests.datasets.in_memory import HUNDRED

BUDGET = sources.LabelBudget(HUNDRED, 4)


def experiment(**others):
  """What `open_held_out` needs of an experiment."""
  parts = {
    'train': types.SimpleNamespace(source=BUDGET),
    'task': types.SimpleNamespace(needs=()),
    'trainer': types.SimpleNamespace(warm_start=None),
    'eval_source': None,
    'data_dir': None,
  }
  return types.SimpleNamespace(**parts | others)


def test_images_that_no_training_saw_are_held_out():
  labeler = pseudo_labeler.PseudoLabeler('run', held_out=2)
  found = class_thresholds.open_held_out(labeler, experiment())
  assert found.ids() == sources.HeldOut(BUDGET, 2).open(None).ids()
  none = pseudo_labeler.PseudoLabeler('run')
  assert class_thresholds.open_held_out(none, experiment()) is None


@pytest.mark.parametrize(
  ('others', 'sentence'),
  [
    (
      {
        'task': types.SimpleNamespace(needs=(common.UNLABELLED,)),
        'unlabelled': types.SimpleNamespace(source=sources.Complement(BUDGET)),
      },
      '2 of the held-out images are training images',
    ),
    ({'eval_source': HUNDRED}, '2 of the held-out images are val images'),
    (
      {'train': types.SimpleNamespace(source=HUNDRED)},
      'run has no label budget',
    ),
  ],
)
def test_images_that_were_seen_are_refused(others, sentence):
  labeler = pseudo_labeler.PseudoLabeler('run', held_out=2)
  with pytest.raises(errors.UserError, match=sentence):
    class_thresholds.open_held_out(labeler, experiment(**others))
