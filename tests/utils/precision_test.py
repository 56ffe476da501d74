from deeplab_contrast.utils import precision


def test_the_faster_precision_is_found_by_a_measurement(capsys):
  found = precision.faster.__wrapped__()
  assert found in ('float32', 'mixed_bfloat16')
  assert f"Precision 'auto': {found} (bfloat16 is " in capsys.readouterr().out
