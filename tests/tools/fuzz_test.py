"""A small part of what `tools/fuzz.py` tries, and all that once broke."""

import pytest

from tools import fuzz
from tools.fuzzing import found, harness

# Together about 20 seconds, most of them the first use of each kind.
_EXAMPLES = {
  'images': 60,
  'masks': 40,
  'exports': 40,
  'gin': 20,
  'weights': 20,
  'archives': 40,
  'lists': 60,
}


@pytest.fixture(scope='module')
def kinds():
  return fuzz.kinds()


def test_the_quotas(kinds):
  quotas = [2000, 2000, 2000, 2000, 500, 500, 1000]
  assert [kinds[name].quota for name in fuzz.NAMES] == quotas
  assert set(kinds) == set(fuzz.NAMES) == set(_EXAMPLES)


@pytest.mark.parametrize('name', fuzz.NAMES)
def test_nothing_breaks(kinds, name, tmp_path):
  for case in found.CASES.get(name, ()):
    harness.play(kinds[name], case, tmp_path)
  result = harness.explore(kinds[name], _EXAMPLES[name], 1, tmp_path)
  assert result['examples'] >= _EXAMPLES[name] // 2
  assert not result['findings']


def broken(what):
  """A kind whose commands do what none may do."""

  def run(case, folder):
    del case
    harness.command(lambda: what(folder))

  return harness.Kind('broken', 1, None, run, '')


@pytest.mark.parametrize(
  ('what', 'finding'),
  [
    (lambda folder: 1 / 0, 'ZeroDivisionError in '),
    (lambda folder: 1, 'exit code 1'),
    (lambda folder: 3, 'without a sentence'),
    (lambda folder: (folder / '../x').write_text(''), 'outside of its folder'),
    (lambda folder: b'x' * (300 << 20), r'takes \d+ s and \d+ MB'),
  ],
)
def test_what_breaks_is_found(what, finding, tmp_path, monkeypatch):
  monkeypatch.setattr(harness, 'MOST_MB', 100)
  with pytest.raises(harness.Finding, match=finding):
    harness.play(broken(what), (), tmp_path)
