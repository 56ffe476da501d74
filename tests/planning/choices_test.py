"""What is chosen, worked out by hand; nothing is computed with TensorFlow."""

import dataclasses

import pytest

from deeplab_contrast.datasets.preparation import data_facts
from deeplab_contrast.planning import choices, configuring, plan, recipe_file
from deeplab_contrast.utils import errors

GB = 10**9
_MACHINE = plan.Machine(cores=2, memory=8 * GB, has_weights=True)
# A batch of 8 crops of 129 takes 0.2 s and 1 GB.
_PIXELS = 8 * 129 * 129
_COST = plan.Cost(
  pixels=_PIXELS,
  seconds=0.2,
  input_seconds=0.005,
  overhead=20.0,
  fixed=GB // 2,
  memory=GB,
)
_COSTS = {
  choices.SOFTMAX: _COST,
  choices.PRETRAIN: dataclasses.replace(_COST, seconds=0.5, memory=2 * GB),
  choices.CONSISTENCY: dataclasses.replace(_COST, seconds=0.4),
}
# Like CamVid: 360 * 480 is 415.7 squared.
_STREETS = data_facts.Facts(
  name='streets',
  classes=('road', 'sky', 'car', 'pole'),
  labelled=367,
  val=101,
  unlabelled={},
  size=(360, 480),
  largest=(360, 480),
  shares=(0.6, 0.3, 0.09, 0.01),
  thickness=(120.0, 100.0, 30.0, 5.0),
)


def _like(**changes):
  return dataclasses.replace(_STREETS, **changes)


def _evaluating(facts=_STREETS, scale=0.5, memory=8 * GB):
  return choices.evaluating(facts, scale, _COST, memory)


def _stages(facts=_STREETS, minutes=60, arms=choices.ARMS[:2], seen=None):
  seen = seen or choices.view(facts, 129)
  return choices.stages(facts, seen, _COSTS, minutes, arms, _evaluating(facts))


def test_a_crop_shows_a_third_of_a_street():
  # 193 / (0.6 * 415.7) is 0.77; the second-thinnest of 4 classes would be the
  # quantile 1/3, so the thinnest decides: 5 pixels would be 3.9. It wants 1.0.
  seen = choices.view(_STREETS, 193)
  assert (seen.scale, seen.crop, seen.batch) == (1.0, (193, 193), 8)
  assert 'vanish' in seen.reason
  thick = _like(thickness=(120.0, 100.0, 30.0, 30.0))
  seen = choices.view(thick, 193)
  assert (seen.scale, seen.crop) == (0.77, (177, 177))
  assert 'a third' in seen.reason and seen.thin == pytest.approx(23.1)


def test_thick_objects_need_no_resolution():
  # 96 of 800 pixels: 480 x 360 of a photo of 12 megapixels.
  leaves = _like(
    size=(3000, 4000), classes=('soil', 'leaf'), thickness=(1500.0, 800.0)
  )
  seen = choices.view(leaves, 513)
  # 0.6 * 0.12 * 3464 is 249: 241 is the multiple of 16, plus 1, below.
  assert (seen.scale, seen.crop) == (0.12, (241, 241))
  assert 'enough' in seen.reason


def test_thin_objects_of_huge_photos_are_kept():
  # 8 of 20 pixels: 1600 x 1200, of which a crop shows little.
  seeds = _like(
    size=(3000, 4000), classes=('soil', 'seed'), thickness=(1500.0, 20.0)
  )
  seen = choices.view(seeds, 257)
  assert (seen.scale, seen.crop, seen.thin) == (0.4, (257, 257), 8.0)


def test_tiny_images_are_enlarged_and_fill_larger_batches():
  tiny = _like(size=(32, 32), largest=(32, 32), thickness=(16.0, 8.0, 6.0, 5.0))
  seen = choices.view(tiny, 129)
  # 64 pixels fit into a crop of 65; 31 such crops have the pixels of a step.
  assert (seen.scale, seen.crop, seen.batch) == (2.0, (65, 65), 16)
  assert 'enlarged' in seen.reason
  # Only along the short side of a strip.
  strip = choices.view(_like(size=(40, 2000), thickness=(20.0,) * 4), 129)
  assert (strip.scale, strip.crop) == (0.76, (33, 129))


def test_time_and_memory_bound_the_crop():
  def side(seconds, memory=80 * GB, labelled=367, has_weights=True):
    machine = plan.Machine(2, memory, has_weights)
    facts = _like(labelled=labelled)
    return choices.affordable_side(facts, machine, _COSTS, seconds)

  # 1680 s for 2000 steps: 0.84 s each, without the input 0.8 s, which is enough
  # for four times the pixels of 129.
  assert side(1680) == pytest.approx(258)
  # Random weights want 4000 steps; 3000 images ten epochs, 3750 steps.
  assert side(3360, has_weights=False) == pytest.approx(258)
  assert side(3150, labelled=3000) == pytest.approx(258)
  assert side(1680, labelled=5) == pytest.approx(258)
  # 70 % of 5 GB, less 0.5, are 3 GB: 1.5 times the pixels in pretraining.
  assert side(1680, memory=5 * GB) == pytest.approx(129 * 1.5**0.5)
  assert side(1) == choices.PROBE_CROP
  assert side(1e9) == choices.MOST_CROP
  with pytest.raises(errors.SystemFault, match=r'needs some 2.5 GB .* 3.0 GB'):
    side(1680, memory=3 * GB)


def test_every_arm_has_the_same_time():
  softmax, pretrain, finetune = _stages()
  assert [s.name for s in _stages()] == ['softmax', 'pretrain', 'finetune']
  assert [s.arm for s in _stages()] == ['softmax', None, 'contrastive']
  assert finetune.starts_from == 'pretrain' and softmax.starts_from is None
  arms = [
    softmax.seconds + softmax.other_seconds,
    sum(s.seconds + s.other_seconds for s in (pretrain, finetune)),
  ]
  for seconds in arms:
    assert 0.98 * 30 * 60 <= seconds <= 30 * 60
  share = pretrain.seconds / (pretrain.seconds + finetune.seconds)
  assert share == pytest.approx(choices.PRETRAIN_SHARE, abs=0.01)


def test_three_arms_where_images_lack_labels():
  many = _like(unlabelled={'extra': 40, 'more': 60})
  assert choices.arms(many, None) == choices.ARMS
  assert choices.arms(_STREETS, None) == ('softmax', 'contrastive')
  assert choices.arms(many, ['consistency']) == ('consistency',)
  names = [s.name for s in _stages(many, arms=choices.ARMS)]
  assert names == ['softmax', 'pretrain', 'finetune', 'consistency']
  with pytest.raises(
    errors.ConfigError, match='needs 32 images .* there are 0'
  ):
    choices.arms(_STREETS, ['consistency'])
  with pytest.raises(errors.ConfigError, match='has joint; choose from'):
    choices.arms(_STREETS, ['joint'])


def test_five_labels_are_not_seen_for_ever():
  few = _like(labelled=5)
  # 2000 passes of 5 images, 8 at a time.
  assert _stages(few, minutes=600)[0].steps == 1250
  assert _stages(minutes=600)[0].steps > 20_000


def test_too_few_minutes_are_refused_with_a_number_that_will_do():
  with pytest.raises(errors.ConfigError) as caught:
    _stages(minutes=1)
  least = int(str(caught.value).split('give --minutes=')[1].split()[0])
  assert min(s.steps for s in _stages(minutes=least)) >= 50
  with pytest.raises(errors.ConfigError):
    _stages(minutes=least - 1)


def test_input_may_be_what_takes_the_time():
  # Decoding 8 large photos takes 1.6 s, the network 0.2 s.
  slow = dataclasses.replace(_COST, input_seconds=0.2)
  assert slow.step(_PIXELS, 8) == pytest.approx(1.8)
  assert _COST.step(4 * _PIXELS, 8) == pytest.approx(0.84)


def test_large_images_are_evaluated_by_tiles():
  assert _evaluating() == plan.Evaluating(8, None, _evaluating().memory)
  huge = _like(largest=(3000, 4000))
  # At 0.12, 12 megapixels need 12e6 * (4 * 12 + 36) bytes: 1 GB of 3.
  few = _evaluating(huge, 0.12, memory=5 * GB)
  assert (few.batch, few.tile) == (2, None)
  # At full size the network alone would need 30 GB.
  tiled = _evaluating(huge, 1.0)
  assert tiled.batch == 1 and tiled.tile % 32 == 1
  assert 0.8 * 5.1 * GB < tiled.memory <= 5.1 * GB


def test_rates_follow_the_batch():
  assert choices.rates(8) == (0.1, 0.2)
  assert choices.rates(16) == (0.2, 0.4)
  assert choices.warm_up(1000) == 100 and choices.warm_up(50) == 5
  assert (choices.teacher_decay(900), choices.teacher_decay(9000)) == (
    0.99,
    0.996,
  )


def test_classes_without_labels_are_warned_of():
  facts = _like(
    shares=(0.6, 0.4, 0.0, 0.0), absent_in_val=('sky', 'car', 'pole')
  )
  first, second = facts.warnings()
  assert 'No image of train shows car, pole' in first
  assert 'No image of val shows sky,' in second
  assert not list(_STREETS.warnings())


def test_the_table_adds_up_and_few_steps_are_noted():
  planned = _stages(minutes=7)
  lines = configuring.table(planned).splitlines()
  assert lines[-1].split()[:2] == ['all', str(sum(s.steps for s in planned))]
  (note,) = configuring.notes(planned, _MACHINE, 0.1)
  assert 'are few, 2000 would be good' in note
  none = dataclasses.replace(_MACHINE, has_weights=False)
  assert (
    'deeplab_contrast[weights]' in configuring.notes(planned, none, 0.1)[-1]
  )
  assert not configuring.notes(_stages(), _MACHINE, 0.1)
  (note,) = configuring.notes(_stages(), _MACHINE, 0.9)
  assert 'reading takes 90% of' in note


@pytest.mark.parametrize('has_weights', [True, False])
def test_the_file_says_why_for_every_number(has_weights):
  machine = dataclasses.replace(_MACHINE, has_weights=has_weights)
  facts = _like(unlabelled={'extra': 100})
  seen = choices.view(facts, 193)
  text = recipe_file.text(
    recipe_file.Data("/it's mine", '/mine.json'),
    facts,
    machine,
    seen,
    plan.Evaluating(1, 257, GB),
    _stages(facts, arms=choices.ARMS, seen=seen),
    ['Head.', '  command'],
  )
  lines = text.splitlines()
  assert lines[:2] == ['# Head.', '#  command']
  for before, line in zip(lines, lines[1:], strict=False):
    if line.startswith(("    '", '    "')) and ' = ' in line:
      assert before.startswith('    # '), line
  assert ('efficientnet_lite0.gin' in text) == has_weights
  assert ('resnet_v1_18_beta' in text) != has_weights
  assert "'EVAL_TILE = 257'," in lines[lines.index('EVALUATION = (') + 6]
