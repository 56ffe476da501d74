import pytest

from deeplab_contrast.utils import journals


def known(path):
  with journals.Journal(path) as journal:
    return journal.known


def write(path, **values):
  with journals.Journal(path) as journal:
    for key, value in values.items():
      journal.write(key, value)


def test_what_was_written_is_known(tmp_path):
  path = tmp_path / 'new' / 'journal'
  write(path, a=1)
  write(path, b=[2], a=3)
  assert known(path) == {'a': 3, 'b': [2]}


@pytest.mark.parametrize('keep', range(1, 12))
def test_a_cut_off_line_does_not_spoil_the_next(tmp_path, keep):
  path = tmp_path / 'journal'
  write(path, a=1)
  whole = path.read_bytes()
  path.write_bytes(whole + b'["cut", "off"]'[:keep])
  write(path, b=2)
  assert known(path) == {'a': 1, 'b': 2}


def test_rubbish_is_skipped(tmp_path):
  path = tmp_path / 'journal'
  path.write_bytes(b'\xff\n[1]\n[[],2]\n{}\nnull\n["a",1]\n')
  assert known(path) == {'a': 1}


@pytest.mark.parametrize('place', ['file/journal', 'gs://bucket/journal', None])
def test_where_it_cannot_be_written_nothing_is_kept(
  tmp_path, place, monkeypatch
):
  monkeypatch.chdir(tmp_path)
  (tmp_path / 'file').write_text('')
  write(place, a=1)
  assert known(place) == {}
  assert [p.name for p in tmp_path.iterdir()] == ['file']


def test_a_full_disk_costs_only_the_journal(monkeypatch):
  write('/dev/full', a='x' * 100_000)
