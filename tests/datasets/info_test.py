import dataclasses

import pytest

from deeplab_contrast.datasets import info as info_lib
from deeplab_contrast.utils import errors

FIELDS = {
  'name': 'toy',
  'class_names': ('road', 'sky'),
  'colors': ((128, 64, 128), (70, 130, 180)),
}


def test_describes_classes():
  info = info_lib.DatasetInfo(**FIELDS)
  assert info.num_classes == 2
  assert info.ignore_label == 255


def test_lists_from_gin_become_tuples():
  info = info_lib.DatasetInfo(
    'toy', ['road', 'sky'], [[128, 64, 128], [70, 130, 180]]
  )
  assert info == info_lib.DatasetInfo(**FIELDS)
  assert hash(info) == hash(info_lib.DatasetInfo(**FIELDS))


@pytest.mark.parametrize(
  'wrong, sentence',
  [
    ({'class_names': ()}, "'toy' has no class"),
    ({'class_names': ('sky', 'sky')}, r"class names \['sky'\]"),
    ({'colors': ((0, 0, 0),)}, '2 class_names but 1 colors'),
    ({'colors': ((0, 0), (0, 0, 0))}, "class 'road'.*three numbers"),
    ({'colors': ((0, 0, 0), (0, 256, 0))}, "class 'sky'.*three numbers"),
    ({'ignore_label': 254}, 'ignore_label 254, but losses .* 255 only'),
    ({'ignore_label': 0}, 'ignore_label 0, but losses .* 255 only'),
    ({'class_names': ('sky', ' ')}, "' ' as the name of a class"),
    ({'class_names': ('sky', 3)}, '3 as the name of a class'),
  ],
)
def test_contradictions_are_refused_in_a_sentence(wrong, sentence):
  with pytest.raises(errors.ConfigError, match=sentence):
    info_lib.DatasetInfo(**{**FIELDS, **wrong})


def test_a_dataset_must_say_how_it_is_built():
  @dataclasses.dataclass(frozen=True)
  class Unbuilt(info_lib.Dataset):
    info = info_lib.DatasetInfo(**FIELDS)

  with pytest.raises(TypeError, match='builder'):
    Unbuilt()


def test_a_category_for_every_class_or_none():
  made = info_lib.DatasetInfo(**FIELDS, categories=['flat', 'sky'])
  assert made.categories == ('flat', 'sky')
  with pytest.raises(errors.ConfigError, match='2 class_names but 1 categ'):
    info_lib.DatasetInfo(**FIELDS, categories=('flat',))
