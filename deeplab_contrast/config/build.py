"""From gin files and bindings to the object at the root of an experiment.

The only module that runs gin. Everything is checked first, by `gin_text` and
`gin_check`; gin then gets the statements that were checked.
"""

import contextlib
import dataclasses
import importlib
import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import gin
from gin import config_parser

from deeplab_contrast.config import automatic, gin_check, gin_text, value_types
from deeplab_contrast.utils import errors, quiet

EXPERIMENT = 'deeplab_contrast.experiment.Experiment'

_AUGMENTATION = re.compile(r"\n  In call to configurable '(?P<name>\w+)'")
_MISSING = re.compile(
  r'(\w+)(\.__init__)?\(\) missing \d+ required [^:]*: (.*)'
)


@dataclasses.dataclass(frozen=True)
class Built:
  """The result of `parse`.

  Attributes:
    root: the object.
    config: the operative configuration: all bindings and all defaults, as a
      gin file that makes the same object.
    unused: bindings of the command line that the object does not use: {left
      side as written: a sentence that says so}. Empty unless tolerated.
    resolved: the binding that replaces a precision 'auto'; None if there is
      none.
  """

  root: Any
  config: str
  unused: Mapping[str, str]
  resolved: str | None = None


def parse(
  gin_files: Sequence[str],
  bindings: Sequence[str] = (),
  root: str = EXPERIMENT,
  *,
  settings: Mapping[str, Any] | None = None,
  scope: Callable[[], Any] | None = None,
  allow_imports: Sequence[str] = (),
  tolerate_unused_bindings: bool = False,
  not_needed: Sequence[str] = (),
  model_dirs: Sequence[str] = (),
) -> Built:
  """Builds the root object of an experiment; needs no flags.

  A class passed without a call (`@model.DeepLab`) gets its bindings only while
  the root is built; later, gin may have read something else.

  Args:
    gin_files: later ones override earlier ones; see `gin_text.find_file`.
    bindings: gin text that overrides the files, using the names they import.
    root: full name of the class to build.
    settings: flags that are parameters of the root, by name.
    scope: makes the context to build in, such as a strategy's scope; called
      after all checks that can do without it.
    allow_imports: packages that the files may import besides our own.
    tolerate_unused_bindings: returns the unused ones of `bindings` rather than
      refusing them; those of the files are always refused.
    not_needed: macros that may stay unset; they become None.
    model_dirs: see `automatic.resolve`.

  Returns:
    The object, its configuration, and the unused bindings.

  Raises:
    ConfigError: anything is misspelt, missing, unused, refused by a
      constructor, or not allowed; the message names the place.
  """
  allowed = (*gin_text.ALLOWED_PACKAGES, *allow_imports)
  source, foreign = _read(gin_files, bindings, allowed)
  if not tolerate_unused_bindings:
    source.bindings += foreign  # The check of names refuses them.
  given = list(source.bindings)
  source.bindings = gin_check.fill_holes(given, not_needed)
  gin_check.check_macros(source.bindings)
  root_class = _import_root(root)
  known, _ = gin_check.parameters(root_class)
  source.bindings.extend(
    binding
    for binding in _settings(settings or {}, root)
    if binding.parameter in known or not tolerate_unused_bindings
  )
  with quiet.no_stderr():  # The check imports the modules.
    gin_check.check_names(source, (*allowed, root.rpartition('.')[0]))
  value_types.check(given)  # Not `source`, in which unset macros are None.
  source.bindings, resolved = automatic.resolve(source.bindings, model_dirs)
  with scope() if scope else contextlib.nullcontext():
    built, config = _run(source, root_class)
  unused = {b.name: gin_check.foreign_sentence(b) for b in foreign}
  unused |= _unused(source.bindings, config, tolerate_unused_bindings)
  return Built(built, config, unused, resolved)


def _read(gin_files, texts, allowed):
  """Reads files and, on top, the bindings of the command line.

  Returns:
    The source, and the bindings that need names which no file imports.
  """
  source = gin_text.Source()
  foreign: list[gin_text.Binding] = []
  for name in gin_files:
    source.extend(gin_text.read_file(name, allowed))
  names = source.names
  for text in texts:
    for binding in gin_text.read_flag(text, 'gin_bindings', names).bindings:
      is_foreign = gin_check.is_foreign(binding)
      (foreign if is_foreign else source.bindings).append(binding)
  return source, foreign


def _import_root(root):
  module, _, name = root.rpartition('.')
  with quiet.no_stderr():
    return getattr(importlib.import_module(module), name)


def _settings(settings, root):
  """Bindings of the root's parameters that flags ask for."""
  module, _, name = root.rpartition('.')
  nowhere = config_parser.Location(None, 0, None, '')
  statement = gin_text.Import(module, '.' in module, None, nowhere)
  imports = {statement.bound_name(): statement}
  selector = f'{statement.bound_name()}.{name}'
  return [
    gin_text.Binding(
      gin_text.Place(f'--{parameter}'), imports, '', selector, parameter, value
    )
    for parameter, value in settings.items()
  ]


def _run(source, root_class):
  """Lets gin read checked statements and build the root.

  Returns:
    The root object and the text of the operative configuration.
  """
  gin.clear_config()
  with _one_sentence(source.bindings):
    _register(root_class)
    # Names depend on the file: bindings of one file get its imports.
    for _, group in itertools.groupby(source.bindings, lambda b: id(b.imports)):
      gin.parse_config(_as_file(list(group)))
    gin.finalize()
    return gin.get_configurable(root_class)(), gin.operative_config_str()


def _register(cls):
  """Registers a class with gin, even if no file names it."""
  try:
    gin.get_configurable(cls)
  except ValueError:
    gin.register(cls)


def _as_file(bindings):
  lines = ['from __gin__ import dynamic_registration']
  lines += [statement.format() for statement in bindings[0].imports.values()]
  return '\n'.join(lines + [binding.text for binding in bindings])


def _unused(bindings, config, is_tolerant):
  """Refuses bindings without effect, or returns those of the command line."""
  operative = gin_text.read_text(config, 'config.gin', allowed=None).bindings
  result = {}
  for binding in gin_check.unused(bindings, operative):
    sentence = gin_check.unused_sentence(binding, operative)
    if not is_tolerant or binding.place.line is not None:
      gin_text.fail(binding.place, sentence)
    result[binding.name] = f'{binding.place}: {sentence}'
  return result


@contextlib.contextmanager
def _one_sentence(bindings):
  """Turns errors of constructors into a ConfigError."""
  try:
    yield
  except (TypeError, ValueError, SyntaxError, errors.UserError) as error:
    # Gin raises a proxy whose class has the name of the original's.
    kind = getattr(errors, type(error).__name__, errors.ConfigError)
    raise kind(_explain(str(error), bindings)) from error


def _explain(text, bindings):
  """Shortens gin's error to one sentence: which call failed, and why."""
  call = _AUGMENTATION.search(text)
  if call is None:
    return ' '.join(text.split())
  name, message = call['name'], text[: call.start()]
  missing = _MISSING.match(message)
  if missing and missing[1] == name:
    return f'nothing binds {missing[3]}, which {name} needs.'
  message = ' '.join(message.split())
  blamed = [
    f'{_place(b, bindings)}: '
    for b in bindings
    if b.selector.rpartition('.')[2] == name
    and re.search(rf'\b{b.parameter}\b', message)
  ]
  return f'{"".join(blamed[-1:])}{name}: {message}'


def _place(binding, bindings):
  """Where the user wrote a value, following macros."""
  if isinstance(binding.value, gin_text.Macro):
    for other in reversed(bindings):
      if not other.selector and other.parameter == binding.value.name:
        return _place(other, bindings)
  return binding.place
