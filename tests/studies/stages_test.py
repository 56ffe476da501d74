import pytest

from deeplab_contrast.studies import stages

Stage = stages.Stage

PRETRAIN = Stage('pretrain', ('p.gin',), ('A = 1',))
FINETUNE = Stage('finetune', ('f.gin',), ('B = 2',), 'pretrain', 'contrastive')
SCRATCH = Stage('scratch', ('s.gin',), arm='softmax')


def test_the_plan_of_one_seed():
  whole = stages.Recipe((PRETRAIN, FINETUNE, SCRATCH), seeds=(7,))
  jobs = stages.plan(whole, 'runs/r', ['STEPS = 3'])
  assert [(job.model_dir, job.bindings) for job in jobs] == [
    ('runs/r/pretrain', ('A = 1',)),
    ('runs/r/finetune', ('B = 2', "INIT = 'runs/r/pretrain'")),
    ('runs/r/scratch', ()),
  ]
  assert {(job.seed, job.given) for job in jobs} == {(7, ('STEPS = 3',))}
  assert jobs[1].title == 'finetune, seed 7'


def test_the_plan_of_two_seeds_links_stages_of_one_seed():
  whole = stages.Recipe((PRETRAIN, FINETUNE), seeds=(0, 5))
  jobs = stages.plan(whole, 'r', [])
  assert [(job.model_dir, job.seed) for job in jobs] == [
    ('r/pretrain_seed0', 0),
    ('r/finetune_seed0', 0),
    ('r/pretrain_seed5', 5),
    ('r/finetune_seed5', 5),
  ]
  assert jobs[1].bindings[-1] == "INIT = 'r/pretrain_seed0'"
  assert jobs[3].bindings[-1] == "INIT = 'r/pretrain_seed5'"


def test_seeds_that_draw_their_own_labels():
  label = Stage('label', ('l.gin',), (), 'finetune', command='pseudo_label')
  whole = stages.Recipe((PRETRAIN, FINETUNE, label), (0, 5), redraws=True)
  jobs = stages.plan(whole, 'r', [])
  assert [job.bindings[1:2] for job in jobs[:2]] == [('LABEL_SEED = 0',)] * 2
  assert jobs[3].bindings == ('A = 1', 'LABEL_SEED = 5')
  # Pseudo-labels take the images that the run leaves out.
  assert not any('LABEL_SEED' in b for b in jobs[2].bindings)


@pytest.mark.parametrize(
  ('members', 'seeds', 'sentence'),
  [
    ((PRETRAIN, PRETRAIN), (0,), "Two stages are called 'pretrain'"),
    (
      (FINETUNE, PRETRAIN),
      (0,),
      "from 'pretrain', which is not a stage before",
    ),
    ((Stage('a', (), (), 'a'),), (0,), "'a' starts from 'a'"),
    ((), (0,), 'at least one stage'),
    ((PRETRAIN,), (), 'one seed'),
    ((PRETRAIN,), (1, 2, 1), 'one seed twice'),
    ((SCRATCH, Stage('b', (), arm='softmax')), (0,), 'one arm'),
  ],
)
def test_a_recipe_that_cannot_run_is_refused(members, seeds, sentence):
  with pytest.raises(ValueError, match=sentence):
    stages.Recipe(members, seeds)


def test_bindings_in_tuples_are_joined():
  shared = ('CROP = (33, 33)', ('BATCH_SIZE = 2',))
  stage = stages.Stage('a', ('a.gin',), (shared, 'STEPS = 3'))
  assert stage.bindings == ('CROP = (33, 33)', 'BATCH_SIZE = 2', 'STEPS = 3')
