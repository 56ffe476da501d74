import re

from deeplab_contrast import __main__ as entry
from tests import import_map, processes


def test_help_lists_every_command(capsys):
  assert set(entry.commands()) == set(import_map.COMMANDS)
  assert all(len(about) > 10 for about in entry.commands().values())
  assert entry.main(['--help']) == entry.main([]) == 0
  words = re.findall(r'^  (\w+) ', capsys.readouterr().out, re.MULTILINE)
  assert words == sorted(import_map.COMMANDS) * 2


def test_an_unknown_command_is_one_sentence(capsys):
  assert entry.main(['trian']) == 2
  error = capsys.readouterr().err
  assert error.startswith("error: unknown command 'trian'; did you mean")
  assert 'train?' in error and error.count('\n') == 1


def test_a_command_runs_as_by_its_module(tmp_path):
  flag = f'--model_dir={tmp_path}/none'
  named = processes.run_module('__main__', 'report', flag)
  direct = processes.run_module('report', flag)
  assert named.returncode == direct.returncode == 3
  assert named.stderr == direct.stderr != ''
