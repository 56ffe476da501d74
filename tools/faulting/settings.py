"""Faults 30 to 52: numbers, configuration, security, workers, outputs."""

import json
import os
import shutil
import textwrap
import zipfile

import numpy as np
from PIL import Image

from deeplab_contrast.utils import run_files
from tests import fixtures, processes
from tools.faulting import data
from tools.faulting.stage import Fault, expect, says

_PIXELS = 3 * 33 * 49  # Of the three images of val.


def _exploding(stage):
  run = stage.folder('32') / 'run'
  ended = stage.train(run, 'LEARNING_RATE = 1e20')
  expect(not (run / run_files.DONE).exists(), 'it counts as done')
  return [says(ended, 'at learning rate')]


def _float16(stage):
  run = stage.folder('31') / 'run'
  ended = stage.train(run, "PRECISION = 'mixed_float16'")
  return [says(ended, 'mixed_bfloat16')]


def _short_batch(stage):
  """3 images, 2 at a time."""
  ended, _ = stage.evaluated
  found = json.loads((stage.root / 'evaluated' / run_files.RESULTS).read_text())
  total = int(np.sum(found['matrix']))
  expect(0 < total <= _PIXELS, f'{total} pixels of {_PIXELS}')
  expect(found['pixels'] == total, f'{found["pixels"]} pixels, not {total}')
  return [ended]


def _config(stage, *bindings):
  return stage.train(stage.root / 'never', *bindings)


def _misspelt(stage):
  return [
    says(_config(stage, 'trainer.Trainer.step = 3'), 'did you mean steps?'),
    says(_config(stage, 'LEARNINGRATE = 1.0'), 'did you mean LEARNING_RATE?'),
  ]


def _code(stage):
  folder, ended = stage.folder('38'), []
  for i, line in enumerate(('import os', "include '/etc/passwd'")):
    path = folder / f'{i}.gin'
    path.write_text(f'from __gin__ import dynamic_registration\n{line}\n')
    flags = [f'--gin_file={path}', f'--model_dir={folder}/run']
    ended.append(stage.run('train', *flags))
  return ended


def _wrong_values(stage):
  flags = [
    *stage.flags(experiment='softmax_finetune'),
    f'--model_dir={stage.folder("39")}/run',
  ]
  return [
    says(stage.run('train', *flags), 'INIT is required'),
    says(_config(stage, 'BATCH_SIZE = -1'), '-1'),
    says(_config(stage, 'STEPS = "eight"'), 'eight', 'whole number'),
    says(stage.run('train', '--seed=-1'), '-1'),
  ]


def _lambda(stage):
  path = stage.folder('40') / 'model.keras'
  code = {'class_name': 'Lambda', 'config': {'function': 'os.system'}}
  with zipfile.ZipFile(path, 'w') as file:
    file.writestr('config.json', json.dumps(code))
    file.writestr('metadata.json', '{}')
  run = path.parent / 'run'
  return [
    stage.train(run, f'PRETRAINED = {str(path)!r}'),
    stage.run(
      'convert',
      'import',
      f'--checkpoint={path}',
      f'--model_dir={path.parent / "imported"}',
      '--gin_file=gin_configs/scenes/softmax_scratch.gin',
      '--gin_file=gin_configs/tiny.gin',
      *(f'--gin_bindings={b}' for b in fixtures.TINY_SCENES),
    ),
  ]


def _shim(folder, name, text):
  """A folder for PYTHONPATH whose module takes the place of another."""
  folder.mkdir(parents=True, exist_ok=True)
  (folder / f'{name}.py').write_text(textwrap.dedent(text))
  return {'PYTHONPATH': f'{folder}{os.pathsep}{processes.ROOT}'}


def _missing_extra(stage):
  missing = 'raise ModuleNotFoundError("missing", name="{}")'
  folder = stage.folder('42')
  shim = _shim(folder / 'shim', 'sklearn', missing.format('sklearn'))
  shim = _shim(folder / 'shim', 'tf2onnx', missing.format('tf2onnx'))
  shim = _shim(folder / 'shim', 'gradio', missing.format('gradio'))
  model = data._model(stage)
  return [
    says(
      stage.run('report', f'--model_dir={stage.whole}', env=shim),
      'pip install',
    ),
    says(
      stage.run(
        'export_model',
        f'--model_dir={stage.whole}',
        f'--out={folder}/out',
        '--format=onnx',
        env=shim,
      ),
      'pip install',
    ),
    says(stage.run('demo', f'--saved_model={model}', env=shim), 'pip install'),
  ]


_NO_NETWORK = """
  import socket

  def refuse(*arguments, **settings):
    raise RuntimeError('No network, please.')

  socket.socket.connect = socket.create_connection = refuse
  socket.getaddrinfo = refuse
"""


def _no_network(stage):
  folder = stage.folder('43')
  shim = _shim(folder / 'shim', 'sitecustomize', _NO_NETWORK)
  return [stage.train(folder / 'run', 'STEPS = 2', env=shim)]


def _clean_place(stage):
  """No HOME, LANG=C, a folder with spaces and umlauts as cwd."""
  folder = stage.folder('44') / 'Käthe Müller'
  folder.mkdir()
  shutil.copytree(data._model(stage), folder / 'Modell für alle')
  Image.new('RGB', (40, 30)).save(folder / 'Bild 1.png')
  env = {'LANG': 'C', 'LC_ALL': 'C', 'HOME': ''}
  ended = stage.run(
    *('predict', '--saved_model=Modell für alle', '--out=Ergebnis für mich'),
    'Bild 1.png',
    cwd=folder,
    env=env,
  )
  written = list((folder / 'Ergebnis für mich' / 'masks').glob('*.png'))
  expect(len(written) == 1, f'it wrote {written}')
  return [ended]


def _log_that_fails(stage):
  return [says(stage.troubled[0], 'TensorBoard')]


def _tf_config(stage):
  ports = processes.free_ports(2)
  ended = []
  for text in (
    '',
    '{"cluster": {"worker": ["localhost:1"]}}',
    json.dumps(
      {
        'cluster': {'worker': [f'localhost:{p}' for p in ports]},
        'task': {'type': 'worker', 'index': 7},
      }
    ),
  ):
    ended.append(
      stage.train(
        stage.root / 'never', '--strategy=multi_worker', env={'TF_CONFIG': text}
      )
    )
  return ended


def _one_bad(stage):
  folder = stage.folder('51')
  for i in range(10):
    pixels = np.full((30, 40, 3), 20 * i, np.uint8)
    Image.fromarray(pixels).save(folder / f'{i}.png')
  good = (folder / '7.png').read_bytes()
  (folder / '7.png').write_bytes(good[:40])
  flags = [f'--saved_model={data._model(stage)}', f'--out={folder}/out']
  images = sorted(folder.glob('*.png'))
  first = says(stage.run('predict', *flags, *images), '1 of 10 images failed')
  expect('7.png' in (folder / 'out' / 'failures.txt').read_text(), 'no list')
  (folder / '7.png').write_bytes(good)
  second = stage.run('predict', *flags, *images)
  says(second, '1 predicted', '9 already there')
  expect(second.code == 0, f'again: {second.sentence}')
  return [first]


def _no_server(stage):
  return [
    says(stage.run('submit', f'--model_dir={stage.whole}'), 'No test server')
  ]


_CONTRAST = 'tests/core/losses/pixel_contrast_test.py::'
_WORKERS = 'tests/distributed/multi_worker_test.py::'
FAULTS = (
  Fault(
    30,
    'NaN in the loss at step k',
    (),
    None,
    (
      'tests/training/trainer_test.py'
      '::test_not_finite_stops_at_the_step_and_saves_nothing_after',
    ),
    'It stops with code 4 at once; there are no roll-backs, since the same '
    'data give the same NaN.',
  ),
  Fault(
    31,
    'float16 is asked for',
    (2,),
    _float16,
    (),
    'float16 is refused (bfloat16 needs no loss scale).',
  ),
  Fault(32, 'learning rate 1e20', (4,), _exploding),
  Fault(
    33,
    'short last batch',
    (0,),
    _short_batch,
    (
      'tests/datasets/pipeline_test.py'
      '::test_once_is_shared_by_hosts_in_as_many_batches',
      'tests/inference/predictor_test.py::test_every_example_counts_once',
    ),
  ),
  Fault(
    34,
    '1 against 2 replicas',
    (),
    None,
    (
      'tests/training/trainer_test.py::test_two_replicas_equal_one',
      'tests/core/network/norm_test.py::test_two_replicas_equal_one',
    ),
  ),
  Fault(
    35,
    'no positives, zero vectors, small temperature',
    (),
    None,
    (
      _CONTRAST + 'test_few_classes_or_pixels',
      _CONTRAST + 'test_zero_vectors',
      _CONTRAST + 'test_all_ignored_image_counts_as_nothing',
    ),
  ),
  Fault(
    36,
    'mIoU against an oracle; absent; > 2^31 pixels',
    (),
    None,
    ('tests/core/confusion_test.py',),
  ),
  Fault(37, 'unknown gin name or parameter', (2,), _misspelt),
  Fault(38, 'gin that imports or includes others', (2,), _code),
  Fault(39, 'unset, -1, "eight", wrong flag', (2,), _wrong_values),
  Fault(40, '.keras with a Lambda', (3,), _lambda),
  Fault(
    41,
    'pickles; hashes of downloads',
    (),
    None,
    (
      'tests/conversion/torch_file_test.py',
      'tests/conversion/fetching_test.py::test_a_different_file_is_not_kept',
    ),
  ),
  Fault(42, 'missing extra', (5,), _missing_extra),
  Fault(43, 'no network', (0,), _no_network),
  Fault(
    44,
    'other cwd, no HOME, LANG=C, umlauts',
    (0,),
    _clean_place,
    ('tests/installed_test.py::test_a_recipe_of_an_installed_package',),
  ),
  Fault(
    45,
    'no place for TensorBoard',
    (0,),
    _log_that_fails,
    (
      'tests/training/writers_test.py'
      '::test_a_failing_tensorboard_is_reported_once',
    ),
  ),
  Fault(
    46,
    'one of 2 workers killed or stopped',
    (),
    None,
    (_WORKERS + 'test_whichever_worker_is_stopped_or_killed_all_resume',),
  ),
  Fault(
    47,
    'wrong TF_CONFIG',
    (2,),
    _tf_config,
    (
      'tests/distributed/cluster_test.py::test_a_missing_task_is_reported',
      'tests/distributed/cluster_test.py::test_a_port_that_is_taken',
    ),
  ),
  Fault(
    48,
    'workers that differ',
    (),
    None,
    (_WORKERS + 'test_workers_that_differ_do_not_start',),
  ),
  Fault(
    49,
    'memory over many steps',
    (),
    None,
    ('tests/datasets/memory_test.py',),
  ),
  Fault(
    50,
    'SavedModel against Keras',
    (),
    None,
    (
      'tests/export_model_test.py::test_a_run_as_a_saved_model',
      'tests/inference/predict_equals_eval_test.py',
    ),
  ),
  Fault(51, 'predict: 1 bad image of 10', (3,), _one_bad),
  Fault(
    52,
    'wrong submission',
    (2,),
    _no_server,
    (
      'tests/inference/test_servers_test.py::test_a_fault_is_told',
      'tests/inference/packing_test.py::test_the_same_files_make_the_same_bytes',
    ),
    'A wrong file of a submission is code 3 (its test); a dataset without a '
    'server is code 2.',
  ),
)
