from tests import processes
from tools import faults


def test_all_52_are_listed_once_each_with_a_proof():
  assert [fault.number for fault in faults.FAULTS] == list(range(1, 53))
  assert all(fault.play or fault.tests for fault in faults.FAULTS)
  for fault in faults.FAULTS:
    for name in fault.tests:
      path, _, test = name.partition('::')
      text = (processes.ROOT / path).read_text(encoding='utf-8')
      assert not test or f'def {test}(' in text, name
