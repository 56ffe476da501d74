from deeplab_contrast.utils import metrics, run_files


def test_what_is_no_line_is_left_out(tmp_path):
  (tmp_path / run_files.METRICS).write_bytes(
    b'{"step": 1}\n\x8c\xff\x00\n17\n{"step": 2}\n{"step": 3, "sp'
  )
  assert metrics.read(tmp_path) == [{'step': 1}, {'step': 2}]


def test_without_a_file_there_are_none(tmp_path):
  assert metrics.read(tmp_path) == []
