import os
import pathlib

import pytest

from deeplab_contrast.training import best, checkpoints
from deeplab_contrast.utils import errors, run_files

HOW = {'split': 'val', 'scales': (1.0,)}


def make(folder, step, content=None):
  """Files that look like a checkpoint; returns its path."""
  path = pathlib.Path(checkpoints.path_of(folder, step))
  path.parent.mkdir(parents=True, exist_ok=True)
  text = content or f'weights of {step}'
  (path.parent / f'{path.name}.data-00000-of-00001').write_text(text)
  (path.parent / f'{path.name}.index').write_text(f'index of {step}')
  return str(path)


def keep(folder, step, miou, how=HOW):
  scores = {'miou': miou, 'judged_by': how}
  return best.keep(str(folder), make(folder, step), scores)


def kept(folder):
  """The content of the data file kept."""
  _, data = checkpoints.files_of(best.read(str(folder))['checkpoint'])
  return pathlib.Path(data).read_text()


def test_only_a_better_one_replaces_it(tmp_path):
  assert best.read(str(tmp_path)) is None
  assert keep(tmp_path, 10, 0.5)
  assert not keep(tmp_path, 20, 0.4)
  assert not keep(tmp_path, 30, 0.5)
  assert not keep(tmp_path, 40, float('nan'))
  assert kept(tmp_path) == 'weights of 10'
  assert keep(tmp_path, 50, 0.6)
  assert kept(tmp_path) == 'weights of 50'
  assert len(list((tmp_path / run_files.BEST).glob('*50.*'))) == 2
  assert not list((tmp_path / run_files.BEST).glob('*10.*'))
  assert best.read(str(tmp_path))['score'] == 0.6


def test_it_stays_when_the_training_removes_its_checkpoint(tmp_path):
  keep(tmp_path, 10, 0.5)
  checkpoints.remove(checkpoints.path_of(tmp_path, 10))
  assert kept(tmp_path) == 'weights of 10'


def test_without_links_it_is_copied(tmp_path, monkeypatch):
  def refuse(source, target):
    raise PermissionError(1, 'Operation not permitted')

  monkeypatch.setattr(os, 'link', refuse)
  keep(tmp_path, 10, 0.5)
  assert kept(tmp_path) == 'weights of 10'


def test_scores_of_different_evaluations_do_not_compare(tmp_path):
  keep(tmp_path, 10, 0.5)
  assert not keep(tmp_path, 20, 0.9, {'split': 'val', 'scales': (0.5, 1.0)})
  assert best.read(str(tmp_path))['step'] == 10
  assert not best.is_better(str(tmp_path), {'loss': 0.1}, 20)


def test_damaged_it_is_replaced_when_its_step_is_repeated(tmp_path):
  """It shares its files with the checkpoint that was damaged."""
  keep(tmp_path, 10, 0.5)
  _, data = checkpoints.files_of(checkpoints.path_of(tmp_path, 10))
  pathlib.Path(data).write_text('damaged')
  assert kept(tmp_path) == 'damaged'
  checkpoints.remove(checkpoints.path_of(tmp_path, 10))
  assert keep(tmp_path, 10, 0.5)
  assert kept(tmp_path) == 'weights of 10'


def test_killed_at_any_moment_the_best_is_whole(tmp_path, monkeypatch):
  keep(tmp_path, 10, 0.5)
  replace = os.replace
  for survived in range(3):
    calls = []

    def killed(source, target, calls=calls, survived=survived):
      calls.append(target)
      if len(calls) > survived:
        raise KeyboardInterrupt
      replace(source, target)

    monkeypatch.setattr(os, 'replace', killed)
    with pytest.raises(KeyboardInterrupt):
      keep(tmp_path, 20, 0.6)
    monkeypatch.setattr(os, 'replace', replace)
    assert kept(tmp_path) == 'weights of 10'
  assert keep(tmp_path, 20, 0.6)
  assert kept(tmp_path) == 'weights of 20'


def test_held_while_it_is_evaluated(tmp_path):
  path = make(tmp_path, 10)
  with best.held(str(tmp_path), path) as held:
    checkpoints.remove(path)
    assert best.keep(str(tmp_path), held, {'miou': 0.5})
  assert not os.path.exists(held + '.index')
  assert kept(tmp_path) == 'weights of 10'
  with best.held(str(tmp_path), path) as held:
    assert held is None


def test_no_best_checkpoint_is_reported(tmp_path):
  with pytest.raises(errors.ConfigError, match='keeps no best checkpoint'):
    best.path_of(str(tmp_path))


def test_a_folder_that_cannot_be_written(tmp_path):
  make(tmp_path, 10)
  (tmp_path / run_files.BEST).write_text('a file')
  with pytest.raises(errors.SystemFault, match='Cannot write .*best'):
    keep(tmp_path, 10, 0.5)
