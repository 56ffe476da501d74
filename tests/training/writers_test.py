import json

import pytest
import tensorflow as tf

from deeplab_contrast.training import writers
from deeplab_contrast.utils import metrics


def events(folder):
  """{(tag, step): value} of all event files of a folder."""
  found = {}
  for path in (folder / 'tensorboard').glob('events*'):
    for event in tf.compat.v1.train.summary_iterator(str(path)):
      for value in event.summary.value:
        number = float(tf.make_ndarray(value.tensor))
        found[value.tag, event.step] = number
  return found


def test_numbers_reach_both_files(tmp_path):
  writer = writers.MetricWriter(tmp_path)
  writer.write(10, 'train', {'loss': 1.5})
  writer.write(20, 'val', {'miou': float('nan')})
  writer.close()
  assert metrics.read(tmp_path) == [
    {'step': 10, 'split': 'train', 'loss': 1.5},
    {'step': 20, 'split': 'val', 'miou': None},
  ]
  assert events(tmp_path)['train/loss', 10] == 1.5


def test_lines_after_the_checkpoint_are_taken_back(tmp_path):
  writer = writers.MetricWriter(tmp_path)
  for step in (1, 2, 3):
    writer.write(step, 'train', {'loss': float(step)})
  writer.close()
  with open(tmp_path / 'metrics.jsonl', 'a') as f:
    f.write('{"step": 4, "spl')  # A line cut short by a kill.
  again = writers.MetricWriter(tmp_path, step=2)
  again.write(3, 'train', {'loss': 30.0})
  again.close()
  lines = (tmp_path / 'metrics.jsonl').read_text().splitlines()
  assert [json.loads(line)['loss'] for line in lines] == [1.0, 2.0, 30.0]


def test_progress_prints_plain_lines_without_a_terminal(capsys):
  progress = writers.Progress(total=4, done=2, every=0.0)
  progress.update(3, {'loss': 0.25})
  progress.update(4, {'loss': 0.125})
  progress.close()
  lines = capsys.readouterr().out.splitlines()
  assert lines[0].startswith('step 3/4  loss 0.25  ETA 00:00:0')
  assert lines[1].startswith('step 4/4  loss 0.125')


def test_progress_is_sparse_but_shows_the_last_step(capsys):
  progress = writers.Progress(total=50, done=0, every=1000.0)
  for step in range(1, 51):
    progress.update(step, {'loss': 1.0})
  assert capsys.readouterr().out.startswith('step 50/50')


def test_no_metrics_is_an_empty_list(tmp_path):
  assert metrics.read(tmp_path) == []


@pytest.mark.parametrize('step', [0, 5])
def test_first_start_writes_from_the_beginning(tmp_path, step):
  writer = writers.MetricWriter(tmp_path / 'new', step=step)
  writer.close()
  assert (tmp_path / 'new' / 'metrics.jsonl').read_text() == ''


def test_two_that_take_nothing_back_append_to_one_file(tmp_path):
  first = writers.MetricWriter(str(tmp_path), step=None)
  first.write(5, 'val', {'miou': 0.5})
  second = writers.MetricWriter(str(tmp_path), step=None)
  second.write(5, 'val', {'miou': 0.6})
  first.write(9, 'val', {'miou': 0.7})
  first.close()
  second.close()
  found = [line['miou'] for line in metrics.read(str(tmp_path))]
  assert found == [0.5, 0.6, 0.7]


def test_a_failing_tensorboard_is_reported_once(tmp_path, monkeypatch, caplog):
  def fail(*_, **__):
    raise RuntimeError('There is no TensorBoard\nand more lines')

  monkeypatch.setattr(tf.summary, 'scalar', fail)
  monkeypatch.setattr(tf.summary, 'text', fail)
  writers.write_config(str(tmp_path), 'A = 1')
  writer = writers.MetricWriter(tmp_path)
  for step in (1, 2):
    writer.write(step, 'train', {'loss': 1.0})
  writer.close()
  assert len(metrics.read(tmp_path)) == 2
  assert caplog.messages == [
    'TensorBoard files cannot be written: There is no TensorBoard.'
  ]
