"""The module and the overlays of docs/extending.md work as written there."""

import pathlib
import re

import pytest

from deeplab_contrast.utils import files, metrics
from tests import processes

_PAGE = (processes.ROOT / 'docs' / 'extending.md').read_text(encoding='utf-8')
_FILE = re.compile(r'```gin\n(# (\S+)\n.*?)```', re.S)


def write_parts(folder):
  """Writes my_parts.py and the overlays; returns the names of the latter."""
  module = re.findall(r'```python\n(.*?)```', _PAGE, re.S)
  (folder / 'my_parts.py').write_text('\n'.join(module))
  files = {name: text for text, name in _FILE.findall(_PAGE)}
  for name, text in files.items():
    (folder / name).write_text(text)
  return set(files)


def run(command, folder, *arguments):
  done = processes.run_module(
    command, '--allow_import=my_parts', *arguments, cwd=folder
  )
  assert done.returncode == 0, done.stderr
  return done.stdout


def overlaid(*files):
  return [f'--gin_file={file}' for file in (*files, 'gin_configs/tiny.gin')]


@pytest.mark.slow
def test_parts_of_the_page_train_and_are_evaluated(tmp_path, monkeypatch):
  monkeypatch.syspath_prepend(tmp_path)
  names = write_parts(tmp_path)
  shared = ('my_data.gin', 'my_net.gin')
  pretraining = (*shared, 'my_loss.gin', 'my_noise.gin')
  tuning = (*shared, 'my_training.gin')
  assert {*pretraining, *tuning} == names
  run(
    'train',
    tmp_path,
    *overlaid('gin_configs/scenes/contrastive_pretrain.gin', *pretraining),
    '--gin_bindings=LABELS = 6',
    '--model_dir=pretrain',
  )
  run(
    'train',
    tmp_path,
    *overlaid('gin_configs/scenes/softmax_finetune.gin', *tuning),
    "--gin_bindings=INIT = 'pretrain'",
    '--gin_bindings=LABELS = 6',
    '--model_dir=tuned',
  )
  last = metrics.read(tmp_path / 'tuned')[1]
  assert 0 < last['dice'] < 0.5
  config = (tmp_path / 'tuned' / 'config.gin').read_text()
  assert 'my_parts.PlainNet.channels = 8' in config
  data = files.read_json(pathlib.Path(tmp_path, 'tuned', 'data.json'))
  assert data['train']['examples'] == 6
  assert 'square' in run('eval', tmp_path, '--model_dir=tuned')
  summary = run('model_summary', tmp_path, '--model_dir=tuned')
  assert 'plain_net, output stride 16' in summary
