"""The command that checks, prepares and shows a dataset."""

import json
import pathlib
import shlex
import shutil
import signal
import subprocess
import sys
import tarfile

import numpy as np
import pytest
from PIL import Image

from deeplab_contrast import launch, prepare
from deeplab_contrast.datasets import folder_segmentation, scenes, sources
from deeplab_contrast.datasets.sources import tfds_split
from tests import fixtures, processes

DESCRIPTION = {
  'name': 'toy',
  'classes': {'a': [200, 0, 0], 'b': [0, 200, 0], 'c': [0, 0, 200]},
  'ignored': [3],
}


@pytest.fixture
def tree(tmp_path):
  folder = pathlib.Path(
    fixtures.make_folder(tmp_path / 'raw', train=5, val=2, ids=range(4))
  )
  (folder / 'dataset.json').write_text(json.dumps(DESCRIPTION))
  return folder


def run(name, tmp_path, *options):
  return prepare.main([name, f'--data_dir={tmp_path}/data', *options])


def prepared(tmp_path, pattern='*'):
  """The one folder of prepared data."""
  (path,) = (tmp_path / 'data').glob(f'{pattern}/*/*/dataset_info.json')
  return path.parent


def spoil(tree, *names):
  for name in names:
    path = tree / 'masks' / name.partition('_')[0] / f'{name}.png'
    mask = np.array(Image.open(path))
    mask[5:9, 5:9] = 77
    Image.fromarray(mask).save(path)


def contents(folder):
  return {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file()}


def test_it_ends_with_a_report_and_a_picture(tree, tmp_path, capsys):
  assert run('folder', tmp_path, f'--raw_dir={tree}') == 0
  folder = prepared(tmp_path)
  report = json.loads((folder / 'report.json').read_text())
  masks = [np.array(Image.open(p)) for p in tree.glob('masks/train/*.png')]
  train = report['splits']['train']
  assert train['images'] == 5 and train['labelled']
  for value, name in enumerate(['a', 'b', 'c', 'void']):
    counted = train['classes'][name]
    assert counted['pixels'] == sum((mask == value).sum() for mask in masks)
    assert counted['images'] == sum((mask == value).any() for mask in masks)
  void = {
    p.stem: (np.array(Image.open(p)) == 3).mean()
    for p in tree.glob('masks/train/*')
  }
  worst = train['most_void'][0]
  assert worst['id'] == max(void, key=void.get)
  assert worst['void'] == pytest.approx(max(void.values()))
  text = (folder / 'report.txt').read_text()
  out = capsys.readouterr().out
  assert text in out
  assert str(folder / 'contact_sheet.png') in out
  sheet = Image.open(folder / 'contact_sheet.png')
  assert sheet.width > 6 * 256 and sheet.height > 300
  colors = {color for _, color in sheet.getcolors(1 << 20)}
  assert {(200, 0, 0), (0, 200, 0), (0, 0, 200)} <= colors
  assert len(report['shown']) == 7


def test_training_uses_what_was_prepared(tree, tmp_path, monkeypatch):
  assert run('folder', tmp_path, f'--raw_dir={tree}') == 0
  before = contents(prepared(tmp_path))
  monkeypatch.setattr(tfds_split, '_prepare', None)  # Would be an error.
  dataset = folder_segmentation.Folder(str(tree))
  source = sources.TfdsSplit(dataset, 'train')
  assert len(source.open(f'{tmp_path}/data')) == 5
  assert contents(prepared(tmp_path)) == before


@pytest.mark.parametrize('name', ['dataset.json', 'my classes.json'])
def test_it_tells_how_to_train(tree, tmp_path, capsys, name):
  tree = tree.rename(tmp_path / "it's mine")
  (tree / 'dataset.json').rename(tree / name)
  options = [f'--raw_dir={tree}']
  options += [f'--description={tree / name}'] * (name != 'dataset.json')
  assert run('folder', tmp_path, *options) == 0
  (line,) = [
    line.removeprefix('Train: ')
    for line in capsys.readouterr().out.splitlines()
    if line.startswith('Train: ')
  ]
  told = [a.partition('=')[::2] for a in shlex.split(line)[3:]]
  values = {flag: [v for f, v in told if f == flag] for flag, _ in told}
  assert values['--data_dir'] == [f'{tmp_path}/data']
  built = launch.parse(values['--gin_file'], values['--gin_bindings'])
  source = built.root.eval_source
  assert len(source.open(f'{tmp_path}/data')) == 2


def test_what_experiments_expect_and_miss_is_warned_of(tree, tmp_path, capsys):
  for kind in ('images', 'masks'):
    (tree / kind / 'val').rename(tree / kind / 'holdout')
  assert run('folder', tmp_path, f'--raw_dir={tree}') == 0
  out = capsys.readouterr().out
  assert (
    'Warning: there is no split val, which experiments are evaluated' in out
  )
  assert 'no split train' not in out


def test_the_second_time_it_only_shows(tree, tmp_path, capsys):
  assert run('folder', tmp_path, f'--raw_dir={tree}') == 0
  before = contents(prepared(tmp_path))
  assert run('folder', tmp_path, f'--raw_dir={tree}') == 0
  assert contents(prepared(tmp_path)) == before
  assert 'Was already prepared' in capsys.readouterr().out
  (prepared(tmp_path) / 'report.json').unlink()
  assert run('folder', tmp_path, f'--raw_dir={tree}') == 0
  assert contents(prepared(tmp_path)).keys() == before.keys()


def test_damaged_prepared_data_are_reported(tree, tmp_path, capsys):
  assert run('folder', tmp_path, f'--raw_dir={tree}') == 0
  (prepared(tmp_path) / 'dataset_info.json').write_text('{')
  assert run('folder', tmp_path, f'--raw_dir={tree}') == 3
  assert 'is damaged' in capsys.readouterr().err


def test_bad_data_are_refused(tree, tmp_path, capsys):
  spoil(tree, 'train_0001', 'val_0000')
  (tree / 'images' / 'train' / 'train_0002.jpg').write_bytes(b'')
  assert run('folder', tmp_path, f'--raw_dir={tree}') == 3
  told = capsys.readouterr().err
  assert told.startswith(f'error: {tree} has 3 faults')
  for name in ('train_0001.png', 'val_0000.png', 'train_0002.jpg'):
    assert name in told
  assert 'Traceback' not in told
  assert not list((tmp_path / 'data').rglob('dataset_info.json'))
  assert not list((tmp_path / 'data').rglob('incomplete*'))


def test_bad_pairs_are_left_out_on_request(tree, tmp_path, capsys):
  spoil(tree, 'train_0001')
  assert run('folder', tmp_path, f'--raw_dir={tree}', '--on_error=skip') == 0
  folder = prepared(tmp_path)
  (line,) = (folder / 'quarantine.txt').read_text().splitlines()
  assert line.startswith('train_0001\t')
  report = json.loads((folder / 'report.json').read_text())
  assert report['quarantined'] == 1
  assert report['splits']['train']['images'] == 4
  assert '1 faulty pairs were left out' in capsys.readouterr().out


def test_only_some_are_left_out(tree, tmp_path, capsys):
  spoil(tree, 'train_0001', 'val_0000')
  flags = (f'--raw_dir={tree}', '--on_error=skip')
  assert run('folder', tmp_path, *flags) == 3
  assert 'at most 1 (5.0%) may be left out' in capsys.readouterr().err
  assert run('folder', tmp_path, *flags, '--max_skipped=0.5') == 0


def test_oddities_are_warnings(tree, tmp_path, capsys):
  void = Image.fromarray(np.full([36, 48], 255, np.uint8))
  void.save(tree / 'masks' / 'train' / 'train_0003.png')
  images = tree / 'images' / 'train'
  shutil.copy(images / 'train_0000.jpg', images / 'train_0004.jpg')
  about = {**DESCRIPTION, 'classes': {**DESCRIPTION['classes'], 'd': [9, 9, 9]}}
  about['ids'] = [0, 1, 2, 4]
  (tree / 'dataset.json').write_text(json.dumps(about))
  assert run('folder', tmp_path, f'--raw_dir={tree}') == 0
  out = capsys.readouterr().out
  assert 'Warning: train has no pixel of d.' in out
  assert (
    'train has 1 empty masks, without a pixel of any class: train_0003' in out
  )
  assert '1 pictures occur more than once: train_0000 = train_0004' in out


def test_voc_with_sbd_and_test(tmp_path):
  root = pathlib.Path(fixtures.make_voc(tmp_path / 'raw'))
  shutil.copy(
    root / 'JPEGImages' / '2007_000007.jpg', root / 'JPEGImages' / '2012_1.jpg'
  )
  picture = Image.open(root / 'JPEGImages' / '2007_000007.jpg').rotate(180)
  picture.save(root / 'JPEGImages' / '2012_1.jpg')
  fixtures.write_list(root, 'test', ['2012_1'])
  sbd = fixtures.make_sbd(tmp_path, ['2008_000100'], ['2007_000004'])
  flags = (f'--raw_dir={root}', f'--sbd_dir={sbd}')
  assert run('voc2012', tmp_path, *flags) == 0
  report = json.loads((prepared(tmp_path) / 'report.json').read_text())
  counts = {s: about['images'] for s, about in report['splits'].items()}
  assert counts == {
    'train': 4, 'val': 2, 'trainval': 6, 'train_aug': 5, 'test': 1
  }  # fmt: skip
  assert not report['splits']['test']['labelled']
  assert report['splits']['train_aug']['labelled']


@pytest.mark.parametrize(
  'name, make',
  [
    ('cityscapes', fixtures.make_cityscapes),
    ('ade20k', fixtures.make_ade20k),
  ],
)
def test_datasets_of_their_own_layout(name, make, tmp_path):
  assert run(name, tmp_path, f'--raw_dir={make(tmp_path / "raw")}') == 0
  report = json.loads((prepared(tmp_path) / 'report.json').read_text())
  assert report['dataset'] == name
  assert report['splits']['val']['images'] == 2


def test_an_archive_is_unpacked_first(tree, tmp_path):
  archive = tmp_path / 'raw.tar'
  with tarfile.open(archive, 'w') as file:
    file.add(tree, 'toy')
  description = shutil.copy(tree / 'dataset.json', tmp_path / 'toy.json')
  shutil.rmtree(tree)
  flags = (f'--archive={archive}', f'--description={description}')
  assert run('folder', tmp_path, *flags) == 0
  assert (tmp_path / 'data' / 'downloads' / 'manual' / 'toy').is_dir()
  assert run('folder', tmp_path, *flags) == 0


def test_other_raw_data_than_named_are_not_shown(tree, tmp_path, capsys):
  description = shutil.copy(tree / 'dataset.json', tmp_path / 'toy.json')
  flag = f'--description={description}'
  assert run('folder', tmp_path, flag, f'--raw_dir={tree}') == 0
  assert run('folder', tmp_path, flag, f'--raw_dir={tmp_path}/absent') == 3
  assert 'There is no toy in' in capsys.readouterr().err
  assert run('folder', tmp_path, flag) == 0  # What was prepared.


@pytest.mark.parametrize(
  'arguments',
  [
    [],
    ['imagenet'],
    ['voc2012', '--on_error=ignore'],
    ['voc2012', '--max_skipped=1.5'],
    ['voc2012', '--workers=-1'],
    ['cityscapes', '--download'],
    ['voc2012', '--description=a.json'],
    ['folder', '--sbd_dir=a'],
    ['scenes', '--raw_dir=a'],
    ['voc2012', '--download', '--raw_dir=a'],
  ],
)
def test_a_wrong_command_line_ends_with_2(arguments):
  with pytest.raises(SystemExit) as caught:
    prepare.main(arguments)
  assert caught.value.code == 2


def test_wrong_descriptions_end_with_2(tree, tmp_path, capsys):
  (tree / 'dataset.json').write_text('{"classes": ["a", "b"], "x": 1}')
  assert run('folder', tmp_path, f'--raw_dir={tree}') == 2
  assert "has unknown keys ['x']" in capsys.readouterr().err


# Killed and started again.


@pytest.fixture
def large(tmp_path):
  """Takes a few seconds to check."""
  folder = fixtures.make_folder(
    tmp_path / 'raw', train=90, val=4, ids=range(4), height=500, width=700
  )
  path = pathlib.Path(folder, 'dataset.json')
  path.write_text(json.dumps(DESCRIPTION))
  return folder


def start(large, tmp_path):
  command = [
    *(sys.executable, 'tools/prepare_dataset.py', 'folder', '--workers=0'),
    *(f'--raw_dir={large}', f'--data_dir={tmp_path}/data'),
  ]
  return subprocess.Popen(
    command,
    cwd=processes.ROOT,
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
    env=processes.environment(TF_CPP_MIN_LOG_LEVEL='3'),
  )


@pytest.mark.slow
@pytest.mark.parametrize('how', [signal.SIGKILL, signal.SIGTERM])
def test_killed_and_started_again_it_continues(large, tmp_path, how):
  process = start(large, tmp_path)
  journal = tmp_path / 'data' / 'folder_segmentation' / '.checked_toy.jsonl'
  processes.wait_for_lines(process, journal, 5)
  process.send_signal(how)
  _, told = process.communicate()
  assert process.returncode == (-9 if how == signal.SIGKILL else 143), told
  if how != signal.SIGKILL:
    assert told.startswith('error: Stopped by SIG')
    assert not list((tmp_path / 'data').rglob('incomplete*'))
  assert not list((tmp_path / 'data').rglob('dataset_info.json'))
  done = journal.read_bytes().count(b'\n')
  process = start(large, tmp_path)
  out, told = process.communicate()
  assert process.returncode == 0, told
  known = int(
    told.partition(' of 94 pairs were already checked')[0].split()[-1]
  )
  assert known >= done - 1
  folder = prepared(tmp_path)
  assert [p.name for p in folder.parent.glob('*.*.*')] == ['1.0.0']
  examples = sources.TfdsSplit(folder_segmentation.Folder(large), 'train')
  assert len(examples.open(f'{tmp_path}/data')) == 90
  assert str(folder / 'contact_sheet.png') in out


@pytest.mark.slow
def test_two_at_once_share_the_work(tree, tmp_path):
  both = [start(tree, tmp_path) for _ in range(2)]
  ends = [process.communicate() for process in both]
  assert [process.returncode for process in both] == [0, 0], ends
  assert prepared(tmp_path)


def test_scenes_are_shown_too(tmp_path, monkeypatch):
  few = scenes.Scenes(train=3, val=2, height=48, width=64)
  monkeypatch.setattr(scenes, 'Scenes', lambda: few)
  assert run('scenes', tmp_path) == 0
  report = json.loads((prepared(tmp_path) / 'report.json').read_text())
  assert report['splits']['train']['images'] == 3
