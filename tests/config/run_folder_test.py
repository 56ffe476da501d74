import os

import pytest

from deeplab_contrast.config import run_folder
from deeplab_contrast.utils import errors, locking, run_files

CONFIG = """
from __gin__ import dynamic_registration
from keras import optimizers
from deeplab_contrast.training import trainer
RATE = 0.1
trainer.Trainer.optimizer = @optimizers.SGD()
trainer.Trainer.steps = 10
trainer.Trainer.log_every = 5
optimizers.SGD.learning_rate = [%RATE]
"""


def prepare(folder, config=CONFIG, **kwargs):
  with run_folder.prepare(str(folder), config, **kwargs):
    return (folder / 'config.gin').read_text()


def test_a_new_or_empty_folder_gets_the_configuration(tmp_path):
  assert prepare(tmp_path) == CONFIG
  assert prepare(tmp_path / 'new' / 'er') == CONFIG
  assert run_folder.config_file(str(tmp_path)) == str(tmp_path / 'config.gin')
  assert sorted(os.listdir(tmp_path)) == ['.lock', 'config.gin', 'new']


def test_the_same_experiment_resumes(tmp_path):
  prepare(tmp_path)
  (tmp_path / 'checkpoints').mkdir()
  prepare(tmp_path)


@pytest.mark.parametrize(
  ('old', 'new'),
  [
    ('log_every = 5', 'log_every = 50'),
    ('log_every = 5', 'log_every = %LOG\nLOG = 7'),
    ('[%RATE]', '[0.1]'),
    ('steps = 10', 'steps = 10.0'),
    ('RATE', 'LEARNING_RATE'),
    ('from keras import optimizers', 'from keras import optimizers as o'),
  ],
)
def test_what_cannot_change_the_result_may_change(tmp_path, old, new):
  prepare(tmp_path)
  config = CONFIG.replace(old, new)
  if new.endswith(' as o'):
    config = config.replace('optimizers.SGD', 'o.SGD')
  assert prepare(tmp_path, config) == config


@pytest.mark.parametrize(
  ('old', 'new', 'phrase'),
  [
    ('= 10', '= 20', r'Trainer.steps stored 10, given 20;'),
    ('RATE = 0.1', 'RATE = 0.2', r'rate stored \[0.1\], given \[0.2\]'),
    ('SGD()', 'Adam()', r'stored @keras.optimizers.SGD\(\), given @keras'),
    ('trainer.Trainer.steps = 10\n', '', 'steps stored 10, given nothing'),
  ],
)
def test_another_experiment_is_refused_naming_what_differs(
  tmp_path, old, new, phrase
):
  prepare(tmp_path)
  config = CONFIG.replace(old, new)
  with pytest.raises(errors.ConfigError, match=phrase):
    prepare(tmp_path, config)
  assert (tmp_path / 'config.gin').read_text() == CONFIG
  assert prepare(tmp_path, config, allow_config_change=True) == config


def test_at_most_five_differences_are_shown(tmp_path):
  lines = [f'trainer.Trainer.a{i} = 1\n' for i in range(7)]
  prepare(tmp_path)
  with pytest.raises(errors.ConfigError, match='a4 .*; and 2 more;') as caught:
    prepare(tmp_path, CONFIG + ''.join(lines))
  assert str(caught.value).count('stored nothing') == 5


@pytest.mark.parametrize(
  ('content', 'reason'),
  [
    (b'', 'its config.gin is empty'),
    (b'parts.Root.seed', 'its config.gin is damaged .config.gin:1: not gin'),
    (b'\x9f\x00', 'its config.gin is damaged .*utf-8'),
  ],
)
def test_a_damaged_configuration_is_said_to_be(tmp_path, content, reason):
  (tmp_path / run_files.CONFIG).write_bytes(content)
  with pytest.raises(errors.ConfigError, match=f'{reason}.*--allow_config'):
    run_folder.check(str(tmp_path), CONFIG)
  run_folder.check(str(tmp_path), CONFIG, allow_config_change=True)


def test_a_folder_with_foreign_files_is_refused(tmp_path):
  (tmp_path / '.nfs1').touch()
  prepare(tmp_path)  # Hidden files do not count.
  os.remove(tmp_path / 'config.gin')
  (tmp_path / 'thesis.tex').touch()
  with pytest.raises(errors.ConfigError, match='not empty .thesis.tex.'):
    prepare(tmp_path)
  assert sorted(os.listdir(tmp_path)) == ['.lock', '.nfs1', 'thesis.tex']


def test_a_folder_in_use_is_left_alone(tmp_path):
  with locking.model_dir_lock(str(tmp_path)), pytest.raises(errors.BusyError):
    prepare(tmp_path)
  assert not (tmp_path / 'config.gin').exists()


def test_a_failed_write_keeps_the_old_configuration(tmp_path, monkeypatch):
  prepare(tmp_path)

  def no_space(fd):
    raise OSError(28, 'No space left on device')

  monkeypatch.setattr(os, 'fsync', no_space)
  with pytest.raises(errors.SystemFault, match='config.gin .No space left'):
    prepare(tmp_path, CONFIG.replace('log_every = 5', 'log_every = 6'))
  assert (tmp_path / 'config.gin').read_text() == CONFIG


def test_a_folder_without_an_experiment_cannot_be_read(tmp_path):
  with pytest.raises(errors.ConfigError, match='no config.gin.*--gin_file'):
    run_folder.config_file(str(tmp_path))


def test_a_finished_run_keeps_its_configuration(tmp_path):
  prepare(tmp_path)
  (tmp_path / 'DONE').write_text('5\n')
  assert prepare(tmp_path) == CONFIG
  other = CONFIG.replace('0.1', '0.2')
  assert other != CONFIG
  with pytest.raises(errors.ConfigError, match='it is finished'):
    prepare(tmp_path, other, allow_config_change=True)
  assert (tmp_path / run_files.CONFIG).read_text() == CONFIG


def test_a_finished_run_gives_the_command_that_trains_longer(tmp_path):
  stored = CONFIG.replace('steps = 10', 'steps = %STEPS\nSTEPS = 10')
  prepare(tmp_path, stored)
  (tmp_path / 'DONE').write_text('10\n')
  longer = stored.replace('STEPS = 10', 'STEPS = 25').replace(' = 5', ' = 6')
  with pytest.raises(errors.ConfigError) as caught:
    prepare(tmp_path, longer)
  told = str(caught.value)
  assert 'has finished its 10 steps and stays as it is' in told
  assert f'--model_dir={tmp_path}_25_steps' in told
  assert "'--gin_bindings=STEPS = 15'" in told  # Those that are missing.
  # Anything else is a different experiment, and fewer steps are done already.
  for other in (longer.replace('0.1', '0.2'), stored.replace('= 10', '= 9')):
    with pytest.raises(errors.ConfigError, match='holds another experiment'):
      prepare(tmp_path, other)


def test_workers_may_have_different_data_folders():
  config = CONFIG + "trainer.Trainer.data_dir = '/a'\n"
  text = run_folder.common(config)
  assert run_folder.common(config.replace('/a', '/b')) == text
  assert run_folder.common(config.replace('RATE', 'LEARNING_RATE')) == text
  # All must save at the same steps.
  for old in ('log_every = 5', 'steps = 10', '0.1'):
    assert run_folder.common(config.replace(old, old + '5')) != text


def test_what_another_machine_has_written_is_waited_for(tmp_path):
  assert run_folder.seen(str(tmp_path), seconds=0.2) == ''
  prepare(tmp_path)
  assert run_folder.seen(str(tmp_path), seconds=0) == CONFIG


def test_another_number_of_replicas_is_refused_like_another_value(tmp_path):
  prepare(tmp_path, replicas=1)
  record = tmp_path / run_files.REPLICAS
  assert record.read_text() == '{"replicas": 1}\n'
  prepare(tmp_path, replicas=1)
  (tmp_path / 'checkpoints').mkdir()
  sentence = (
    'holds another experiment: replicas stored 1, given 2 .*'
    '--allow_config_change to continue'
  )
  with pytest.raises(errors.ConfigError, match=sentence):
    prepare(tmp_path, replicas=2)
  with pytest.raises(errors.ConfigError, match='rate stored.*; replicas sto'):
    prepare(tmp_path, CONFIG.replace('0.1', '0.2'), replicas=2)
  assert record.read_text() == '{"replicas": 1}\n'
  prepare(tmp_path, replicas=2, allow_config_change=True)
  prepare(tmp_path, replicas=2)


def test_a_training_that_failed_before_its_first_step_may_change(tmp_path):
  prepare(tmp_path, replicas=1)
  (tmp_path / 'data.json').touch()
  (tmp_path / 'metrics.jsonl').write_text('{"step": 0}\n')
  (tmp_path / 'tensorboard').mkdir()
  changed = CONFIG.replace('0.1', '0.01')
  run_folder.check(str(tmp_path), changed, replicas=2)
  assert prepare(tmp_path, changed, replicas=2) == changed
  # The data may change now, and the features before the first step.
  for name in ('data.json', 'metrics.jsonl'):
    assert not (tmp_path / name).exists()
  (tmp_path / 'metrics.jsonl').write_text('{"step": 1}\n')
  (tmp_path / 'data.json').touch()
  with pytest.raises(errors.ConfigError, match='rate stored .*; replicas sto'):
    prepare(tmp_path, CONFIG, replicas=1)
  assert (tmp_path / 'data.json').exists()


def test_a_run_without_a_record_of_replicas_resumes(tmp_path):
  prepare(tmp_path)  # As older versions left it.
  (tmp_path / 'checkpoints').mkdir()
  assert not (tmp_path / run_files.REPLICAS).exists()
  prepare(tmp_path, replicas=2)
  with pytest.raises(errors.ConfigError, match='replicas stored 2, given 1'):
    prepare(tmp_path, replicas=1)
  prepare(tmp_path)  # A command that does not train does not count.


def test_replicas_do_not_matter_to_a_finished_run(tmp_path):
  prepare(tmp_path, replicas=1)
  (tmp_path / 'DONE').write_text('5\n')
  prepare(tmp_path, replicas=2)
  text = (tmp_path / run_files.REPLICAS).read_text()
  assert text == '{"replicas": 1}\n'


def test_a_damaged_record_of_replicas_is_named(tmp_path):
  prepare(tmp_path, replicas=1)
  (tmp_path / 'checkpoints').mkdir()
  (tmp_path / run_files.REPLICAS).write_text('{"rep')
  with pytest.raises(errors.DataError, match='replicas.json is damaged'):
    prepare(tmp_path, replicas=1)
