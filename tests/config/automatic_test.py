import pytest

from deeplab_contrast.config import automatic, gin_text
from deeplab_contrast.utils import precision, run_files

HEADER = """
from __gin__ import dynamic_registration
from deeplab_contrast import experiment
"""
MACRO = HEADER + 'experiment.Experiment.precision = %PRECISION\n'


def resolve(text, *model_dirs):
  bindings = gin_text.read_text(text, 'x.gin').bindings
  found, resolved = automatic.resolve(bindings, [str(x) for x in model_dirs])
  return [binding.text for binding in found], resolved


@pytest.fixture
def measured(monkeypatch):
  """How often the precision was measured."""
  calls = []

  def faster():
    calls.append(1)
    return 'mixed_bfloat16'

  monkeypatch.setattr(precision, 'faster', faster)
  return calls


def test_the_last_value_of_a_macro_is_replaced(measured):
  text = MACRO + "PRECISION = 'float32'\nPRECISION = 'auto'\n"
  found, resolved = resolve(text)
  assert found[-1] == resolved == "PRECISION = 'mixed_bfloat16'"
  assert found[:-1] == [
    'experiment.Experiment.precision = %PRECISION',
    "PRECISION = 'float32'",
  ]


def test_what_is_not_auto_stays_and_nothing_is_measured(measured):
  for text in (MACRO + "PRECISION = 'float32'\n", 'A = 1\n', HEADER):
    assert resolve(text)[1] is None
  assert not measured


def test_an_earlier_run_decides(measured, tmp_path):
  (tmp_path / 'b').mkdir()
  (tmp_path / 'b' / run_files.CONFIG).write_text(
    MACRO + "PRECISION = 'float32'\n"
  )
  text = HEADER + "experiment.Experiment.precision = 'auto'\n"
  _, resolved = resolve(text, tmp_path / 'a', tmp_path / 'b')
  assert resolved == "experiment.Experiment.precision = 'float32'"
  assert not measured
