import json

import pytest

from deeplab_contrast.datasets import info
from deeplab_contrast.export import model_card

INFO = info.DatasetInfo('stripes', ('a', 'b'), ((0, 0, 0), (9, 9, 9)))
EXPORT = model_card.Export(
  format='saved_model',
  precision='float32',
  step=30,
  averaged=False,
  parameters=1234567,
  folded=37,
  scales=(0.5, 1.0),
  flip=True,
  tile_size=None,
  crop_size=(65, 97),
  input_size=None,
  licence='CC-BY-4.0',
)


def write_run(folder, task, steps, start=None):
  """The configuration of a run, as far as the card reads it."""
  folder.mkdir()
  lines = [
    'from __gin__ import dynamic_registration',
    'from deeplab_contrast import experiment',
    'from deeplab_contrast.training import trainer',
    f'from deeplab_contrast.tasks import {task}',
    'from deeplab_contrast.training import checkpoints',
    f'experiment.Experiment.task = @{task}.{task.capitalize()}()',
    f'trainer.Trainer.steps = {steps}',
  ]
  if start is not None:
    lines.append(f'checkpoints.WarmStart.path = {str(start)!r}')
  (folder / 'config.gin').write_text('\n'.join(lines) + '\n')
  return folder


@pytest.fixture
def run(tmp_path):
  first = write_run(tmp_path / 'pretrain', 'contrastive', 10, tmp_path / 'gone')
  return write_run(tmp_path / 'finetune', 'softmax', 30, first)


def test_the_chain_of_trainings(run):
  chain = model_card.lineage(str(run))
  assert [link['path'].rpartition('/')[2] for link in chain] == [
    *('gone', 'pretrain', 'finetune'),
  ]
  assert [link.get('steps') for link in chain] == [None, 10, 30]
  (run / 'config.gin').write_text(
    (run / 'config.gin').read_text().replace('pretrain', 'finetune')
  )
  assert len(model_card.lineage(str(run))) == 1  # A circle comes to an end.


def test_a_run_of_which_little_is_known(run):
  text = model_card.text(str(run), INFO, EXPORT)
  assert text == model_card.text(str(run), INFO, EXPORT)
  for part in (
    '# Segmentation of stripes\n',
    'Unknown: the run has no data.json',
    'Not measured: the run has no eval/results.json',
    '1. `gone`: not found at the time of the export\n2. `pretrain`: Contras',
    '3. `finetune`: Softmax, 30 steps\n\nExported: weights at step 30.',
    '| `SemanticProbabilities` | out | float32 | [batch, height, width, 2] |',
    '1,234,567 weights; 37 batch norms folded',
    'Predicted at scales 0.5, 1.0; with a mirrored copy',
    'Weights: CC-BY-4.0.',
  ):
    assert part in text
  assert str(run) not in text


def test_it_says_where_pretrained_weights_are_from(run):
  origin = {'weights': 'a net of ImageNet', 'licence': 'MIT', 'sha256': 'f00'}
  path = run.parent / 'pretrain' / 'origin.json'
  path.write_text(json.dumps(origin))
  text = model_card.text(str(run), INFO, EXPORT)
  assert (
    '2. `pretrain`: Contrastive, 10 steps, from a net of ImageNet (licence MIT,'
    ' sha256 f00)\n' in text
  )
  assert 'Its backbone started from a net of ImageNet, licence MIT.' in text


def test_data_and_numbers(run):
  of = {'datasets': {'stripes': 'f00'}, 'examples': 16, 'ids': 'abc'}
  (run / 'data.json').write_text(json.dumps({'train': of}))
  (run / 'eval').mkdir()
  scores = {
    'dataset': 'stripes',
    'step': 30,
    'miou': 0.25,
    'pixel_accuracy': 0.5,
    'iou': {'a': 0.25, 'b': None},
  }
  path = run / 'eval' / 'results.json'
  path.write_text(json.dumps(scores))
  text = model_card.text(str(run), INFO, EXPORT)
  assert '| train | stripes | f00 | 16 | abc |' in text
  assert '| a | 25.0 |\n| b | n/a |\n| mean (mIoU) | 25.0 |' in text
  assert 'not** the exported' not in text
  path.write_text(json.dumps({**scores, 'step': 20}))
  text = model_card.text(str(run), INFO, EXPORT)
  assert '(**not** the exported weights, which are of step 30)' in text


@pytest.mark.parametrize(
  'how, sentence',
  [
    ({}, 'Split test of stripes, step 30, in percent.'),
    ({'limit': 5}, 'Split test of stripes (its first 5 images), step 30, in'),
    ({'flip': False}, 'but at scales 0.5, 1.0; not mirrored), in percent'),
    ({'scales': [0.5]}, '(**not** predicted as the export does, but at'),
    ({'tile_size': 65}, 'mirrored copy; by tiles of 65 x 65), in percent'),
  ],
)
def test_how_it_was_evaluated(run, how, sentence):
  same = {'scales': [0.5, 1.0], 'flip': True, 'tile_size': None}
  judged_by = {'split': 'test', 'limit': None, **same, **how}
  scores = {'dataset': 'stripes', 'step': 30, 'iou': {'a': 0.2, 'b': 0.2}}
  scores |= {'miou': 0.2, 'pixel_accuracy': 0.5, 'judged_by': judged_by}
  (run / 'eval').mkdir()
  (run / 'eval' / 'results.json').write_text(json.dumps(scores))
  assert sentence in model_card.text(str(run), INFO, EXPORT)
