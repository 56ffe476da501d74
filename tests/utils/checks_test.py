import pytest
import tensorflow as tf

from deeplab_contrast.utils import checks, errors


@pytest.mark.parametrize(
  ('value', 'least', 'sentence'),
  [
    (0, 1, 'x is 0; it must be a whole number > 0.'),
    ('8', 1, "x is '8'; it must be a whole number > 0."),
    (True, 1, 'x is True'),
    (1.0, 0, 'x is 1.0; it must be a whole number, at least 0.'),
    (-1, 0, 'x is -1'),
  ],
)
def test_whole(value, least, sentence):
  with pytest.raises(ValueError) as error:
    checks.whole({'good': 3, 'x': value}, least)
  assert str(error.value).startswith(sentence)
  checks.whole({'x': least}, least)


@pytest.mark.parametrize('value', [-1e-9, float('nan'), 'high', None])
def test_not_negative(value):
  with pytest.raises(ValueError, match='x is .*; it must be a number >= 0'):
    checks.not_negative({'x': value})
  checks.not_negative({'x': 0, 'y': 0.5})


def test_learning_rates():
  checks.learning_rates(lambda step: 0.1 * step, (0, 9))
  with pytest.raises(ValueError, match='The learning rate is -0.5'):
    checks.learning_rates(lambda step: 4 - 0.5 * step, (0, 9))
  with pytest.raises(ValueError, match='is not a number'):
    checks.learning_rates(lambda step: float('high'), (0,))
  with pytest.raises(ValueError, match='is not a number'):
    checks.learning_rates(lambda step: tf.cast('high', tf.float32), (0,))


def test_place():
  checks.place('/runs/a (1)/b,c=0.1')
  with pytest.raises(errors.ConfigError, match=r'--out=a\[1\] contains \['):
    checks.place('a[1]', '--out')


def test_divides():
  checks.divides(8, 4)
  with pytest.raises(errors.ConfigError, match='8 is not divisible by the 3'):
    checks.divides(8, 3)


def test_room_is_that_of_the_nearest_folder(tmp_path):
  folder = str(tmp_path / 'not' / 'there')
  checks.room(folder, 1.0, 'a needs', 'b')
  sentence = f'{tmp_path} has .* free, but a needs some 1.*00 GB: .* or b.'
  with pytest.raises(errors.SystemFault, match=sentence):
    checks.room(folder, 1e18, 'a needs', 'b')
