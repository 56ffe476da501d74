import numpy as np
import pytest

from deeplab_contrast.studies.report import conclusions, style, summary
from deeplab_contrast.studies.report import study as study_lib

CLASSES = ('road', 'sky', 'car')


def entry(arm, labels, seed, miou, matrix=None, stages=()):
  matrix = [[0] * 3] * 3 if matrix is None else matrix
  result = {
    'miou': miou,
    'iou': {'road': miou, 'sky': None, 'car': 0.5},
    'colors': {name: [i, i, i] for i, name in enumerate(CLASSES)},
    'matrix': matrix,
  }
  return study_lib.Entry(arm, labels, seed, 'x', stages, 10, 1.0, result)


def study(*entries):
  return study_lib.Study('x', 'toys', '', '', None, len(entries), entries)


def test_differences_are_of_the_same_seeds():
  found = study(
    entry('softmax', 4, 0, 0.25),
    entry('softmax', 4, 1, 0.5),
    entry('softmax', 4, 2, 0.125),
    entry('contrastive', 4, 0, 0.375),
    entry('contrastive', 4, 2, 0.75),
    entry('contrastive', 4, 3, 1.0),
  )
  pair = ('contrastive', 'softmax')
  assert summary.differences(found) == [pair]
  gain = summary.difference(found, 4, *pair)
  assert gain.values == (0.125, 0.625)
  assert (gain.mean, gain.low, gain.high) == (0.375, 0.125, 0.625)
  assert summary.difference(found, 5, *pair).values == ()
  assert summary.miou(found, 'softmax', 4).values == (0.25, 0.5, 0.125)


def test_unknown_values_are_left_out():
  found = study(entry('softmax', 4, 0, None), entry('softmax', 4, 1, 0.5))
  assert summary.miou(found, 'softmax', 4).values == (0.5,)
  assert summary.iou(found, 'softmax', 4)['sky'].mean is None
  assert summary.iou(found, 'softmax', 4)['car'].mean == 0.5


def test_confusion_is_of_all_seeds_and_by_rows():
  found = study(
    entry('softmax', 4, 0, 0.5, [[6, 2, 0], [0, 0, 0], [1, 0, 1]]),
    entry('softmax', 4, 1, 0.5, [[0, 0, 0], [0, 0, 0], [1, 0, 1]]),
  )
  shares = summary.confusion(found, 'softmax', 4)
  np.testing.assert_array_equal(shares[0], [0.75, 0.25, 0])
  assert np.isnan(shares[1]).all()
  np.testing.assert_array_equal(shares[2], [0.5, 0, 0.5])
  assert summary.largest_classes(found, 2) == [0, 2]
  assert summary.largest_classes(found, 9) == [0, 1, 2]


def test_costs_are_means_of_the_stages():
  def stages(seed, steps, minutes):
    first = study_lib.Stage(f'pre_seed{seed}', 'train', 'p', steps, minutes)
    return first, study_lib.Stage('fine', 'train', 'f', 5, None)

  found = study(
    entry('softmax', 4, 0, 0.5, stages=stages(0, 10, 1.0)),
    entry('softmax', 4, 1, 0.5, stages=stages(1, 20, 2.0)),
  )
  assert summary.stage_costs(found, 'softmax', 4) == [
    ('pre', 15.0, 1.5),
    ('fine', 5.0, None),
  ]
  assert summary.stage_costs(found, 'softmax', 9) == []


def test_arms_look_the_same_in_every_study():
  one = style.looks(['softmax', 'contrastive'])
  other = style.looks(['mine', 'contrastive', 'yours', 'softmax'])
  assert list(other) == ['mine', 'contrastive', 'yours', 'softmax']
  for arm, look in one.items():
    assert other[arm] == look
  assert len({look.color for look in other.values()}) == 4


@pytest.mark.parametrize(
  ('arm', 'title'),
  [
    ('softmax', 'softmax'),
    ('contrastive_pseudo', 'contrastive + pseudo-labels'),
    ('my_arm', 'my_arm'),
  ],
)
def test_titles_of_arms(arm, title):
  assert style.arm_title(arm) == title


def test_intervals_by_hand():
  assert summary.spread([0.5]).interval is None
  # 27 draws: the mean of three equal ones has a chance of 3.7 %.
  assert summary.spread([0.1, 0.2, 0.6]).interval == pytest.approx((0.1, 0.6))
  # 256 draws: of four equal ones 0.4 %; of three and another 1.6 % more.
  four = summary.spread([0.0, 0.0, 0.4, 0.4])
  assert four.interval == pytest.approx((0.0, 0.4))
  four = summary.spread([0.0, 0.1, 0.2, 0.4])
  assert four.interval == pytest.approx((0.05, 0.325))
  many = summary.spread(np.linspace(0, 1, 101))
  expected = 0.5 + 1.96 * np.array([-1, 1]) * np.std(many.values) / 101**0.5
  np.testing.assert_allclose(many.interval, expected, atol=0.01)


@pytest.mark.parametrize(
  ('gains', 'sentence'),
  [
    ((0.01, 0.03), 'contrastive is better than softmax: +2.0 points'),
    ((-0.01, -0.03), 'contrastive is worse than softmax: −2.0 points'),
    ((-0.01, 0.03), 'no difference is shown between contrastive and softmax'),
  ],
)
def test_conclusions(gains, sentence):
  found = study(
    *(entry('softmax', 4, seed, 0.5) for seed in (0, 1)),
    *(entry('contrastive', 4, s, 0.5 + gain) for s, gain in enumerate(gains)),
    entry('softmax', 9, 0, 0.5),
    entry('contrastive', 9, 0, 0.9),
  )
  (conclusion,) = conclusions.of(found)  # Not with 9 labels, of one seed.
  assert conclusion.startswith('With 4 labelled images, ')
  assert sentence in conclusion
