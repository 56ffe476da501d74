"""Prints what becomes of the variables in a conversion."""

from collections.abc import Mapping, Sequence


def section(title: str, entries: Mapping[str, str]) -> list[str]:
  """Lines on some variables; an empty list without variables.

  Args:
    title: what becomes of them.
    entries: {name: remark}.
  """
  if not entries:
    return []
  width = min(70, max(map(len, entries)))
  return [
    f'{title} ({len(entries)}):',
    *(f'  {name:{width}}  {text}' for name, text in entries.items()),
  ]


def show(*sections: Sequence[str]) -> None:
  """Prints lists of lines."""
  for lines in sections:
    for line in lines:
      print(line)
