import pytest

from deeplab_contrast.config import gin_text
from deeplab_contrast.utils import errors

HEADER = 'from __gin__ import dynamic_registration\n'


def read(text):
  return gin_text.read_text(text, 'x.gin')


def test_bindings_know_where_they_stand_and_what_they_bind():
  source = read(
    HEADER + 'from keras import optimizers\n'
    'STEPS = 10\n'
    'a/b/optimizers.SGD.rate = [%STEPS, @two/optimizers.Adam(), "x"]\n'
    'optimizers.SGD:\n  # Why.\n  momentum = 0.9\n'
  )
  assert [(b.place.line, b.name) for b in source.bindings] == [
    (3, 'STEPS'),
    (4, 'a/b/optimizers.SGD.rate'),
    (7, 'optimizers.SGD.momentum'),
  ]
  assert source.bindings[1].value == [
    gin_text.Macro('STEPS'),
    gin_text.Reference('two', 'optimizers.Adam', True),
    'x',
  ]
  assert str(source.bindings[0].place) == 'x.gin:3'
  assert list(source.names) == ['optimizers']


@pytest.mark.parametrize(
  'text',
  [
    "X = 'a\\'b\\n%C'",
    'X = -1e-05',
    "X = {'a': [(1,), ()], 2: None}",
    'X = (@a/b.C, @b.C(), %D/E)',
    'a/b.C.d = True',
  ],
)
def test_the_text_of_a_binding_reads_back_the_same(text):
  (binding,) = read(text).bindings
  (again,) = read(binding.text).bindings
  assert (again.name, again.value) == (binding.name, binding.value)


@pytest.mark.parametrize(
  ('text', 'sentence'),
  [
    (
      'A = 1\nB = runs/a',
      "x.gin:2: 'runs' is not a value; a string needs quotes",
    ),
    ('A = 1\nB = true', "x.gin:2: 'true' is not a value"),
    ('A = [1,\n', 'x.gin:2: not gin'),
    ('\nA ! 1', r'x.gin:2: not gin .*A ! 1'),
    ('a.b = @', 'x.gin:1: not gin'),
    (
      'import deeplab_contrast',
      'x.gin: .*from __gin__ import dynamic_registration',
    ),
    (HEADER + 'import os', 'x.gin:2: will not import os.*--allow_import=os'),
    (HEADER + 'import kerasx.a', 'x.gin:2: will not import kerasx.a'),
    (HEADER + 'import tensorflow.io', 'will not import tensorflow.io'),
    ("include '/etc/passwd'", 'x.gin:1: /etc/passwd is not a gin file'),
    ("include 'no.gin'", 'x.gin:1: found no gin file no.gin'),
    ('A = ' + '[' * 5000, 'x.gin.*(too many brackets|not gin)'),
    ('A = ' + '9' * 5000, r'x.gin.*9999'),
    ('from a\nimport b', r'x.gin:1: not gin [^\n]*$'),
  ],
)
def test_wrong_gin_and_forbidden_imports_are_reported_with_their_place(
  text, sentence
):
  with pytest.raises(errors.ConfigError, match=sentence):
    read(text)


def test_trusted_packages_may_be_imported_with_all_their_modules():
  source = gin_text.read_text(HEADER + 'import mine.a', 'x.gin', ('mine',))
  assert [s.module for s, _ in source.imports] == ['mine.a']


def test_a_flag_reads_with_the_names_of_the_files_and_imports_nothing():
  (binding,) = gin_text.read_flag('A = 1', 'gin_bindings', {}).bindings
  assert str(binding.place) == '--gin_bindings="A = 1"'
  with pytest.raises(errors.ConfigError, match='belong in a gin file'):
    gin_text.read_flag('import keras', 'gin_bindings', {})


def test_files_are_found_from_here_and_from_the_repository(
  tmp_path, monkeypatch
):
  folder = tmp_path / 'repository'
  (folder / 'gin_configs').mkdir(parents=True)
  (folder / 'gin_configs' / 'x.gin').write_text('A = 1\n')
  (tmp_path / 'y.gin').write_text("include 'gin_configs/x.gin'\nA = 2\n")
  monkeypatch.setattr(
    gin_text, 'SEARCH_PATH', ('', str(folder), str(folder / 'gin_configs'))
  )
  monkeypatch.setattr(gin_text, 'OURS', str(folder))
  monkeypatch.chdir(tmp_path)
  for name in ('x.gin', 'gin_configs/x.gin'):
    assert gin_text.read_file(name).bindings[0].value == 1
  assert [b.value for b in gin_text.read_file('y.gin').bindings] == [1, 2]
  with pytest.raises(errors.ConfigError, match=r'xx.gin in .*mean x.gin\?'):
    gin_text.read_file('xx.gin')


def test_a_file_that_includes_itself_is_refused(tmp_path):
  a, b = tmp_path / 'a.gin', tmp_path / 'b.gin'
  a.write_text(f"include '{b}'\n")
  b.write_text(f"A = 1\ninclude '{a}'\n")
  with pytest.raises(errors.ConfigError, match='b.gin:2: .*includes itself'):
    gin_text.read_file(str(a))


def test_a_file_that_is_no_text_is_refused(tmp_path):
  path = tmp_path / 'a.gin'
  path.write_bytes(b'\xff\xfe\x00')
  with pytest.raises(errors.ConfigError, match='cannot read'):
    gin_text.read_file(str(path))
