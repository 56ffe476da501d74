import pytest

from deeplab_contrast import launch
from deeplab_contrast.studies import stages, study
from deeplab_contrast.studies.schedule import Schedule
from deeplab_contrast.utils import errors

FILES = {'scratch': ['s.gin'], 'pretrain': ['p.gin'], 'finetune': ['f.gin']}
OVERLAY = 'gin_configs/sources/pseudo_labelled.gin'


def expand(labels=(10,), **kwargs):
  found = study.expand(labels, **{**FILES, **kwargs})
  stages.Recipe(found)  # Links are right, names and arms unique.
  return {stage.name: stage for stage in found}


def test_all_arms_share_what_they_can():
  found = expand()
  assert list(found) == [
    'scratch_10',
    'label_softmax_10',
    'scratch2_10',
    'pretrain_10',
    'finetune_10',
    'label_contrastive_10',
    'pretrain2_10',
    'finetune2_10',
  ]
  arms = {s.arm: s.name for s in found.values() if s.arm}
  assert arms == {
    'softmax': 'scratch_10',
    'softmax_pseudo': 'scratch2_10',
    'contrastive': 'finetune_10',
    'contrastive_pseudo': 'finetune2_10',
  }
  assert {s.labels for s in found.values()} == {10}
  assert all('LABELS = 10' in s.bindings for s in found.values() if s.arm)


def test_pseudo_labels_are_in_pretraining_and_in_fine_tuning():
  found = expand()
  label = found['label_contrastive_10']
  assert (label.command, label.starts_from) == ('pseudo_label', 'finetune_10')
  for name in ('pretrain2_10', 'finetune2_10'):
    assert found[name].labels_from == 'label_contrastive_10'
    assert found[name].gin_files[-1] == OVERLAY
  assert found['pretrain2_10'].starts_from is None
  assert found['finetune2_10'].starts_from == 'pretrain2_10'
  assert found['label_softmax_10'].starts_from == 'scratch_10'
  assert found['scratch2_10'].labels_from == 'label_softmax_10'
  assert found['scratch_10'].gin_files == ('s.gin',)


def test_a_single_arm_has_all_it_needs():
  found = expand(arms=('contrastive_pseudo',))
  assert [s.arm for s in found.values() if s.arm] == ['contrastive_pseudo']
  assert list(found)[0] == 'pretrain_10' and len(found) == 5


def test_arms_of_overlays():
  arms = ('joint', 'consistency', 'contrastive_consistency')
  found = expand(arms=arms, schedule=Schedule(100))
  assert list(found) == [
    'joint_10',
    'consistency_10',
    'pretrain_10',
    'contrastive_consistency_10',
  ]
  assert {s.arm for s in found.values() if s.arm} == set(arms)
  last = found['contrastive_consistency_10']
  assert last.starts_from == 'pretrain_10'
  assert last.gin_files == ('f.gin', 'gin_configs/tasks/consistency.gin')
  assert found['joint_10'].gin_files == ('s.gin', 'gin_configs/tasks/joint.gin')
  assert 'STEPS = 100' in found['consistency_10'].bindings
  assert 'STEPS = 50' in last.bindings
  assert not expand(arms=('joint',), pretrain=())['joint_10'].starts_from
  with pytest.raises(errors.ConfigError, match='expand.joint names no gin'):
    expand(arms=('joint',), joint=())


def test_more_rounds():
  found = expand(arms=('softmax_pseudo',), rounds=2)
  assert list(found) == [
    'scratch_10',
    'label_softmax_10',
    'scratch2_10',
    'label_softmax3_10',
    'scratch3_10',
  ]
  assert found['label_softmax3_10'].starts_from == 'scratch2_10'
  assert [s.arm for s in found.values()] == [None] * 4 + ['softmax_pseudo']


def test_several_numbers_of_labels():
  found = expand((10, 20), arms=('softmax',))
  assert [(s.name, s.labels) for s in found.values()] == [
    ('scratch_10', 10),
    ('scratch_20', 20),
  ]


def test_equal_steps():
  found = expand(schedule=Schedule(1001, 0.7))

  def steps(name):
    return int(found[name].bindings[-1].removeprefix('STEPS = '))

  assert steps('scratch_10') == steps('scratch2_10') == 1001
  assert (steps('pretrain_10'), steps('finetune_10')) == (701, 300)
  assert (steps('pretrain2_10'), steps('finetune2_10')) == (701, 300)
  assert not any('STEPS' in b for s in expand().values() for b in s.bindings)


def test_equal_costs():
  arms = ('softmax', 'contrastive', 'joint', 'contrastive_consistency')
  found = expand(
    arms=arms,
    schedule=Schedule(
      1000, 0.4, {'pretrain': 2.5, 'joint': 1.25, 'consistency': 3.0}
    ),
  )
  steps = {
    name: int(stage.bindings[-1].removeprefix('STEPS = '))
    for name, stage in found.items()
  }
  assert steps == {
    'scratch_10': 1000,
    'pretrain_10': 160,
    'finetune_10': 600,
    'joint_10': 800,
    'contrastive_consistency_10': 200,
  }


def test_variants_of_every_arm():
  variants = {
    'a': {'scratch': ('X = 1',), 'pretrain': ('Y = 2',)},
    'b': {'consistency': ('Z = 3',)},
  }
  arms = ('softmax', 'contrastive', 'consistency')
  found = expand(arms=arms, variants=variants)
  assert [s.arm for s in found.values() if s.arm] == [
    *('softmax a', 'contrastive a', 'consistency a'),
    *('softmax b', 'contrastive b', 'consistency b'),
  ]
  assert found['scratch_10_a'].bindings == ('LABELS = 10', 'X = 1')
  assert found['pretrain_10_a'].bindings == ('LABELS = 10', 'Y = 2')
  assert found['finetune_10_a'].starts_from == 'pretrain_10_a'
  assert found['consistency_10_a'].bindings == ('LABELS = 10', 'X = 1')
  assert found['consistency_10_b'].bindings == ('LABELS = 10', 'Z = 3')
  assert found['scratch_10_b'].bindings == ('LABELS = 10',)


def test_many_labels_have_files_of_their_own():
  many = {'scratch_of_many': ['S.gin'], 'finetune_of_many': ['F.gin']}
  found = expand((10, 3000), many_labels=2500, **many)
  first = {name: stage.gin_files[0] for name, stage in found.items()}
  assert first['scratch_10'] == 's.gin' and first['finetune_10'] == 'f.gin'
  assert first['scratch_3000'] == 'S.gin' and first['finetune_3000'] == 'F.gin'
  # With pseudo-labels they are many.
  assert first['scratch2_10'] == 'S.gin' and first['finetune2_10'] == 'F.gin'
  assert first['pretrain2_10'] == first['pretrain_3000'] == 'p.gin'


@pytest.mark.parametrize(
  ('settings', 'sentence'),
  [
    ({'arms': ('sofmax',)}, 'choose from softmax, contrastive'),
    ({'labels': ()}, 'give numbers of images'),
    ({'labels': (0,)}, 'give numbers of images'),
    ({'scratch': ()}, 'expand.scratch names no gin file'),
    ({'finetune': ()}, 'expand.finetune names no gin file'),
    ({'many_labels': 5}, 'expand.finetune_of_many names no gin file'),
    ({'rounds': 0}, 'rounds must be at least 1'),
    (
      {'variants': {'a': {'scrach': ('X = 1',)}}},
      'maps the roles of trainings',
    ),
    ({'variants': {'a': {'scratch': 'X = 1'}}}, 'to tuples of bindings'),
  ],
)
def test_wrong_arguments_are_refused(settings, sentence):
  with pytest.raises(errors.ConfigError, match=sentence):
    expand(**settings)


@pytest.mark.parametrize(
  'settings',
  [
    {'total_steps': 1},
    {'pretrain_share': 1.0},
    {'step_costs': {'scratch': 2.0}},
    {'step_costs': {'joint': 0.0}},
  ],
)
def test_a_wrong_schedule_is_refused(settings):
  with pytest.raises(errors.ConfigError, match=list(settings)[0]):
    Schedule(**{'total_steps': 10, **settings})


def test_a_gin_file_makes_a_study():
  built = launch.parse(
    ['gin_configs/studies/camvid.gin'],
    ["CAMVID_ROOT = 'x'"],
    'deeplab_contrast.studies.stages.Recipe',
    tolerate_unused_bindings=True,
  )
  assert len(built.root.stages) == 24
  with pytest.raises(errors.ConfigError, match='expand.rounds must be'):
    launch.parse(
      ['gin_configs/studies/camvid.gin'],
      ['study.expand.rounds = 0'],
      'deeplab_contrast.studies.stages.Recipe',
    )
