"""Prints what happens to the variables in a conversion."""

from collections.abc import Mapping, Sequence


def section(title: str, entries: Mapping[str, str]) -> list[str]:
  """Lines about some variables; an empty list if there are none.

  Args:
    title: what happens to them.
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
