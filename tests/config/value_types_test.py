import collections.abc
import dataclasses
import os
from typing import Literal

import pytest

from deeplab_contrast.config import build
from deeplab_contrast.core.network import aspp
from deeplab_contrast.utils import errors
from tests.config import parts

HEADER = f"""
from __gin__ import dynamic_registration
from deeplab_contrast.core.network import aspp
from tests.config import parts
from {__name__.rpartition('.')[0]} import value_types_test
parts.Root.trainer = @value_types_test.Typed()
parts.Root.others = [@aspp.ASPP()]
"""


@dataclasses.dataclass(frozen=True)
class Typed:
  """One parameter of every kind."""

  flag: bool = False
  count: int | None = None
  share: float = 0.5
  name: str = 'x'
  sizes: tuple[float, ...] = (1.0,)
  steps: collections.abc.Sequence[collections.abc.Callable] = ()
  table: dict[str, float] = dataclasses.field(default_factory=dict)
  lists: collections.abc.Mapping[str, str] | None = None
  mode: Literal['a', 'b'] = 'a'
  path: os.PathLike | None = None
  part: aspp.ASPP | None = None


def parse(tmp_path, *bindings):
  path = tmp_path / 'x.gin'
  path.write_text(HEADER + '\n'.join(bindings))
  return build.parse([str(path)], (), parts.ROOT, allow_imports=('tests',))


@pytest.mark.parametrize(
  ('binding', 'sentence'),
  [
    ("flag = 'False'", 'True or False'),
    ('flag = 1', 'True or False'),
    ('flag = None', 'True or False'),
    ("count = 'eight'", 'a whole number or None'),
    ('count = 8.0', 'a whole number or None'),
    ('count = True', 'a whole number or None'),
    ("share = '0.5'", 'a number'),
    ('share = 1e400', 'a number'),
    ('name = 3', 'a string in quotes'),
    ('sizes = 1.0', 'a list, each item a number'),
    ("sizes = (1.0, 'a')", 'a list, each item a number'),
    ("table = 'a'", 'a dict'),
    ("lists = 'a.txt'", 'a dict or None'),
    ('part = 3', r'made by ASPP: @...ASPP\(\) or None'),
  ],
)
def test_a_value_of_the_wrong_type_is_refused(tmp_path, binding, sentence):
  parameter, value = binding.split(' = ')
  with pytest.raises(errors.ConfigError, match=f'it must be {sentence}') as e:
    parse(
      tmp_path,
      f'value_types_test.Typed.{parameter} = %VALUE',
      '',
      f'VALUE = {value}',
    )
  assert 'x.gin:10: value_types_test.Typed.' in str(e.value)


@pytest.mark.parametrize(
  'binding',
  [
    'count = 8',
    'count = None',
    'share = 1',
    'sizes = [1, 0.5]',
    'sizes = (%ONE, 2)',
    'steps = [@parts.Sgd()]',
    "table = {'a': 0.5}",
    "lists = {'train': 'a.txt'}",
    "mode = 'b'",
    "path = 'a'",
    'part = @parts.Sgd()',
  ],
)
def test_one_that_fits_is_taken(tmp_path, binding):
  parse(
    tmp_path,
    f'value_types_test.Typed.{binding}',
    *(['ONE = 1'] if '%ONE' in binding else []),
  )


def test_parameters_of_networks_are_checked(tmp_path):
  wrong = {
    'add_image_level_feature': "'yes'",
    'aspp_convs_filters': 'None',
    'batch_norm_decay': "'a'",
  }
  for parameter, value in wrong.items():
    with pytest.raises(errors.ConfigError, match=f'ASPP.{parameter} is'):
      parse(tmp_path, f'aspp.ASPP.{parameter} = {value}')
  parse(tmp_path, 'aspp.ASPP.atrous_rates = (6, 12)')
  parse(tmp_path, 'aspp.ASPP.image_pooling_stride = [1, 1]')
