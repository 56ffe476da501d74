import csv
import json

from deeplab_contrast.studies import ledger, stages
from deeplab_contrast.utils import files, results

RECIPE = stages.Recipe(
  (
    stages.Stage('pretrain', ('p.gin',)),
    stages.Stage('finetune', ('f.gin',), (), 'pretrain', 'contrastive'),
    stages.Stage('label', ('l.gin',), (), 'finetune', command='pseudo_label'),
    stages.Stage(
      'again', ('f.gin',), (), 'pretrain', 'pseudo', 'train', 'label', 46
    ),
  ),
  seeds=(3,),
)


def finish(job, steps, miou=None):
  results.write_done(job.model_dir, steps)
  if miou is not None:
    found = {'dataset': 'toy', 'miou': miou, 'pixel_accuracy': 0.75}
    files.write_json(f'{job.model_dir}/eval/results.json', found)
    data = {'train': {'examples': 16}}
    files.write_json(f'{job.model_dir}/data.json', data)


def rows(folder):
  with open(folder / 'results.csv', encoding='utf-8', newline='') as file:
    return list(csv.DictReader(file))


def test_an_arm_costs_all_that_it_needs(tmp_path):
  jobs = stages.plan(RECIPE, str(tmp_path), [])
  book = ledger.Ledger(str(tmp_path), jobs)
  book.timer(jobs[0])(60.0)  # Interrupted, then ended.
  finish(jobs[0], 100)
  origin = {'weights': 'weights of a test', 'licence': 'none'}
  files.write_json(f'{jobs[0].model_dir}/origin.json', origin)
  book.timer(jobs[0])(120.0)
  book.write()
  assert not (tmp_path / 'results.csv').exists()  # No arm is finished.
  finish(jobs[1], 50, 0.5)
  book.timer(jobs[1])(30.0)
  (row,) = rows(tmp_path)
  assert row['commit']
  expected = {
    'dataset': 'toy',
    'arm': 'contrastive',
    'labels': '16',
    'seed': '3',
    'init': 'weights of a test',
    'steps': '150',
    'minutes': '3.5',
    'miou': '0.5',
    'pixel_accuracy': '0.75',
  }
  assert expected.items() <= row.items()
  assert not {'model_dir', 'stages'} & row.keys()
  finish(jobs[2], 50)
  book.timer(jobs[2])(60.0)
  finish(jobs[3], 70, 0.6)
  # Another process resumes, after a kill in the middle of a line.
  with open(tmp_path / 'times.jsonl', 'a', encoding='utf-8') as file:
    file.write('["again", 12')
  with open(tmp_path / 'times.jsonl', 'a', encoding='utf-8') as file:
    file.write('\n')
  ledger.Ledger(str(tmp_path), jobs).timer(jobs[3])(6.0)
  study = json.loads((tmp_path / 'study.json').read_text())
  assert study['planned'] == 2
  entry = study['entries'][1]
  assert (entry['labels'], entry['steps']) == (46, 220)
  assert entry['minutes'] == 4.6
  assert [part['name'] for part in entry['stages']] == [
    'pretrain',
    'finetune',
    'label',
    'again',
  ]
  assert [part['steps'] for part in entry['stages']] == [100, 50, 0, 70]
  assert entry['model_dir'] == 'again'
  assert len(rows(tmp_path)) == 2
