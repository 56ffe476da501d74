"""Stand-ins for an experiment and a command, without TensorFlow."""

import dataclasses
import os
from typing import Any

from deeplab_contrast import launch
from deeplab_contrast.utils import errors

ROOT = f'{__package__}.parts.Root'

# What every test file begins with; the last line gives all the names.
HEADER = f"""
from __gin__ import dynamic_registration
from {__package__} import parts
"""

work = os.system  # A detour to something that no gin file may name.


@dataclasses.dataclass(frozen=True)
class Sgd:
  """Stands for an optimizer."""

  rate: float = 0.1
  momentum: float = 0.0


@dataclasses.dataclass(frozen=True)
class Adam:
  """Stands for another optimizer."""

  epsilon: float = 1e-7


@dataclasses.dataclass(frozen=True)
class Trainer:
  """Stands for the trainer; refuses a negative number of steps."""

  steps: int
  optimizer: Any = None
  log_every: int = 10

  def __post_init__(self):
    if self.steps < 0:
      raise ValueError(f'steps is {self.steps};\n  must not be negative.')


class Net:
  """Stands for a network, made by the root."""

  def __init__(self, width=8, *, classes):
    if width == 13:
      raise errors.DataError('no picture is 13 wide')
    self.width, self.classes = width, classes


class Scope:
  """Stands for the scope of a strategy."""

  inside = False

  def __enter__(self):
    Scope.inside = True

  def __exit__(self, *_):
    Scope.inside = False


class Root:
  """Stands for the experiment."""

  def __init__(
    self, trainer=None, model=None, others=(), seed=0, data_dir=None
  ):
    self.trainer = trainer
    self.model = model(classes=3) if model else None
    self.others = others
    self.seed = seed
    self.data_dir = data_dir
    self.built_in_scope = Scope.inside


def main(launched):
  """A command: 'trains' by writing a file, in the ways a run can end."""
  if os.environ.get('FAIL') == 'bug':
    raise KeyError('a bug')
  if os.environ.get('FAIL') == 'data':
    raise errors.DataError('x.png is no image.')
  with launch.prepare_model_dir(launched):
    print(f'seed {launched.experiment.seed}')


if __name__ == '__main__':
  launch.run(main, ROOT, distribute=False)
