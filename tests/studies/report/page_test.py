import base64
import html.parser
import io
import json
import os
import re
import shutil
import subprocess

import numpy as np
import pytest
from PIL import Image

from deeplab_contrast.studies.report import (
  bars,
  curves,
  feature_map,
  gather,
  main_figure,
  page,
  pictures,
)
from deeplab_contrast.utils import errors, run_files
from tests import study_folder

# What Debian, Ubuntu and Google call it.
BROWSERS = ('chromium', 'chromium-browser', 'google-chrome')


class Reader(html.parser.HTMLParser):
  """Collects tags, attributes and text; fails on tags left open."""

  def __init__(self, text):
    super().__init__()
    self.tags, self.words, self._open = [], [], []
    self.feed(text)
    self.close()
    assert not self._open

  def handle_starttag(self, tag, attrs):
    self.tags.append((tag, dict(attrs)))
    if tag not in ('meta', 'link', 'img', 'br'):
      self._open.append(tag)

  def handle_endtag(self, tag):
    assert self._open.pop() == tag

  def handle_data(self, data):
    self.words.append(data)

  def attributes(self, tag):
    return [attributes for name, attributes in self.tags if name == tag]


def read(folder, **change):
  return gather.read(study_folder.make(folder, **change))


@pytest.fixture(scope='module')
def study(tmp_path_factory):
  return read(tmp_path_factory.mktemp('study'), arms=study_folder.ARMS)


@pytest.fixture(scope='module')
def report(study):
  features = feature_map.side_by_side(
    study, pictures.first_entries(study, 4)[:2]
  )
  return page.build(study, features, ['Something <was> left out.'])


def test_the_page_holds_everything(report):
  text = Reader(report.html)
  images = text.attributes('img')
  assert len(images) == len(report.figures) == 13
  for image, figure in zip(images, sorted_as(images, report), strict=True):
    start, _, data = image['src'].partition(',')
    assert start == 'data:image/png;base64'
    assert base64.b64decode(data) == figure.png
    assert len(image['alt']) > 20
    with Image.open(io.BytesIO(figure.png)) as picture:
      ratio = picture.width / picture.height
      assert int(image['width']) / int(image['height']) == pytest.approx(
        ratio, rel=0.02
      )
      assert np.asarray(picture.convert('L')).std() > 5  # Not empty.
  names = [figure.name for figure in report.figures]
  assert len(set(names)) == 13
  assert {'miou', 'tsne', 'iou_4', 'confusion_40', 'cost_4'} <= set(names)


def sorted_as(images, report):
  by_alt = {figure.alt: figure for figure in report.figures}
  return [by_alt[image['alt']] for image in images]


def test_nothing_comes_from_elsewhere(report):
  text = Reader(report.html)
  assert not re.search(r'https?://|@import|url\(', report.html)
  assert {tag for tag, _ in text.tags}.isdisjoint(
    {'script', 'iframe', 'object', 'embed', 'audio', 'video', 'form'}
  )
  anchors = {a['id'] for _, a in text.tags if 'id' in a}
  for link in text.attributes('a'):
    assert link['href'].removeprefix('#') in anchors
  (policy,) = [m for m in text.attributes('meta') if 'http-equiv' in m]
  assert policy['content'].startswith("default-src 'none';")


def test_what_the_page_says(study, report):
  words = ' '.join(' '.join(Reader(report.html).words).split())
  for told in (
    'Label-efficient segmentation of toys',
    'softmax, contrastive, softmax + pseudo-labels, contrastive',
    '16 of 16',
    'abc123',
    'the same number in every arm',
    'Something <was> left out.',
    'car & <van>',
    "NAME = '<softmax>'",
    'trainer.Trainer.steps = %STEPS',
    'pretrain_4 200 + contrastive_4 100',
    'n/a',
  ):
    assert told in words, told
  gain = [
    study.of('contrastive', 4)[i].result['miou']
    - study.of('softmax', 4)[i].result['miou']
    for i in range(2)
  ]
  low, high = (f'{100 * v:+.1f}'.replace('-', '−') for v in sorted(gain))
  mean = f'{50 * sum(gain):+.1f}'.replace('-', '−')
  assert f'{mean} [{low}, {high}]' in words
  assert 'One seed' not in words


def test_the_same_study_gives_the_same_page(tmp_path):
  pages = []
  for name in ('one', 'two'):
    study = read(tmp_path / name, arms=study_folder.ARMS[:2], budgets=(4,))
    entries = pictures.first_entries(study, 4)
    features = feature_map.side_by_side(study, entries)
    pages.append(page.build(study, features))
  assert pages[0] == pages[1]


def test_one_budget_and_one_seed(tmp_path):
  study = read(tmp_path, budgets=(4,), seeds=(0,))
  report = page.build(study)
  names = [figure.name for figure in report.figures]
  assert names.count('iou_4') == 1 and 'tsne' not in names
  assert 'One seed: differences of a few points may be chance.' in report.html
  assert 'Pseudo-labels' not in report.html


def test_a_new_column_of_the_runs_is_shown_by_itself(tmp_path):
  path = os.path.join(study_folder.make(tmp_path, budgets=(4,)), 'study.json')
  entries = gather.files.read_json(path)['entries']
  entries[0]['kilowatt_hours'] = 12.34567
  study_folder.change(path, entries=entries)
  words = ' '.join(Reader(page.build(gather.read(str(tmp_path))).html).words)
  assert 'kilowatt hours' in words and '12.3457' in words


def test_what_a_teacher_saw_is_shown(tmp_path):
  folder = study_folder.make(tmp_path, budgets=(4,), seeds=(0,))
  path = tmp_path / 'softmax_4_seed0' / run_files.METRICS
  lines = [json.loads(line) for line in path.read_text().splitlines()]
  for line in lines:
    if line['split'] == 'train':
      line |= {'confident': 0.5, 'teacher_accuracy': 0.75}
      line |= {'confident/sky': 0.987, 'teacher_accuracy/sky': None}
    if line['split'] == 'val':
      line['student_miou'] = 0.1
  path.write_text(''.join(json.dumps(line) + '\n' for line in lines))
  report = page.build(gather.read(folder))
  words = ' '.join(' '.join(Reader(report.html).words).split())
  assert 'sky 98.7 n/a' in words
  (figure,) = [x for x in report.figures if x.name == 'teacher_4']
  assert 'confident pixels, %, right among them, %, val mIoU, %' in figure.alt


def test_what_is_missing_is_left_out(tmp_path):
  study = read(tmp_path, budgets=(4,), seeds=(0,))
  for entry in study.entries:
    shutil.rmtree(os.path.join(entry.model_dir, 'vis'))
    for stage in entry.stages:
      os.remove(os.path.join(stage.model_dir, 'metrics.jsonl'))
      os.remove(os.path.join(stage.model_dir, 'config.gin'))
  report = page.build(study)
  assert [f.name for f in report.figures] == [
    'miou',
    'iou_4',
    'confusion_4',
    'cost_4',
  ]
  for title in ('Same images', 'Training', 'Settings', 'Feature space'):
    assert title not in report.html


def test_only_images_that_all_arms_show(tmp_path):
  study = read(tmp_path, budgets=(4,))
  first = study.of('softmax', 4)[0].model_dir
  os.remove(os.path.join(first, 'vis', 'a_truth.png'))
  assert pictures.names(first) == ['b']
  assert pictures.side_by_side(study, 4).alt.startswith('1 val images')
  with open(os.path.join(first, 'vis', 'b_truth.png'), 'wb') as file:
    file.write(b'no picture')
  with pytest.raises(
    errors.DataError, match='b_truth.png is not a valid picture'
  ):
    pictures.side_by_side(study, 4)


def test_costs_without_times_are_steps(tmp_path):
  path = os.path.join(study_folder.make(tmp_path, budgets=(4,)), 'study.json')
  entries = gather.files.read_json(path)['entries']
  for entry in entries:
    entry['minutes'] = None
    entry['stages'] = [{**s, 'minutes': None} for s in entry['stages']]
  study_folder.change(path, entries=entries)
  figure = bars.costs(gather.read(str(tmp_path)), 4)
  assert figure.alt == 'Cost in steps: softmax 100, contrastive 300.'


def test_budgets_far_apart_are_on_a_log_scale(tmp_path):
  near = read(tmp_path / 'near', budgets=(4, 16), seeds=(0,))
  far = read(tmp_path / 'far', budgets=(4, 17), seeds=(0,))
  assert main_figure.over_budgets(near).png != main_figure.over_budgets(far).png
  values = [e.result['miou'] for e in far.entries if e.arm == 'softmax']
  told = ', '.join(
    f'{100 * v:.1f} % at {n}' for v, n in zip(values, (4, 17), strict=True)
  )
  assert f'softmax: {told}.' in main_figure.over_budgets(far).alt


def test_curves_are_drawn_for_the_run_they_belong_to(study):
  runs = dict(map(reversed, curves._runs(study, 4)))
  folder = study.folder
  assert runs[f'{folder}/pretrain_4_seed0'] == 'contrastive'
  assert runs[f'{folder}/contrastive_4_seed1'] == 'contrastive'
  assert runs[f'{folder}/softmax_pseudo_4_seed0'] == 'softmax_pseudo'


def test_damaged_features_are_refused(tmp_path):
  study = read(tmp_path, budgets=(4,), seeds=(0,))
  entry = study.entries[0]
  path = os.path.join(entry.model_dir, run_files.FEATURES)
  assert feature_map.is_there(entry)
  np.savez(path, features=np.ones([3, 2]), labels=np.ones(3), step=np.int64(7))
  assert not feature_map.is_there(entry)  # Of another checkpoint.
  np.savez(path, features=np.ones([3, 2]), labels=np.ones(4), step=np.int64(7))
  with pytest.raises(errors.DataError, match='labels .4,.'):
    feature_map.is_there(entry)
  np.savez(path, labels=np.ones(4))
  with pytest.raises(errors.DataError, match='penultimate.npz is damaged'):
    feature_map.is_there(entry)
  with open(path, 'wb') as file:
    file.write(b'PK no zip')
  with pytest.raises(errors.DataError, match='penultimate.npz is damaged'):
    feature_map.is_there(entry)
  os.remove(path)
  assert not feature_map.is_there(entry)


def test_points_of_one_class_stay_together(tmp_path):
  study = read(tmp_path, budgets=(4,), seeds=(0,))
  run = study.entries[0].model_dir
  study_folder.write_features(run, 4, 1.0, np.random.default_rng(0))
  stored = feature_map.read(run)
  places = feature_map.layout(stored['features'])
  distances = np.linalg.norm(places[:, None] - places[None], axis=-1)
  np.fill_diagonal(distances, np.inf)
  nearest = stored['labels'][distances.argmin(axis=1)]
  assert np.mean(nearest == stored['labels']) > 0.95


# Runs inside the page, and tells the page around it.
CHECK = """
<script>
const faults = [];
addEventListener('error', () => faults.push('error'), true);
addEventListener('securitypolicyviolation', () => faults.push('refused'));
addEventListener('load', () => {
  const images = [...document.images];
  const good = images.filter(i => i.complete && i.naturalWidth > 0).length;
  const root = document.documentElement;
  const files = performance.getEntriesByType('resource')
    .filter(e => !e.name.startsWith('data:')).length;
  parent.postMessage(`${innerWidth} px: ${good} of ${images.length} images, `
    + `${Math.max(0, root.scrollWidth - root.clientWidth)} px too wide, `
    + `${files} files, ${faults.length} faults;`, '*');
});
</script>
"""

AROUND = """<!DOCTYPE html>
<script>addEventListener('message', e => document.title += e.data);</script>
<title></title>
<iframe src="page.html" width="360" height="640"></iframe>
<iframe src="page.html" width="1200" height="900"></iframe>
"""


def browse(folder, text):
  """What a browser without network says of a page; skips without one."""
  browser = next(filter(None, map(shutil.which, BROWSERS)), None)
  if browser is None:
    pytest.skip(f'none of {", ".join(BROWSERS)} is installed')
  # Before the policy, which lets no script run after it.
  assert text.count('<head>') == 1
  text = text.replace('<head>', f'<head>{CHECK}')
  (folder / 'page.html').write_text(text, encoding='utf-8')
  (folder / 'around.html').write_text(AROUND, encoding='utf-8')
  done = subprocess.run(
    [
      browser,
      *('--headless', '--no-sandbox', '--disable-gpu', '--no-first-run'),
      *('--disable-background-networking', '--disable-component-update'),
      *('--disable-sync', '--enable-logging=stderr', '--dump-dom'),
      *('--virtual-time-budget=9000', '--hide-scrollbars'),
      '--host-resolver-rules=MAP * ~NOTFOUND',
      f'--user-data-dir={folder}/profile',
      (folder / 'around.html').as_uri(),
    ],
    capture_output=True,
    text=True,
    timeout=120,
    check=False,
  )
  assert done.returncode == 0, done.stderr
  said = re.search('<title>(.*?)</title>', done.stdout).group(1)
  console = [line for line in done.stderr.split('\n') if 'CONSOLE' in line]
  return sorted(filter(None, said.split(';'))), console


def test_in_a_browser_on_a_phone_and_on_a_desk(report, tmp_path):
  said, console = browse(tmp_path, report.html)
  good = '13 of 13 images, 0 px too wide, 0 files, 0 faults'
  assert said == [f'1200 px: {good}', f'360 px: {good}']
  assert not console


def test_the_check_of_the_browser_finds_faults(tmp_path):
  bad = (
    '<!DOCTYPE html><html><head></head><body>'
    '<img src="data:image/png;base64,AAAA"><div style="width: 500px">wide</div>'
    '<link rel="stylesheet" href="http://elsewhere.invalid/x.css">'
    '<script>nonsense(</script></body></html>'
  )
  said, console = browse(tmp_path, bad)
  assert said[1].startswith('360 px: 0 of 1 images, ')
  assert ' 0 px too wide' not in said[1] and ' 0 files' not in said[1]
  assert ' 0 faults' not in said[1]
  assert console
