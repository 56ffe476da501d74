"""Finds what is wrong with bindings, and says it in a sentence.

The first checks need the text only; the names are checked once the modules are
imported, and what nothing used is known once the root object is built.
"""

import dataclasses
import importlib
import inspect
import pkgutil
import sys
from collections.abc import Callable, Iterable
from typing import Any

from deeplab_contrast.config import gin_text

# Gin finds its constants by any part of their name.
_REQUIRED = ('gin.REQUIRED', 'REQUIRED')


def check_macros(bindings: list[gin_text.Binding]):
  """Refuses macros nobody defines, or that stand for themselves, and holes.

  Args:
    bindings: all that were made; a hole is a %gin.REQUIRED left open.

  Raises:
    ConfigError: names the place and, of an unknown macro, the nearest one.
  """
  known = {b.parameter: b for b in bindings if not b.selector}
  for binding in final(bindings):
    if _stands_for_itself(binding, known):
      gin_text.fail(binding.place, f'{binding.name} stands for itself')
    for leaf in gin_text.leaves(binding.value):
      if not isinstance(leaf, gin_text.Macro) or leaf.name in known:
        continue
      if leaf.name not in _REQUIRED:
        close = gin_text.nearest(leaf.name, known)
        gin_text.fail(binding.place, f'nothing defines the macro {leaf}{close}')
      gin_text.fail(
        binding.place,
        f'{binding.name} is required; give it in a later gin file or with'
        f' --gin_bindings="{binding.name} = ..."',
      )


def fill_holes(
  bindings: list[gin_text.Binding], macros: Iterable[str]
) -> list[gin_text.Binding]:
  """Lets macros that were left open (%gin.REQUIRED) be None.

  Args:
    bindings: all that were made.
    macros: the names of those that nobody is going to use.
  """

  def is_hole(binding):
    value = binding.value
    return (
      not binding.selector
      and binding.parameter in macros
      and isinstance(value, gin_text.Macro)
      and value.name in _REQUIRED
    )

  return [
    dataclasses.replace(binding, value=None) if is_hole(binding) else binding
    for binding in bindings
  ]


def check_names(source: gin_text.Source, allowed: Iterable[str]):
  """Imports the modules of a source and refuses names that they don't have.

  Raises:
    ConfigError: an unknown module, class, function or parameter, or one that
      lives outside the packages `allowed`.
  """
  for statement, place in source.imports:
    _import(statement, place)
  for binding in source.bindings:
    if binding.selector:
      _check_parameter(binding, resolve(binding, binding.selector))
    for reference in references(binding):
      target = resolve(binding, reference.selector)
      _check_origin(binding, reference.selector, target, allowed)


def is_foreign(binding: gin_text.Binding) -> bool:
  """Whether a binding needs a name that its file does not import."""
  selectors = [reference.selector for reference in references(binding)]
  heads = {s.partition('.')[0] for s in (binding.selector, *selectors) if s}
  return not heads <= set(binding.imports)


def foreign_sentence(binding: gin_text.Binding) -> str:
  """Says that the gin files do not import what a binding names."""
  return f'{binding.place}: no gin file imports what {binding.name} needs'


def resolve(binding: gin_text.Binding, selector: str) -> Any:
  """Returns the class or function that a selector means in a binding's file.

  Raises:
    ConfigError: no such name.
  """
  head, *path = selector.split('.')
  if head not in binding.imports:
    close = gin_text.nearest(head, binding.imports)
    gin_text.fail(binding.place, f'nothing imports {head}{close}')
  statement = binding.imports[head]
  whole = statement.is_from or statement.alias
  value = sys.modules[statement.module if whole else head]
  for name in path:
    if not hasattr(value, name):
      owner = getattr(value, '__name__', head)
      known = [n for n in dir(value) if not n.startswith('_')]
      close = gin_text.nearest(name, known)
      gin_text.fail(binding.place, f'{owner} has no {name}{close}')
    value = getattr(value, name)
  if not (inspect.isclass(value) or inspect.isroutine(value)):
    gin_text.fail(binding.place, f'{selector} is no class or function')
  return value


def references(binding: gin_text.Binding) -> list[gin_text.Reference]:
  """The `@` references of a binding's value."""
  leaves = gin_text.leaves(binding.value)
  return [leaf for leaf in leaves if isinstance(leaf, gin_text.Reference)]


def final(
  bindings: list[gin_text.Binding], key: Callable[..., Any] | None = None
) -> list[gin_text.Binding]:
  """The bindings that no later one overrides.

  Args:
    bindings: in the order in which they are made.
    key: two bindings with one key bind the same thing; by default that is
      judged by their text.
  """
  last = {(key or _text_key)(binding): binding for binding in bindings}
  return list(last.values())


def unused(
  bindings: list[gin_text.Binding], operative: list[gin_text.Binding]
) -> list[gin_text.Binding]:
  """Returns the bindings that had no part in what was built.

  Bindings of files that became idle because a later binding took the place of
  the one that named them are left out: an experiment may include another one
  and exchange, say, the optimizer. Bindings of flags are never excused.

  Args:
    bindings: all that were made, their names checked.
    operative: those of gin's operative configuration.
  """
  scopes = {}
  for binding in operative:
    scopes.setdefault(_target(binding), []).append(binding.scope)
  idle = [
    binding
    for binding in final(bindings, _object_key)
    if not any(_reaches(binding, s) for s in scopes.get(_target(binding), ()))
  ]
  built = {_owner(binding) for binding in operative}
  excused = _displaced(bindings) - built
  return [
    binding
    for binding in idle
    if binding.place.line is None or _owner(binding) not in excused
  ]


def unused_sentence(
  binding: gin_text.Binding, operative: list[gin_text.Binding]
) -> str:
  """Says that nothing uses a binding, and what may have been meant."""
  is_macro = not binding.selector
  known = [b.name for b in operative if (not b.selector) == is_macro]
  close = gin_text.nearest(binding.name, known)
  return f'nothing that was built uses {binding.name}{close}'


def parameters(target: Any) -> tuple[list[str], bool]:
  """Returns a callable's parameters by name, and whether it takes others."""
  try:
    found = list(inspect.signature(called(target)).parameters.values())
  except ValueError:  # Built in, without a signature.
    return [], True
  if inspect.isclass(target):
    found = found[1:]  # self
  kinds = inspect.Parameter
  named = (kinds.POSITIONAL_OR_KEYWORD, kinds.KEYWORD_ONLY)
  is_open = any(p.kind == kinds.VAR_KEYWORD for p in found)
  return [p.name for p in found if p.kind in named], is_open


def called(target: Any) -> Any:
  """What takes the arguments of a class or function: as gin looks for it."""
  if not inspect.isclass(target):
    return target
  for base in inspect.getmro(target):
    for name in ('__init__', '__new__'):
      if name in vars(base):
        return getattr(base, name)
  return target.__init__


def _import(statement, place):
  try:
    importlib.import_module(statement.module)
  except ModuleNotFoundError as error:
    missing = error.name or ''
    if not f'{statement.module}.'.startswith(f'{missing}.'):
      raise  # The module is there; something that it imports is not.
    parent, _, name = missing.rpartition('.')
    gin_text.fail(place, _unknown_module(parent, name))


def _unknown_module(parent, name):
  if not parent:
    return (
      f'there is no package {name}; install it, or give its folder in'
      ' PYTHONPATH'
    )
  module = sys.modules[parent]
  if hasattr(module, name):
    return (
      f'{parent}.{name} is no module; import {parent} and write the rest'
      ' where it is used'
    )
  known = [
    m.name for m in pkgutil.iter_modules(getattr(module, '__path__', []))
  ]
  return f'{parent} has no module {name}{gin_text.nearest(name, known)}'


def _check_origin(binding, selector, target, allowed):
  """Stops detours to what may not be imported, such as @trainer.os.system()."""
  module = getattr(target, '__module__', None) or ''
  if not gin_text.is_allowed(module, allowed):
    gin_text.fail(
      binding.place,
      f'{selector} belongs to {module or "no module"}, which a gin file may not'
      ' name',
    )


def _check_parameter(binding, target):
  known, is_open = parameters(target)
  if binding.parameter not in known and not is_open:
    close = gin_text.nearest(binding.parameter, known)
    gin_text.fail(
      binding.place,
      f'{binding.selector} has no parameter {binding.parameter}{close}',
    )


def _displaced(bindings):
  """What only bindings that were overridden lead to, directly or not."""
  last = {id(binding) for binding in final(bindings, _object_key)}
  by_owner = {}
  for binding in bindings:
    by_owner.setdefault(_owner(binding), []).append(binding)
  reached = set()
  waiting = [binding for binding in bindings if id(binding) not in last]
  while waiting:
    for owner in _named_by(waiting.pop()) - reached:
      reached.add(owner)
      waiting.extend(by_owner.get(owner, ()))
  return reached


def _named_by(binding):
  """The owners that a binding's value names."""
  leaves = gin_text.leaves(binding.value)
  macros = {leaf.name for leaf in leaves if isinstance(leaf, gin_text.Macro)}
  return macros | {resolve(binding, r.selector) for r in references(binding)}


def _owner(binding):
  """The class or function a binding configures; a macro's own name."""
  if not binding.selector:
    return binding.parameter
  return resolve(binding, binding.selector)


def _target(binding):
  return _owner(binding), binding.parameter


def _stands_for_itself(binding, macros):
  """Whether a macro's value leads back to it."""
  waiting, seen = [binding], set()
  while waiting:
    for leaf in gin_text.leaves(waiting.pop().value):
      if isinstance(leaf, gin_text.Macro) and leaf.name in macros:
        if macros[leaf.name] is binding:
          return True
        if leaf.name not in seen:
          seen.add(leaf.name)
          waiting.append(macros[leaf.name])
  return False


def _object_key(binding):
  return *_target(binding), binding.scope


def _text_key(binding):
  selector = gin_text.full_name(binding.selector, binding.imports)
  return selector, binding.parameter, binding.scope


def _reaches(binding, scope):
  """Whether a binding holds for what was built in a scope."""
  return not binding.scope or f'{scope}/'.startswith(f'{binding.scope}/')
