import os

import pytest

from deeplab_contrast.utils import processor
from tests import processes

_LAPTOP = 'processor : 0\nflags\t\t: fpu sse4_2 avx2 fma\nflags : fpu\n'


def test_instruction_sets_are_read_from_the_first_processor(tmp_path):
  path = tmp_path / 'cpuinfo'
  path.write_text(_LAPTOP)
  assert processor.instruction_sets(str(path)) == ('AVX2',)
  path.write_text('flags : amx_tile avx512f avx512_vnni avx2\n')
  found = processor.instruction_sets.__wrapped__(str(path))
  assert found == ('AVX2', 'AVX-512', 'VNNI', 'AMX')
  assert processor.instruction_sets(str(tmp_path / 'none')) == ()


@pytest.mark.parametrize(
  ('sets', 'given', 'expected'),
  [
    (('AVX2',), None, '1'),
    (('AVX2',), '0', '0'),
    ((), None, None),
  ],
)
def test_the_kernels_follow_the_processor_and_the_user(
  sets, given, expected, monkeypatch
):
  monkeypatch.delenv(processor.SWITCH, raising=False)
  if given is not None:
    monkeypatch.setenv(processor.SWITCH, given)
  monkeypatch.setattr(processor, 'instruction_sets', lambda: sets)
  processor.choose_kernels()
  assert os.environ.get(processor.SWITCH) == expected
  state = {'1': 'oneDNN on', '0': 'oneDNN off', None: 'default'}[expected]
  assert state in processor.describe()
  monkeypatch.delenv(processor.SWITCH, raising=False)


def test_importing_the_package_chooses_before_tensorflow():
  code = """
    import os, sys
    os.environ.pop('TF_ENABLE_ONEDNN_OPTS', None)
    import deeplab_contrast
    from deeplab_contrast.utils import processor
    assert 'tensorflow' not in sys.modules
    chosen = os.environ.get('TF_ENABLE_ONEDNN_OPTS')
    assert (chosen == '1') == ('AVX2' in processor.instruction_sets())
  """
  processes.run_python(code)
