"""The source of a new training's weights."""

from collections.abc import Mapping
from typing import Any, Protocol

import keras


class Pretrained(Protocol):
  """Provides pretrained weights; see `conversion.pretrained`."""

  def origin(self, model: keras.Model) -> dict[str, str] | None:
    """Describes their source, without reading them; None if there are none."""

  def __call__(self, model: keras.Model) -> dict[str, str] | None:
    """Loads them into a built model; returns `origin`."""


def note(trainer: Any, model: keras.Model) -> str:
  """Describes the source in one line that starts with 'Weights: '.

  Args:
    trainer: a `Trainer`.
    model: a `DeepLab`.

  Raises:
    ConfigError: the backbone has no such weights.
  """
  start = trainer.warm_start
  if start is not None:
    return f'Weights: {" and ".join(start.parts)} of {start.path}'
  origin = trainer.pretrained and trainer.pretrained.origin(model)
  return f'Weights: {as_text(origin) if origin else "random"}'


def as_text(origin: Mapping[str, str]) -> str:
  """'NAME (package P, licence L, sha256 S)'."""
  first, *rest = origin.items()
  inside = ', '.join(f'{key} {value}' for key, value in rest)
  return f'{first[1]} ({inside})' if inside else first[1]
