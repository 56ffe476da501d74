"""All commands under one name: `deeplab-contrast train --gin_file=...`.

The same as `python -m deeplab_contrast.train --gin_file=...`.
"""

import ast
import difflib
import pathlib
import runpy
import sys
from collections.abc import Sequence

_NAME = 'deeplab-contrast'


def main(arguments: Sequence[str] | None = None) -> int:
  """Runs the command that the first argument names.

  Args:
    arguments: the command line; None takes that of this process.

  Returns:
    0 after printing the help, 2 for an unknown command; a command ends the
    process itself.
  """
  name, *rest = list(sys.argv[1:] if arguments is None else arguments) or ['']
  about = commands()
  if name in about:
    sys.argv = [f'{_NAME} {name}', *rest]
    runpy.run_module(
      f'deeplab_contrast.{name}', run_name='__main__', alter_sys=True
    )
    return 0
  if name in ('', '-h', '--help', 'help'):
    print(_help(about))
    return 0
  close = difflib.get_close_matches(name, about, n=1)
  hint = f'; did you mean {close[0]}?' if close else '.'
  known = ', '.join(about)
  print(
    f'error: unknown command {name!r}{hint} Choose from {known}.',
    file=sys.stderr,
  )
  return 2


def commands() -> dict[str, str]:
  """{name: the first line of its description} of all commands, by name."""
  found = {}
  for path in sorted(pathlib.Path(__file__).parent.glob('*.py')):
    text = path.read_text(encoding='utf-8')
    if path.stem != '__main__' and "\nif __name__ == '__main__':" in text:
      about = ast.get_docstring(ast.parse(text)) or ''
      found[path.stem] = about.partition('\n')[0]
  return found


def _help(about):
  width = max(map(len, about))
  lines = [f'  {name:{width}}  {text}' for name, text in about.items()]
  usage = f'{_NAME} COMMAND [FLAGS]; flags: {_NAME} COMMAND --help'
  return '\n'.join([usage, '', *lines])


if __name__ == '__main__':
  sys.exit(main())
