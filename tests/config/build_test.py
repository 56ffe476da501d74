import os

import pytest

from deeplab_contrast.config import build
from deeplab_contrast.utils import errors
from tests.config import parts

TRAINER = """
parts.Root.trainer = @parts.Trainer()
parts.Trainer.optimizer = @parts.Sgd()
parts.Trainer.steps = %STEPS
parts.Sgd.momentum = 0.9
STEPS = 10
"""


@pytest.fixture
def write(tmp_path):
  """Writes a gin file; returns its path."""

  def write_text(text, name='x.gin', header=parts.HEADER):
    path = tmp_path / name
    path.write_text(header + text)
    return str(path)

  return write_text


def parse(path, *bindings, allow=('tests',), **kwargs):
  paths = [path] if isinstance(path, str) else path
  return build.parse(paths, bindings, parts.ROOT, allow_imports=allow, **kwargs)


def test_everything_that_gin_can_say_reaches_the_objects(write):
  built = parse(
    write(
      TRAINER + 'parts.Root.model = @parts.Net\n'
      'parts.Net.width = 4\n'
      'parts.Root.others = '
      '[@parts.Sgd(), @two/parts.Sgd(), {"a": @parts.Adam}]\n'
      'two/parts.Sgd:\n  rate = %FOO\n'
      'FOO = 0.5\n'
    )
  )
  root = built.root
  assert type(root) is parts.Root
  assert root.trainer == parts.Trainer(10, parts.Sgd(momentum=0.9))
  assert (type(root.model), root.model.width) == (parts.Net, 4)
  assert root.others[:2] == [
    parts.Sgd(momentum=0.9),
    parts.Sgd(rate=0.5, momentum=0.9),
  ]
  assert root.others[2]['a']() == parts.Adam()


@pytest.mark.parametrize(
  'macros', ['STEPS = %STEPS', 'STEPS = %B\nB = [%C]\nC = %STEPS']
)
def test_a_macro_that_stands_for_itself_is_refused(write, macros):
  path = write(TRAINER + 'parts.Root.trainer = @parts.Trainer()\n' + macros)
  with pytest.raises(
    errors.ConfigError, match='STEPS is defined in terms of itself'
  ):
    parse(path)


def test_the_operative_configuration_builds_the_same_again(write):
  path = write(
    TRAINER + 'parts.Root.others = (@two/parts.Sgd(),)\n'
    'two/parts.Sgd.rate = 1e-3\n'
    "parts.Root.data_dir = 'it\\'s'\n"
  )
  built = parse(path, 'STEPS = 4')
  stored = write(built.config, 'config.gin', header='')
  again = parse(stored)
  assert again.config == built.config
  assert again.root.trainer == built.root.trainer
  assert again.root.others == built.root.others
  assert again.root.data_dir == "it's"
  assert 'STEPS = 4' in built.config
  assert 'parts.Trainer.log_every = 10' in built.config  # A default.


def test_one_parse_leaves_nothing_to_the_next(write):
  first = parse(write(TRAINER, 'a.gin'))
  second = parse(write('parts.Root.seed = 5\n', 'b.gin'))
  assert second.root.trainer is None
  assert 'STEPS' not in second.config
  third = parse(write(TRAINER, 'c.gin'))
  assert third.config == first.config


def test_a_name_may_mean_different_modules_in_different_files(write):
  other = write(
    'work.Adam.epsilon = 0.5\nparts.Root.others = [@work.Adam()]\n',
    'other.gin',
    header=parts.HEADER + f'import {parts.__name__} as work\n',
  )
  built = parse(
    write(
      TRAINER + f"include '{other}'\n",
      header=parts.HEADER + 'from deeplab_contrast import common as work\n',
    )
  )
  assert built.root.others == [parts.Adam(0.5)]


def test_later_files_and_the_command_line_win(write):
  files = [write(TRAINER, 'a.gin'), write('STEPS = 2\n', 'b.gin', header='')]
  assert parse(files).root.trainer.steps == 2
  assert parse(files, 'STEPS = 3').root.trainer.steps == 3
  built = parse(files, 'parts.Trainer.steps = 4', 'parts.Sgd.rate = 1.0')
  assert built.root.trainer == parts.Trainer(4, parts.Sgd(1.0, 0.9))


def test_settings_become_bindings_of_the_root(write):
  built = parse(write(TRAINER), settings={'seed': 3, 'data_dir': 'd'})
  assert (built.root.seed, built.root.data_dir) == (3, 'd')
  assert 'parts.Root.seed = 3' in built.config
  with pytest.raises(errors.ConfigError, match='--sede: .*did you mean seed'):
    parse(write(TRAINER), settings={'sede': 3})


@pytest.mark.parametrize(
  ('line', 'sentence'),
  [
    ('parts.Trainer.stepz = 1', r':10: .*no parameter stepz; .*steps\?'),
    ('parts.Trainr.steps = 1', r':10: .*parts has no Trainr; .*Trainer\?'),
    ('part.Trainer.steps = 1', r':10: nothing imports part; .*parts\?'),
    ('parts.Root.others = [@parts.Sdg()]', r':10: .*no Sdg; .*Sgd\?'),
    ('parts.Root.others = @parts.HEADER', ':10: .*not a class or function'),
    ('parts.Root.others = @parts.work()', ':10: .*belongs to posix'),
    ('parts.Root.others = %STEP', r':10: .*macro %STEP; .*STEPS\?'),
    ('parts.Root.others = [%gin.REQUIRED]', ':10: .*others is required'),
    ('STEPS = %gin.REQUIRED', ':10: STEPS is required'),
    ('STEPZ = 4', r':10: .*uses STEPZ; .*STEPS\?'),
    ('parts.Adam.epsilon = 1.0', ':10: .*uses parts.Adam.epsilon'),
    ('x/parts.Sgd.rate = 1.0', ':10: .*uses x/parts.Sgd.rate'),
    ('parts.Trainer.steps = -1', r':10: Trainer: steps is -1; must not be neg'),
    ('STEPS = -1', ':10: Trainer: steps is -1'),
    ("STEPS = 'eight'", r"parts.Trainer.steps is 'eight'"),
    (
      'parts.Root.trainer = @parts.Net()',
      "nothing binds 'classes', which Net needs",
    ),
  ],
)
def test_a_mistake_is_one_sentence_with_its_place(write, line, sentence):
  path = write(TRAINER + line)
  with pytest.raises(errors.ConfigError, match=sentence) as caught:
    parse(path)
  assert '\n' not in str(caught.value)


@pytest.mark.parametrize(
  ('imports', 'sentence'),
  [
    ('from deeplab_contrast import commn', r'no module commn; .*common\?'),
    ('import deeplab_contrast.corex.a', 'no module corex'),
    ('from tests.config.parts import Sgd', 'Sgd is not a module; import tests'),
    ('import mine', 'x.gin:4: there is no package mine'),
  ],
)
def test_an_unknown_import_is_one_sentence_with_its_place(
  write, imports, sentence
):
  with pytest.raises(errors.ConfigError, match=sentence):
    build.parse(
      [write(TRAINER, header=parts.HEADER + imports)],
      root=parts.ROOT,
      allow_imports=('tests', 'mine'),
    )


def test_a_refused_file_has_not_been_executed(write, tmp_path, monkeypatch):
  (tmp_path / 'spy_module.py').write_text("open('spied', 'w').close()\n")
  monkeypatch.syspath_prepend(tmp_path)
  monkeypatch.chdir(tmp_path)
  header = parts.HEADER + 'import spy_module\n'
  with pytest.raises(errors.ConfigError, match='will not import spy_module'):
    parse(write(TRAINER, header=header))
  assert not os.path.exists('spied')


def test_other_faults_of_constructors_keep_their_kind(write):
  path = write('parts.Root.model = @parts.Net\nparts.Net.width = 13\n')
  with pytest.raises(errors.DataError, match='^Net: no picture is 13 wide$'):
    parse(path)


def test_what_an_override_made_idle_is_no_mistake_of_the_file(write):
  base = write(TRAINER + 'parts.Sgd.rate = %RATE\nRATE = 0.2\n', 'base.gin')
  child = write(
    f"include '{base}'\n"
    'parts.Trainer.optimizer = @parts.Adam()\nparts.Trainer.steps = 3\n'
  )
  assert parse(child).root.trainer == parts.Trainer(3, parts.Adam())
  with pytest.raises(errors.ConfigError, match='="RATE = 1.0": nothing.*RATE'):
    parse(child, 'RATE = 1.0')
  typo = write(f"include '{base}'\nparts.Trainer.optimizer = @parts.Sgd()\n")
  assert parse(typo).root.trainer.optimizer.rate == 0.2
  typo = write(f"include '{typo}'\nx/parts.Sgd.rate = 1.0\n", 'y.gin')
  with pytest.raises(errors.ConfigError, match='y.gin:5: .*x/parts.Sgd.rate'):
    parse(typo)


def test_what_is_not_needed_may_stay_open(write):
  text = TRAINER.replace('STEPS = 10', 'STEPS = %gin.REQUIRED')
  text += 'parts.Root.others = (%MORE,)\nMORE = %gin.REQUIRED\n'
  path = write(text)
  built = parse(path, 'STEPS = 3', not_needed=('MORE', 'STEPS', 'NO'))
  assert built.root.others == (None,)
  assert built.root.trainer.steps == 3
  with pytest.raises(errors.ConfigError, match='STEPS is required'):
    parse(path, not_needed=('MORE',))


def test_tolerated_bindings_are_returned_with_the_reason(write):
  path = write(TRAINER)
  built = parse(
    path,
    'STEPS = 3',
    'RATE = 1.0',
    'heads.Head.size = 2',
    'parts.Root.others = @heads.Head()',
    'parts.Adam.epsilon = 0.5',
    settings={'seed': 1, 'unknown': 1},
    tolerate_unused_bindings=True,
  )
  assert built.root.trainer.steps == 3
  assert set(built.unused) == {
    'RATE',
    'heads.Head.size',
    'parts.Root.others',
    'parts.Adam.epsilon',
  }
  assert 'no gin file imports' in built.unused['heads.Head.size']
  assert 'uses RATE' in built.unused['RATE']
  with pytest.raises(errors.ConfigError, match='no parameter stepz'):
    parse(path, 'parts.Trainer.stepz = 3', tolerate_unused_bindings=True)
  with pytest.raises(errors.ConfigError, match='uses STEPZ'):
    parse(write(TRAINER + 'STEPZ = 1\n'), tolerate_unused_bindings=True)


def test_the_root_is_built_inside_the_scope(write):
  path = write(TRAINER)
  assert parse(path, scope=parts.Scope).root.built_in_scope
  assert not parse(path).root.built_in_scope


def test_a_mistake_is_found_before_the_scope_is_made(write):
  def scope():
    raise AssertionError('A cluster would have been waited for.')

  with pytest.raises(errors.ConfigError, match='no parameter stepz'):
    parse(write(TRAINER + 'parts.Trainer.stepz = 1'), scope=scope)


def test_keras_classes_are_built_as_themselves(write, tmp_path):
  import keras
  import tensorflow as tf

  path = write(
    """
from keras import layers
from keras import optimizers
from keras.optimizers import schedules

parts.Root.trainer = @optimizers.SGD()
optimizers.SGD.learning_rate = @schedules.CosineDecay()
schedules.CosineDecay.initial_learning_rate = 0.5
schedules.CosineDecay.decay_steps = 10
parts.Root.others = @keras.Sequential()
keras.Sequential.layers = [@layers.Dense(), @wide/layers.Dense()]
layers.Dense.units = 2
wide/layers.Dense.units = 5
""",
    header=parts.HEADER + 'import keras\n',
  )
  with pytest.raises(errors.ConfigError, match='--allow_import=keras'):
    parse(path)
  trusted = ('tests', 'keras')
  built = parse(path, allow=trusted)
  model, optimizer = built.root.others, built.root.trainer
  assert type(model) is keras.Sequential
  assert type(optimizer) is keras.optimizers.SGD
  assert float(optimizer.learning_rate) == 0.5
  assert model(tf.zeros([1, 3])).shape == (1, 5)
  saved = tf.train.Checkpoint(model=model).save(str(tmp_path / 'ckpt'))
  stored = write(built.config, 'config.gin', header='')
  again = parse(stored, allow=trusted)
  again.root.others(tf.zeros([1, 3]))
  status = tf.train.Checkpoint(model=again.root.others).restore(saved)
  status.assert_existing_objects_matched()
  assert again.config == built.config
  with pytest.raises(errors.ConfigError, match='SGD: .*momentun'):
    parse(path, 'optimizers.SGD.momentun = 0.5', allow=trusted)


@pytest.mark.parametrize(
  ('name', 'sentence'),
  [
    (
      'config.gin',
      'this run was made by a version in which'
      ' deeplab_contrast.training.writers was still deeplab_contrast.writers:'
      ' train it again.',
    ),
    (
      'own.gin',
      'deeplab_contrast.writers is now deeplab_contrast.training.writers;'
      ' correct the import.',
    ),
  ],
)
def test_imports_of_before_the_move_get_one_sentence(tmp_path, name, sentence):
  path = tmp_path / name
  path.write_text(
    'from __gin__ import dynamic_registration\n'
    'from deeplab_contrast import writers\n'
  )
  with pytest.raises(errors.ConfigError) as caught:
    build.parse([str(path)])
  assert str(caught.value) == f'{path}:2: {sentence}'
