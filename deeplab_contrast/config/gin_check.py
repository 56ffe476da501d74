"""Finds what is wrong with bindings, and reports it in a sentence.

The first checks need only the text; names are checked once the modules are
imported, and unused bindings are known once the root object is built.
"""

import dataclasses
import inspect
import sys
from collections.abc import Callable, Iterable
from typing import Any

from deeplab_contrast.config import gin_modules, gin_text

# Gin finds its constants by any part of their name.
_REQUIRED = ('gin.REQUIRED', 'REQUIRED')


def check_macros(bindings: list[gin_text.Binding]) -> None:
  """Refuses undefined, circular and unset macros, and unset parameters.

  Args:
    bindings: all that were made; %gin.REQUIRED marks an unset value.

  Raises:
    ConfigError: names the place and, of an unknown macro, the nearest one.
  """
  known = {b.parameter: b for b in bindings if not b.selector}
  for binding in final(bindings):
    if _leads_to_itself(binding, known):
      gin_text.fail(
        binding.place, f'{binding.name} is defined in terms of itself'
      )
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
  """Sets macros that have no value (%gin.REQUIRED) to None.

  Args:
    bindings: all that were made.
    macros: names of those that will not be used.
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


def check_names(source: gin_text.Source, allowed: Iterable[str]) -> None:
  """Imports the modules of a source and refuses names that they don't have.

  Raises:
    ConfigError: an unknown module, class, function or parameter, or one
      outside the packages `allowed`.
  """
  for statement, place in source.imports:
    gin_modules.load(statement, place)
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
  """Says that no gin file imports what a binding needs."""
  return f'{binding.place}: no gin file imports what {binding.name} needs'


def resolve(binding: gin_text.Binding, selector: str) -> Any:
  """Returns the class or function that a selector refers to in its file.

  Raises:
    ConfigError: the name does not exist.
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
    gin_text.fail(binding.place, f'{selector} is not a class or function')
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
    key: bindings with the same key bind the same thing; by default their text
      is compared.
  """
  last = {(key or _text_key)(binding): binding for binding in bindings}
  return list(last.values())


def unused(
  bindings: list[gin_text.Binding], operative: list[gin_text.Binding]
) -> list[gin_text.Binding]:
  """Returns the bindings that were not used.

  A binding in a file does not count if it is unused only because a later
  binding replaced the one that referred to it: an experiment may include
  another one and replace, say, the optimizer. Those from flags always count.

  Args:
    bindings: all that were made, their names checked.
    operative: those of gin's operative configuration.
  """
  scopes: dict[Any, list[str]] = {}
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
  """Says that nothing uses a binding, and suggests a similar one."""
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
  """The function that takes the arguments of a target, as gin looks it up."""
  if not inspect.isclass(target):
    return target
  for base in inspect.getmro(target):
    for name in ('__init__', '__new__'):
      if name in vars(base):
        return getattr(base, name)
  return target.__init__


def _check_origin(binding, selector, target, allowed):
  """Refuses detours to forbidden modules, such as @trainer.os.system()."""
  module = getattr(target, '__module__', None) or ''
  if not gin_text.is_allowed(module, allowed):
    gin_text.fail(
      binding.place,
      f'{selector} belongs to {module or "no module"}, which a gin file may not'
      ' use',
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
  """What overridden bindings refer to, directly or not."""
  last = {id(binding) for binding in final(bindings, _object_key)}
  by_owner: dict[Any, list[gin_text.Binding]] = {}
  for binding in bindings:
    by_owner.setdefault(_owner(binding), []).append(binding)
  reached: set[Any] = set()
  waiting = [binding for binding in bindings if id(binding) not in last]
  while waiting:
    for owner in _named_by(waiting.pop()) - reached:
      reached.add(owner)
      waiting.extend(by_owner.get(owner, ()))
  return reached


def _named_by(binding):
  """The owners that a binding's value refers to."""
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


def _leads_to_itself(binding, macros):
  """Whether a macro's value refers back to it."""
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
  """Whether a binding applies to what was built in a scope."""
  return not binding.scope or f'{scope}/'.startswith(f'{binding.scope}/')
