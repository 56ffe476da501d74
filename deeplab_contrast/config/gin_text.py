"""Reads gin files without running them: their bindings and imports.

Gin imports modules and makes references while it parses. This reader does
neither, so a file can be refused before any of it is executed, and every
error can be reported with its file and line. `build` hands to gin exactly the
statements read here, so what was checked is what runs.
"""

import dataclasses
import difflib
import os
import pathlib
import re
import tokenize
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple, NoReturn, TypeAlias

from gin import config_parser

from deeplab_contrast.utils import errors, shipped

# A gin file runs code: it imports modules and calls what they define. Of Keras
# only what training needs is allowed; nothing that reads or writes files.
ALLOWED_PACKAGES = (
  'deeplab_contrast',
  'keras.initializers',
  'keras.layers',
  'keras.losses',
  'keras.optimizers',
  'keras.regularizers',
)

OURS = str(shipped.home())
SEARCH_PATH = ('', OURS, os.path.join(OURS, 'gin_configs'))

# Of a message; what it quotes may be far longer.
_MOST_LETTERS = 2000

_DYNAMIC_REGISTRATION = '__gin__.dynamic_registration'

Import: TypeAlias = config_parser.ImportStatement


class Place(NamedTuple):
  """Where a statement is: a file and line, or a flag (line is None)."""

  file: str
  line: int | None = None

  def __str__(self):
    return self.file if self.line is None else f'{self.file}:{self.line}'


_GIN_FILE_FLAG = Place('--gin_file')


@dataclasses.dataclass(frozen=True, repr=False)
class Reference:
  """`@scope/selector`, or `@scope/selector()` if it is to be called."""

  scope: str
  selector: str
  is_called: bool

  def __repr__(self):
    scope = f'{self.scope}/' if self.scope else ''
    return f'@{scope}{self.selector}' + ('()' if self.is_called else '')


@dataclasses.dataclass(frozen=True, repr=False)
class Macro:
  """`%name`."""

  name: str

  def __repr__(self):
    return f'%{self.name}'


@dataclasses.dataclass(frozen=True)
class Binding:
  """One `scope/selector.parameter = value`, or one `MACRO = value`.

  Attributes:
    place: where it is.
    imports: {first word of a selector: its import} in that file.
    scope: '' if there is none.
    selector: the class or function as written; '' for a macro.
    parameter: the name of the parameter, or of the macro.
    value: a Python literal, with References and Macros in it.
  """

  place: Place
  imports: dict[str, Import]
  scope: str
  selector: str
  parameter: str
  value: Any

  @property
  def name(self) -> str:
    """The left side, as written."""
    if not self.selector:
      return self.parameter
    scope = f'{self.scope}/' if self.scope else ''
    return f'{scope}{self.selector}.{self.parameter}'

  @property
  def text(self) -> str:
    """The statement, as gin reads it."""
    return f'{self.name} = {self.value!r}'


@dataclasses.dataclass
class Source:
  """All statements of some gin files, in order."""

  bindings: list[Binding] = dataclasses.field(default_factory=list)
  imports: list[tuple[Import, Place]] = dataclasses.field(default_factory=list)

  @property
  def names(self) -> dict[str, Import]:
    """{first word of a selector: its import}, over all files."""
    return {statement.bound_name(): statement for statement, _ in self.imports}

  def extend(self, other: 'Source') -> None:
    """Adds another source, which overrides this one."""
    self.bindings.extend(other.bindings)
    self.imports.extend(other.imports)


def fail(place: Place, sentence: str) -> NoReturn:
  """Raises a ConfigError: the place and the sentence."""
  end = '' if sentence.endswith('?') else '.'
  # What it quotes may have several lines.
  text = re.sub(r'\s*\n\s*', ' ', f'{place}: {sentence}{end}')
  if len(text) > _MOST_LETTERS:  # It quotes a very long value.
    half = _MOST_LETTERS // 2
    text = f'{text[:half]} ... {text[-half:]}'
  raise errors.ConfigError(text)


def nearest(name: str, known: Iterable[str]) -> str:
  """'; did you mean x?' with the closest known name, or ''."""
  close = difflib.get_close_matches(name, list(known), n=1)
  return f'; did you mean {close[0]}?' if close else ''


def leaves(value: Any) -> Iterator[Any]:
  """Yields the leaves of nested lists, tuples and dicts (keys too)."""
  if isinstance(value, dict):
    value = [*value.keys(), *value.values()]
  if isinstance(value, (list, tuple)):
    for item in value:
      yield from leaves(item)
  else:
    yield value


def transform(value: Any, leaf: Callable[[Any], Any]) -> Any:
  """Returns `value` with `leaf(x)` for every leaf x."""
  if isinstance(value, dict):
    return {transform(k, leaf): transform(v, leaf) for k, v in value.items()}
  if isinstance(value, (list, tuple)):
    return type(value)(transform(item, leaf) for item in value)
  return leaf(value)


def full_name(selector: str, imports: dict[str, Import]) -> str:
  """The selector with its package: optimizers.SGD -> keras.optimizers.SGD."""
  head, _, rest = selector.partition('.')
  statement = imports.get(head)
  if statement is None or not (statement.is_from or statement.alias):
    return selector
  return f'{statement.module}.{rest}'


def find_file(name: str, place: Place = _GIN_FILE_FLAG) -> str:
  """Finds a gin file here or a shipped one, with or without `gin_configs/`."""
  for folder in SEARCH_PATH:
    path = os.path.join(folder, name)
    if os.path.isfile(path):
      return path
  searched = ', '.join(folder or os.getcwd() for folder in SEARCH_PATH)
  fail(
    place,
    f'found no gin file {name} in {searched}{nearest(name, _gin_files())}',
  )


def read_file(
  name: str,
  allowed: Iterable[str] | None = ALLOWED_PACKAGES,
  place: Place = _GIN_FILE_FLAG,
  parents: tuple[str, ...] = (),
) -> Source:
  """Reads a gin file and the files it includes.

  Args:
    name: path of the file, looked for by `find_file`.
    allowed: packages it may import; None for any, if it will not be run.
    place: the statement or flag that names the file.
    parents: the files that include it.

  Returns:
    Their statements.

  Raises:
    ConfigError: a file is missing, is not gin, includes itself, or has an
      import that is not allowed.
  """
  if not name.endswith('.gin'):
    fail(place, f'{name} is not a gin file: its name does not end in .gin')
  path = os.path.realpath(find_file(name, place))
  if path in parents:
    fail(place, f'{name} includes itself')
  try:
    text = pathlib.Path(path).read_text(encoding='utf-8')
  except (OSError, UnicodeDecodeError) as error:
    fail(place, f'cannot read {name} as a text file ({error})')
  return read_text(text, name, allowed, (*parents, path))


def read_text(
  text: str,
  file: str,
  allowed: Iterable[str] | None = ALLOWED_PACKAGES,
  parents: tuple[str, ...] = (),
) -> Source:
  """Reads the text of a gin file; see `read_file`."""
  source, has_dynamic_registration = Source(), False
  imports: dict[str, Import] = {}
  for statement in _statements(text, lambda line: Place(file, line)):
    place = Place(file, statement.location.line_num)
    if isinstance(statement, config_parser.IncludeStatement):
      source.extend(read_file(statement.filename, allowed, place, parents))
    elif isinstance(statement, config_parser.BindingStatement):
      source.bindings.append(_binding(statement, place, imports))
    elif isinstance(statement, config_parser.ImportStatement):
      if statement.module == _DYNAMIC_REGISTRATION:
        has_dynamic_registration = True
      else:
        _check_import(statement, place, allowed)
        source.imports.append((statement, place))
        imports[statement.bound_name()] = statement
  if imports and not has_dynamic_registration:
    fail(
      Place(file),
      'a gin file with imports needs the line'
      ' "from __gin__ import dynamic_registration" above them',
    )
  return source


def read_flag(text: str, flag: str, imports: dict[str, Import]) -> Source:
  """Reads the bindings of a flag, which use the imports of the files."""
  place = Place(f'--{flag}="{text.strip()}"')
  source = Source()
  for statement in _statements(text, lambda _: place):
    if isinstance(statement, config_parser.BindingStatement):
      source.bindings.append(_binding(statement, place, imports))
    elif not isinstance(statement, config_parser.BlockDeclaration):
      fail(place, 'imports and includes belong in a gin file')
  return source


class _Delegate(config_parser.ParserDelegate):
  """Makes the leaves of values that are not Python literals."""

  def configurable_reference(self, scoped_configurable_name, evaluate):
    scope, _, selector = scoped_configurable_name.rpartition('/')
    return Reference(scope, selector, evaluate)

  def macro(self, macro_name):
    return Macro(macro_name)


def _statements(text, place_of_line):
  """Parses `text` into gin's statements; reports where it is not gin."""
  try:
    return list(config_parser.ConfigParser(text, _Delegate()))
  except tokenize.TokenError as error:
    message, (line, _) = error.args
    fail(place_of_line(line), f'not gin ({message})')
  except SyntaxError as error:
    fail(place_of_line(error.lineno), _syntax_sentence(error))
  except (RecursionError, MemoryError):
    fail(place_of_line(None), 'too many brackets inside of each other')
  except ValueError as error:  # Such as a number of too many digits.
    fail(place_of_line(None), f'not gin ({error})')


def _syntax_sentence(error):
  _, is_value, token = error.msg.partition('Failed to parse token ')
  if is_value:
    return (
      f'{token} is not a value; a string needs quotes, a class or function @,'
      ' a macro %'
    )
  return f'not gin ({error.msg.rstrip(".")}): {(error.text or "").strip()}'


def _binding(statement, place, imports):
  scope, selector, parameter = statement[:3]
  if not parameter:  # MACRO = value, or some/MACRO = value.
    name = f'{scope}/{selector}' if scope else selector
    scope, selector, parameter = '', '', name
  return Binding(place, imports, scope, selector, parameter, statement.value)


def _check_import(statement, place, allowed):
  if allowed is None or is_allowed(statement.module, allowed):
    return
  fail(
    place,
    f'will not import {statement.module}; a gin file runs code, and may import'
    f' only {", ".join(allowed)}; if you trust the file, add'
    f' --allow_import={statement.module.partition(".")[0]}',
  )


def is_allowed(module: str, allowed: Iterable[str]) -> bool:
  """Whether a module is one of some packages, or inside one."""
  # Where Keras keeps what its public modules offer.
  module = module.replace('keras.src.', 'keras.', 1)
  return any(f'{module}.'.startswith(f'{package}.') for package in allowed)


def _gin_files():
  """The shipped gin files, as a user may name them."""
  folder = pathlib.Path(OURS, 'gin_configs')
  for path in folder.rglob('*.gin'):
    yield path.relative_to(folder).as_posix()
    yield path.relative_to(OURS).as_posix()
