import os
import subprocess
import sys

import pytest

from tests import processes
from tests.config import parts

TRAINER = parts.HEADER + 'parts.Root.seed = 1\nparts.Root.others = (%RATE,)\n'


@pytest.fixture
def gin_file(tmp_path):
  path = tmp_path / 'x.gin'
  path.write_text(TRAINER + 'RATE = 0.1\n')
  return f'--gin_file={path}'


def command(*arguments, module=parts.__name__, allow=True, **environment):
  """Runs the stand-in command; returns the ended process."""
  allowed = ['--allow_import=tests'] if allow else []
  return subprocess.run(
    [sys.executable, '-m', module, *allowed, *map(str, arguments)],
    capture_output=True,
    text=True,
    env=processes.environment(**environment),
    check=False,
  )


@pytest.mark.parametrize('unbuffered', ['', '1'])
def test_a_closed_output_is_reported(gin_file, unbuffered):
  reading, writing = os.pipe()
  os.close(reading)
  done = subprocess.run(
    [sys.executable, '-m', parts.__name__, '--allow_import=tests', gin_file]
    + ['--print_config'],
    stdout=writing,
    stderr=subprocess.PIPE,
    text=True,
    env=processes.environment(PYTHONUNBUFFERED=unbuffered),
    check=False,
  )
  os.close(writing)
  assert_error(done, 5, 'Nothing reads the output of this command any more')


def assert_error(done, code, sentence):
  assert done.returncode == code, done.stderr
  assert sentence in done.stderr
  assert done.stderr.startswith('error: ') and done.stderr.count('\n') == 1


def test_help_names_the_flags_without_tensorflow():
  done = command(
    '--help',
    module='deeplab_contrast.train',
    allow=False,
    PYTHONPROFILEIMPORTTIME='1',
  )
  assert done.returncode == 0
  for flag in ('--gin_file', '--model_dir', '--strategy', '--seed'):
    assert flag in done.stdout
  imported = {
    line.rpartition('|')[2].strip() for line in done.stderr.split('\n')
  }
  assert 'absl.flags' in imported
  assert not imported & {'tensorflow', 'keras', 'numpy'}


@pytest.mark.parametrize(
  ('arguments', 'sentence'),
  [
    (['--bogus=1'], "Unknown command line flag 'bogus'"),
    (['--strategy=two'], '<one|mirrored|multi_worker|tpu>'),
    (['--seed=eight'], '--seed=eight: invalid literal for int() with base 10'),
    (['--seed=-1'], '--seed=-1'),
    (['runs/a'], "Unexpected argument 'runs/a'"),
    (['--model_dir=gs://bucket/a'], 'gs://bucket/a must be a folder on this'),
    (['--model_dir=~/a'], 'not expanded to your home'),
    (['--model_dir=runs/a[1]'], 'runs/a[1] contains ['),
    ([], 'Give --gin_file, an experiment, or --model_dir'),
    (['--gin_file=nowhere.gin'], 'found no gin file nowhere.gin in'),
  ],
)
def test_a_wrong_command_line_ends_with_2(arguments, sentence):
  assert_error(command(*arguments), 2, sentence)


def test_an_import_needs_permission(gin_file):
  done = command(gin_file, allow=False)
  assert_error(done, 2, 'will not import tests.config.parts')


def test_a_run_is_stored_and_resumes_with_its_folder_alone(gin_file, tmp_path):
  run = f'--model_dir={tmp_path}/run'
  done = command(gin_file, run, '--seed=3', '--gin_bindings=RATE = 0.2')
  assert (done.returncode, done.stdout) == (0, 'seed 3\n')
  stored = (tmp_path / 'run' / 'config.gin').read_text()
  assert 'RATE = 0.2' in stored and 'parts.Root.seed = 3' in stored
  done = command(run)
  assert (done.returncode, done.stdout) == (0, 'seed 3\n')
  assert (tmp_path / 'run' / 'config.gin').read_text() == stored
  (tmp_path / 'run' / 'metrics.jsonl').write_text('{"step": 1}\n')
  done = command(run, '--seed=4')
  assert_error(done, 2, 'parts.Root.seed stored 3, given 4')
  done = command(run, '--seed=4', '--allow_config_change', '--data_dir=d')
  assert (done.returncode, done.stdout) == (0, 'seed 4\n')


def test_print_config_prints_a_gin_file_and_makes_nothing(gin_file, tmp_path):
  done = command(gin_file, f'--model_dir={tmp_path}/run', '--print_config')
  assert done.returncode == 0
  assert 'parts.Root.seed = 1' in done.stdout
  assert os.listdir(tmp_path) == ['x.gin']


def test_training_needs_a_folder(gin_file):
  assert_error(command(gin_file), 2, 'Give --model_dir')


def test_a_file_in_place_of_the_folder_ends_with_5(gin_file, tmp_path):
  done = command(gin_file, f'--model_dir={tmp_path}/x.gin')
  assert_error(done, 5, 'Cannot write to model_dir')


def test_a_fault_of_the_user_is_one_line_and_a_bug_a_traceback(gin_file):
  assert_error(command(gin_file, FAIL='data'), 3, 'x.png is no image.')
  done = command(gin_file, '--verbosity=1', FAIL='data')
  assert done.returncode == 3
  assert 'Traceback' in done.stderr
  done = command(gin_file, FAIL='bug')
  assert done.returncode == 1
  assert "KeyError: 'a bug'" in done.stderr
