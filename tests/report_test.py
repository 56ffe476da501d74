import os
import shutil
import sys

import pytest

from deeplab_contrast import launch, report
from deeplab_contrast.studies import processes
from deeplab_contrast.studies.report import feature_map, page
from deeplab_contrast.utils import errors, files, results
from tests import processes as child
from tests import study_folder


def start(model_dir, **arguments):
  report.main(launch.Launch(None, None, str(model_dir), ''), **arguments)


@pytest.fixture
def study(tmp_path):
  return study_folder.make(tmp_path / 'study', budgets=(4,))


class Commands(list):
  """The child processes that were asked for, instead of running them."""

  def __init__(self):
    super().__init__()
    self.actions = {}

  def run(self, command, title):
    self.append(command[2:])
    self.actions.get(command[2], lambda: None)()


@pytest.fixture
def commands(monkeypatch):
  asked = Commands()
  monkeypatch.setattr(processes, 'run', asked.run)
  return asked


def test_a_page_and_its_pictures(study, commands, capsys):
  start(study)
  folder = os.path.join(study, 'report')
  files = sorted(os.listdir(folder))
  assert files == [
    'confusion_4.png',
    'cost_4.png',
    'embedding_4.png',
    'index.html',
    'iou_4.png',
    'miou.png',
    'predictions_4.png',
    'training_4.png',
    'tsne.png',
  ]
  printed = f'4 of 4 runs, 8 figures: {folder}/index.html\n'
  assert capsys.readouterr().out == printed
  assert not commands  # Nothing was missing.


@pytest.fixture
def quick(monkeypatch):
  """Pages that hold nothing but the notes; figures are drawn elsewhere."""

  def build(study, features, notes):
    drawn = () if features is None else (features,)
    return page.Report('\n'.join(notes), drawn)

  monkeypatch.setattr(page, 'build', build)
  monkeypatch.setattr(feature_map, 'layout', lambda features: features[:, :2])


def test_it_writes_only_to_the_folder_given(study, tmp_path, quick):
  before = sorted(os.walk(study))
  start(study, out=f'{tmp_path}/out', tsne=False)
  assert sorted(os.walk(study)) == before
  assert os.path.exists(f'{tmp_path}/out/index.html')
  assert not os.path.exists(f'{tmp_path}/out/tsne.png')


def test_what_is_missing_is_made(study, commands, quick):
  run = os.path.join(study, 'softmax_4_seed0')
  shutil.rmtree(f'{run}/vis')
  other = os.path.join(study, 'contrastive_4_seed0')
  shutil.rmtree(f'{other}/features')

  def write_features():
    shutil.copytree(f'{run}/features', f'{other}/features')

  commands.actions['deeplab_contrast.features'] = write_features
  start(study, num_images=3)
  vis, features = commands
  assert vis[:2] == ['deeplab_contrast.vis', '--num_images=3']
  assert f'--model_dir={run}' in vis
  assert features[0] == 'deeplab_contrast.features'
  assert f'--model_dir={other}' in features


def test_what_cannot_be_made_is_left_out(study, monkeypatch, capsys, quick):
  for name in ('softmax_4_seed0', 'contrastive_4_seed0'):
    shutil.rmtree(f'{study}/{name}/vis')
    shutil.rmtree(f'{study}/{name}/features')

  def fail(command, title):
    raise processes.ChildFailed(f'{title} ended with exit code 3.', 3)

  monkeypatch.setattr(processes, 'run', fail)
  start(study)
  with open(f'{study}/report/index.html', encoding='utf-8') as file:
    text = file.read()
  assert 'No pictures of softmax with 4 labelled images' in text
  assert 'No t-SNE: the features of softmax could not be made.' in text
  assert not os.path.exists(f'{study}/report/tsne.png')
  assert 'warning: vis of ' in capsys.readouterr().err


def test_a_signal_stops_it(study, monkeypatch):
  shutil.rmtree(f'{study}/softmax_4_seed0/vis')

  def stop(command, title):
    raise processes.ChildFailed('Stopped.', 143)

  monkeypatch.setattr(processes, 'run', stop)
  with pytest.raises(processes.ChildFailed):
    start(study)
  assert not os.path.exists(f'{study}/report/index.html')


def test_one_arm_has_no_feature_figure(tmp_path, commands, quick):
  folder = study_folder.make(tmp_path, ('softmax',), budgets=(4,), seeds=(0,))
  start(folder)
  text = (tmp_path / 'report' / 'index.html').read_text()
  assert 'No t-SNE: it compares softmax with contrastive' in text


def test_a_missing_extra_is_reported_before_any_work(
  study, commands, monkeypatch, quick
):
  monkeypatch.setitem(sys.modules, 'sklearn', None)
  shutil.rmtree(f'{study}/softmax_4_seed0/vis')
  with pytest.raises(errors.SystemFault, match="pip install -e '.*report.*'"):
    start(study)
  assert not commands and not os.path.exists(f'{study}/report')
  start(study, tsne=False)
  assert os.path.exists(f'{study}/report/index.html')


def test_a_folder_that_cannot_be_written(study, tmp_path):
  (tmp_path / 'file').write_text('')
  with pytest.raises(errors.SystemFault, match='Cannot make the folder .*file'):
    start(study, out=f'{tmp_path}/file/x')


def test_as_a_command(tmp_path):
  """Exit codes, one sentence each; neither needs an experiment."""
  done = child.run_module('report')
  assert (done.returncode, done.stdout) == (2, '')
  assert done.stderr == 'error: Give --model_dir, the folder of a study.\n'
  done = child.run_module('report', f'--model_dir={tmp_path}', '--no_tsne')
  assert done.returncode == 3
  assert 'nothing is finished there' in done.stderr
  assert done.stderr.startswith('error: ') and done.stderr.count('\n') == 1
  flags = ('--gin_bindings=A = 1', f'--model_dir={tmp_path}')
  done = child.run_module('report', *flags)
  assert done.returncode == 2
  assert 'takes no configuration' in done.stderr


@pytest.mark.slow
def test_real_runs(tmp_path):
  run, data = tmp_path / 'scratch', tmp_path / 'data'
  command = child.scenes_flags('softmax_scratch', data)
  done = child.run_module('train', *command, f'--model_dir={run}')
  assert done.returncode == 0, done.stderr
  shutil.copytree(run, tmp_path / 'finetune')
  arms = [
    {'arm': arm, 'seeds': [{'seed': 0, 'model_dir': f'gone/{name}'}]}
    for arm, name in (('softmax', 'scratch'), ('contrastive', 'finetune'))
  ]
  files.write_json(str(tmp_path / 'results.json'), {'arms': arms})
  made = child.run_module(
    'report',
    f'--model_dir={tmp_path}',
    f'--data_dir={data}',
    '--num_images=0',
  )
  assert made.returncode == 0, made.stderr
  assert made.stdout.count('$ ') == 2  # The features of both.
  text = (tmp_path / 'report' / 'index.html').read_text()
  for title in ('Feature space', 'Classes', 'Training', 'Settings'):
    assert f'<h2>{title}</h2>' in text
  assert 'No t-SNE' not in text
  assert '3 labelled images' in text  # As data.json says.
  miou = results.read(run)['miou']
  assert f'<td>{100 * miou:.1f}</td>' in text
  # Equal weights, equal features, and equal bytes.
  first, second = (
    (tmp_path / name / 'features' / 'penultimate.npz').read_bytes()
    for name in ('scratch', 'finetune')
  )
  assert first == second
