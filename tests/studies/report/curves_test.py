"""Figures whose content is checked, not only that they are drawn."""

import json
import os

import pytest

from deeplab_contrast.studies.report import curves, gather
from tests import study_folder


def _keep(folder, count):
  """Leaves the last `count` val lines in every metrics.jsonl of a study."""
  for root, _, names in os.walk(folder):
    if 'metrics.jsonl' not in names:
      continue
    path = os.path.join(root, 'metrics.jsonl')
    with open(path, encoding='utf-8') as file:
      lines = [json.loads(line) for line in file]
    val = [line for line in lines if line['split'] == 'val']
    dropped = val[: len(val) - count]
    with open(path, 'w', encoding='utf-8') as file:
      for line in lines:
        if line not in dropped:
          file.write(json.dumps(line) + '\n')


@pytest.mark.parametrize(('count', 'shown'), [(1, False), (2, True)])
def test_miou_over_steps_needs_more_than_the_final_result(
  tmp_path, count, shown
):
  folder = study_folder.make(tmp_path, budgets=(4,), seeds=(0,))
  _keep(folder, count)
  figure = curves.training(gather.read(folder), 4)
  assert ('val mIoU' in figure.alt) == shown
  assert 'cross entropy loss' in figure.alt


def test_a_curve_of_one_point_is_seen(tmp_path, monkeypatch):
  folder = study_folder.make(tmp_path, budgets=(4,), seeds=(0,))
  for root, _, names in os.walk(folder):
    if 'metrics.jsonl' in names:
      _one_embedding(os.path.join(root, 'metrics.jsonl'))
  drawn = []

  def keep(figure):
    drawn.extend(x for axis in figure.axes for x in axis.get_lines())
    return b''

  monkeypatch.setattr(curves.style, 'to_png', keep)
  curves.embedding(gather.read(folder), 4)
  single = [line for line in drawn if len(line.get_xdata()) == 1]
  assert single
  assert all(line.get_marker() not in ('None', None, '') for line in single)


def _one_embedding(path):
  with open(path, encoding='utf-8') as file:
    lines = [json.loads(line) for line in file]
  lines = [x for x in lines if x['split'] == 'train' or x['step'] == 100]
  with open(path, 'w', encoding='utf-8') as file:
    file.writelines(json.dumps(line) + '\n' for line in lines)
