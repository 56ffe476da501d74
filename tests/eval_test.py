import json
import os
import signal
import time
import types

import numpy as np
import pytest
import tensorflow as tf

from deeplab_contrast import eval as eval_command
from deeplab_contrast import launch
from deeplab_contrast.config import run_folder
from deeplab_contrast.distributed import distribution
from deeplab_contrast.inference import evaluation
from deeplab_contrast.training import best, checkpoints, contents
from deeplab_contrast.training import weights as weights_lib
from deeplab_contrast.utils import errors, locking, results, run_files
from tests import fixtures, processes

FILES = ('gin_configs/scenes/softmax_scratch.gin', 'gin_configs/tiny.gin')


@pytest.fixture(scope='module')
def launched(tmp_path_factory):
  """A run on tiny scenes that never was trained."""
  folder = tmp_path_factory.mktemp('eval')
  bindings = (*fixtures.TINY_SCENES, 'EVAL_TRIMAP = 2')
  settings = {'data_dir': str(folder / 'data')}
  built = launch.parse(FILES, bindings, settings=settings)
  run = str(folder / 'run')
  with run_folder.prepare(run, built.config):
    built.root.model.build_variables()
  strategy = distribution.strategy('one')
  return launch.Launch(built.root, strategy, run, built.config)


@pytest.fixture(autouse=True)
def clean(launched):
  """Every test begins without checkpoints and results."""
  yield
  for name in ('checkpoints', 'eval', 'DONE'):
    path = os.path.join(launched.model_dir, name)
    if tf.io.gfile.isdir(path):
      tf.io.gfile.rmtree(path)
    elif os.path.exists(path):
      os.remove(path)


def save(launched, step, only_class=None):
  """Saves weights that give one class everywhere; None gives noise."""
  rng = np.random.default_rng(step)
  weights = {}
  for name, variable in contents.by_path(
    launched.experiment.model.variables
  ).items():
    value = np.array(variable)
    if 'logits' in name or 'head' in name:
      value = rng.normal(size=value.shape).astype(value.dtype)
      if only_class is not None:
        value = value * 0
        if value.ndim == 1:
          value[only_class] = 1
    weights[name] = value
  return weights_lib.write(launched.model_dir, weights, step)


def share_of_class(launched, which):
  """(pixels of a class, all pixels) of the evaluated images."""
  experiment = launched.experiment
  examples = experiment.eval_source.open(experiment.data_dir)
  labels = np.concatenate(
    [tf.io.decode_png(examples[i]['label']).numpy().ravel() for i in range(2)]
  )
  known = labels[labels != 255]
  return int((known == which).sum()), known.size


def test_results_are_what_the_weights_deserve(launched, capsys):
  save(launched, 3, only_class=1)
  eval_command.main(launched)
  result = results.read(launched.model_dir)
  sky, pixels = share_of_class(launched, 1)
  assert (result['step'], result['pixels']) == (3, pixels)
  assert result['pixel_accuracy'] == sky / pixels
  assert result['iou']['sky'] == sky / pixels
  assert result['frequency_weighted_iou'] == pytest.approx((sky / pixels) ** 2)
  assert result['accuracy']['sky'] == 1.0 and result['accuracy']['road'] == 0.0
  assert result['trimap_width'] == 2
  assert result['judged_by']['limit'] == 2
  shown = capsys.readouterr().out
  assert 'scenes val, step 3' in shown and 'mean (mIoU)' in shown
  folder = os.path.join(launched.model_dir, 'eval')
  assert {'confusion_matrix.csv', 'confusion_matrix.png'} <= set(
    os.listdir(folder)
  )
  tags = read_events(os.path.join(folder, 'tensorboard'))
  assert tags['val/iou/sky'] == {3: pytest.approx(sky / pixels)}
  assert tags['val/image_truth_prediction'] == {3: 1}
  assert 'val/mean_accuracy' in tags and 'val/trimap_miou' in tags
  assert best.read(launched.model_dir) is None


def read_events(folder):
  """{tag: {step: value}} of all event files; of pictures, their number."""
  tags = {}
  for path in tf.io.gfile.glob(os.path.join(folder, 'events*')):
    for record in tf.data.TFRecordDataset(path):
      event = tf.compat.v1.Event.FromString(record.numpy())
      for value in event.summary.value:
        found = tf.make_ndarray(value.tensor)
        # A picture is its width, its height and a PNG.
        number = len(found) - 2 if found.ndim else float(found)
        tags.setdefault(value.tag, {})[event.step] = number
  return tags


def test_watch_evaluates_all_and_keeps_the_best(launched, capsys):
  road, sky, sign = ((step, i) for step, i in ((2, 0), (5, 1), (9, 7)))
  for step, which in (sign, sky, road):
    save(launched, step, which)
  results.write_done(launched.model_dir, 9)
  eval_command.watch(launched, timeout=5, interval=0.01)
  path = os.path.join(launched.model_dir, 'eval', 'metrics.jsonl')
  with open(path) as file:
    lines = [json.loads(line) for line in file]
  assert [line['step'] for line in lines] == [2, 5, 9]
  found = best.read(launched.model_dir)
  top = max(lines, key=lambda line: line['miou'])
  assert (found['step'], found['score']) == (top['step'], top['miou'])
  assert results.read(launched.model_dir)['step'] == 9
  folder = os.path.join(launched.model_dir, run_files.BEST)
  assert checkpoints.list_checkpoints(folder) == [found['checkpoint']]
  # Started again there is nothing to do; --best evaluates that one.
  eval_command.watch(launched, timeout=5, interval=0.01)
  with open(path) as file:
    assert len(file.readlines()) == 3
  capsys.readouterr()
  eval_command.main(launched, best=True)
  assert f'step {top["step"]},' in capsys.readouterr().out


def test_watch_skips_a_damaged_checkpoint(launched, capsys):
  path = save(launched, 2, 0)
  save(launched, 5, 1)
  with open(path + '.data-00000-of-00001', 'r+b') as file:
    file.truncate(100)
  results.write_done(launched.model_dir, 5)
  eval_command.watch(launched, timeout=5, interval=0.01)
  assert f'{path} is skipped' in capsys.readouterr().out
  assert best.read(launched.model_dir)['step'] == 5


def test_watch_refuses_what_it_cannot_do(launched):
  with pytest.raises(errors.SystemFault, match='No new checkpoint .* 0.2 s'):
    eval_command.watch(launched, timeout=0.2, interval=0.01)
  folder = os.path.join(launched.model_dir, 'eval')
  with (
    locking.model_dir_lock(folder),
    pytest.raises(errors.BusyError, match='is using model_dir .*eval'),
  ):
    eval_command.watch(launched, timeout=0.2)


def test_a_running_training_can_be_evaluated(launched):
  save(launched, 3, only_class=1)
  with locking.model_dir_lock(launched.model_dir):
    eval_command.main(launched)
  assert results.read(launched.model_dir)['step'] == 3


def test_no_best_checkpoint_yet(launched):
  save(launched, 3)
  with pytest.raises(errors.ConfigError, match='keeps no best checkpoint'):
    eval_command.main(launched, best=True)


@pytest.mark.slow
def test_through_the_command_line(launched):
  save(launched, 3, only_class=1)
  run = f'--model_dir={launched.model_dir}'
  several = '--gin_bindings=EVAL_SCALES = (0.5, 1.0)'
  tiles = ('--gin_bindings=EVAL_FLIP = True', '--gin_bindings=EVAL_TILE = 65')
  done = processes.run_module('eval', run, several, *tiles)
  assert done.returncode == 0, done.stderr
  how = results.read(launched.model_dir)['judged_by']
  assert (how['scales'], how['flip'], how['tile_size']) == (
    [0.5, 1.0],
    True,
    65,
  )
  process = processes.start_module('eval', run, '--watch', '--interval=0.1')
  deadline = time.monotonic() + 120
  while best.read(launched.model_dir) is None:
    assert process.poll() is None, process.communicate()
    assert time.monotonic() < deadline
    time.sleep(0.1)
  process.send_signal(signal.SIGTERM)
  _, stderr = process.communicate()
  assert process.returncode == 143, stderr
  assert stderr.startswith('error: Stopped by SIGTERM')
  done = processes.run_module('eval', run, '--watch', '--timeout=0.5')
  assert done.returncode == 5
  assert 'No new checkpoint' in done.stderr


def test_batches_divide_among_replicas(launched):
  experiment = launched.experiment
  sizes = []
  for replicas in (1, 3):
    strategy = types.SimpleNamespace(num_replicas_in_sync=replicas)
    batches = evaluation.Evaluation(experiment, strategy).batches()
    sizes.append(batches.element_spec['image'].shape[0])
  assert sizes[0] == experiment.evaluator.batch_size
  assert sizes[1] % 3 == 0 and 0 <= sizes[1] - sizes[0] < 3


@pytest.mark.parametrize('module', ['eval', 'vis', 'submit'])
def test_no_run_is_given(module):
  done = processes.run_module(module)
  assert done.returncode == 2
  assert done.stderr == 'error: Give --model_dir, the folder of a run.\n'
