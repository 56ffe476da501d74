"""The account of a conversion, as it is printed."""


def section(title, entries):
  """Lines for some variables; none for none.

  Args:
    title: what becomes of them.
    entries: {name: what there is to say}.

  Returns:
    A list of lines.
  """
  if not entries:
    return []
  width = min(70, max(map(len, entries)))
  return [
    f'{title} ({len(entries)}):',
    *(f'  {name:{width}}  {text}' for name, text in entries.items()),
  ]


def show(*sections):
  """Prints lists of lines."""
  for lines in sections:
    for line in lines:
      print(line)
