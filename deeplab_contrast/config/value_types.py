"""Refuses values whose type does not fit the parameter they are bound to.

Python would accept most of them: the text 'False' is true.
"""

import collections.abc
import math
import types
import typing
from typing import Any

from deeplab_contrast.config import gin_check, gin_text

_WORDS = {
  bool: 'True or False',
  int: 'a whole number',
  float: 'a number',
  str: 'a string in quotes',
  dict: 'a dict',
  collections.abc.Mapping: 'a dict',
  types.NoneType: 'None',
}
_LISTS = (tuple, list, collections.abc.Sequence)
_UNIONS = (typing.Union, types.UnionType)


def check(bindings: list[gin_text.Binding]) -> None:
  """Refuses values that do not fit the parameter's annotation.

  Args:
    bindings: all that were made, their names checked.

  Raises:
    ConfigError: names the place, the parameter, and the type it takes.
  """
  macros = {b.parameter: b for b in bindings if not b.selector}
  for binding in gin_check.final(bindings):
    if not binding.selector:
      continue
    wanted = _wanted(gin_check.resolve(binding, binding.selector), binding)
    origin = binding
    while isinstance(origin.value, gin_text.Macro) and (
      origin.value.name in macros
    ):
      origin = macros[origin.value.name]
    if not _fits(origin.value, wanted):
      gin_text.fail(
        origin.place,
        f'{binding.name} is {origin.value!r}; it must be {_words(wanted)}',
      )


def _wanted(target, binding):
  """The type of a parameter; `Any` if unknown."""
  try:
    hints = typing.get_type_hints(gin_check.called(target))
  except (NameError, TypeError):
    return Any
  return hints.get(binding.parameter, Any)


def _is_ours(thing):
  module = getattr(thing, '__module__', None) or ''
  return module.startswith('deeplab_contrast.')


def _fits(value, wanted):
  """Whether a literal has a type; objects that gin makes later always do."""
  origin, parts = typing.get_origin(wanted), typing.get_args(wanted)
  if isinstance(value, gin_text.Macro | gin_text.Reference):
    return True
  if origin in _UNIONS:
    return any(_fits(value, part) for part in parts)
  if wanted in _LISTS or origin in _LISTS:
    kinds = [part for part in parts if part is not ...] or [Any]
    return isinstance(value, list | tuple) and all(
      any(_fits(item, kind) for kind in kinds) for item in value
    )
  if wanted is float:
    return type(value) in (int, float) and math.isfinite(value)
  kind = origin or wanted
  if kind is collections.abc.Mapping:
    return isinstance(value, dict)
  # A literal is never one of our objects; other types are not checked.
  return type(value) is kind if kind in _WORDS else not _is_ours(kind)


def _words(wanted):
  origin, parts = typing.get_origin(wanted), typing.get_args(wanted)
  if origin in _UNIONS:
    return ' or '.join(map(_words, parts))
  if wanted in _LISTS or origin in _LISTS:
    return f'a list, each item {_words(parts[0])}' if parts else 'a list'
  name = getattr(origin or wanted, '__name__', str(wanted))
  return _WORDS.get(origin or wanted, f'made by {name}: @...{name}()')
