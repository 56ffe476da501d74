import pytest

from deeplab_contrast import launch
from deeplab_contrast.datasets import sources
from deeplab_contrast.datasets.voc2012_segmentation import Voc2012
from deeplab_contrast.inference import pseudo_labeler
from deeplab_contrast.utils import errors
from tests.datasets import in_memory

ROOT = 'deeplab_contrast.inference.pseudo_labeler.PseudoLabeler'


def test_thresholds_of_voc_are_those_of_the_paper():
  built = launch.parse(
    ['gin_configs/voc2012/pseudo_label.gin'], ["INIT = 'runs/a'"], ROOT
  )
  thresholds = built.root.thresholds(Voc2012.info.class_names)
  assert thresholds.dtype == 'float32'
  assert thresholds.tolist() == pytest.approx([0.97] + [0.8] * 20)
  assert Voc2012.info.class_names[0] == 'background'


def test_thresholds_of_all_others_are_those_of_cityscapes():
  built = launch.parse(
    ['gin_configs/tasks/pseudo_label.gin'], ["INIT = 'runs/a'"], ROOT
  )
  assert built.root.thresholds(['a', 'b']).tolist() == pytest.approx([0.8] * 2)


def test_a_run_must_be_named():
  with pytest.raises(errors.ConfigError, match='INIT'):
    launch.parse(['gin_configs/tasks/pseudo_label.gin'], root=ROOT)


@pytest.mark.parametrize(
  ('settings', 'sentence'),
  [
    ({'threshold': 1.5}, r'threshold is 1.5; a probability is 0 to 1'),
    ({'class_thresholds': {'a': -1}}, r"class_thresholds\['a'\] is -1"),
  ],
)
def test_thresholds_that_are_no_probabilities(settings, sentence):
  with pytest.raises(errors.ConfigError, match=sentence):
    pseudo_labeler.PseudoLabeler('runs/a', **settings)


def test_a_threshold_of_an_unknown_class():
  labeler = pseudo_labeler.PseudoLabeler('r', class_thresholds={'sky': 0.9})
  with pytest.raises(errors.ConfigError, match="'sky', which is not one of"):
    labeler.thresholds(['road', 'tree'])


def test_the_rest_of_the_label_budget_is_labelled():
  labeler = pseudo_labeler.PseudoLabeler('r')
  budget = sources.LabelBudget(in_memory.HUNDRED, count=30)
  rest = labeler.unlabelled(budget).open(None).ids()
  taken = budget.open(None).ids()
  assert sorted([*rest, *taken]) == sorted(in_memory.HUNDRED.names)
  # Likewise in a second round, which trains on pseudo-labels too.
  joined = sources.Union([budget, sources.Complement(budget)])
  assert labeler.unlabelled(joined) == sources.Complement(budget)


def test_images_of_its_own():
  labeler = pseudo_labeler.PseudoLabeler('r', in_memory.HUNDRED)
  assert labeler.unlabelled(in_memory.PaintedSource()) is in_memory.HUNDRED


def test_a_run_without_a_budget_leaves_nothing_over():
  with pytest.raises(errors.ConfigError, match='no label budget'):
    pseudo_labeler.PseudoLabeler('r').unlabelled(in_memory.HUNDRED)
