"""Progress of loops over files."""

import itertools

import pytest

from deeplab_contrast.utils import progress


def test_lines_show_the_progress_and_the_time_left(monkeypatch, capsys):
  clock = itertools.count(0, 30)
  monkeypatch.setattr(progress.time, 'monotonic', lambda: next(clock))
  assert list(progress.over('abcd', 'Checking', 4, 'pairs')) == list('abcd')
  lines = capsys.readouterr().err.splitlines()
  assert lines[0] == 'Checking: 1 of 4 pairs, 1 min 30 s left'
  assert lines[-1] == 'Checking: 4 of 4 pairs, 0 s left'


@pytest.mark.parametrize(
  'seconds, text', [(7.4, '7 s'), (200, '3 min 20 s'), (7500, '2 h 05 min')]
)
def test_durations(seconds, text):
  assert progress.duration(seconds) == text
