"""Where the weights of a new training are from."""

from collections.abc import Mapping
from typing import Any, Protocol

import keras


class Pretrained(Protocol):
  """Gives pretrained weights; see `conversion.pretrained`."""

  def origin(self, model: keras.Model) -> dict[str, str] | None:
    """Says where they are from, without reading them; None without any."""

  def __call__(self, model: keras.Model) -> dict[str, str] | None:
    """Gives them to a built model; returns `origin`."""


def note(trainer: Any, model: keras.Model) -> str:
  """Says it in one line, which begins with 'Weights: '.

  Args:
    trainer: a `Trainer`.
    model: a `DeepLab`.

  Raises:
    ConfigError: there are no such weights for this backbone.
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
