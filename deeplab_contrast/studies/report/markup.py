"""Small pieces of HTML; all text is escaped here and nowhere else."""

import base64
import html
from collections.abc import Iterable, Sequence

from deeplab_contrast.studies.report import style

# Plain text or a number, or (text, small text).
Cell = str | int | tuple[str, str]

# The browser itself then refuses scripts, fonts and anything from elsewhere.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"

_STYLE = """
:root { color-scheme: light; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 70rem; padding: 1rem 1rem 4rem;
  color: #1a1a1a; background: #fff; line-height: 1.5;
  font-family: system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans',
  sans-serif; font-size: 1rem; overflow-wrap: break-word; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 1rem 0 .5rem; }
h2 { font-size: 1.25rem; margin: 2.5rem 0 .75rem; padding-top: .75rem;
  border-top: 1px solid #d0d0d0; }
h3 { font-size: 1.05rem; margin: 1.5rem 0 .5rem; }
p { margin: .5rem 0; max-width: 46rem; }
a { color: #00508a; }
nav { font-size: .95rem; } nav a { margin-right: .9rem; white-space: nowrap; }
.note { border-left: 4px solid #d55e00; background: #fdf3ec;
  padding: .4rem .8rem; margin: .75rem 0; }
.scroll { overflow-x: auto; -webkit-overflow-scrolling: touch; }
.scroll:focus-visible { outline: 2px solid #00508a; }
figure { margin: 1rem 0; }
figure img { display: block; max-width: 100%; height: auto; }
figure .scroll img { min-width: 42rem; }
figcaption { color: #444; font-size: .92rem; margin-top: .4rem; }
table { border-collapse: collapse; font-size: .95rem; }
th, td { padding: .3rem .7rem; text-align: right; white-space: nowrap;
  border-bottom: 1px solid #e2e2e2; font-variant-numeric: tabular-nums; }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
thead th { border-bottom: 2px solid #888; vertical-align: bottom;
  white-space: normal; max-width: 12rem; }
td small { color: #555; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1rem; }
dt { color: #555; } dd { margin: 0; min-width: 0; }
code, pre { font-family: ui-monospace, 'DejaVu Sans Mono', monospace;
  font-size: .85rem; }
code { overflow-wrap: anywhere; }
pre { overflow-x: auto; background: #f6f6f6; padding: .75rem; margin: .5rem 0; }
details { margin: .3rem 0; } summary { cursor: pointer; }
details details { margin-left: 1rem; }
@media (max-width: 34rem) { dl { display: block; } dt { margin-top: .4rem; }
  body { padding: .5rem .75rem 3rem; } }
@media print { .scroll { overflow: visible; }
  figure .scroll img { min-width: 0; } }
"""


def page(title: str, body: str) -> str:
  """A whole document.

  Args:
    title: plain text.
    body: HTML.

  Returns:
    The text of the file.
  """
  return (
    '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
    f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
    '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
    '<link rel="icon" href="data:,">\n'
    f'<title>{text(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n'
    f'{body}\n</body>\n</html>\n'
  )


def text(value: object) -> str:
  """Plain text as HTML."""
  return html.escape(str(value))


def paragraph(value: str) -> str:
  """A paragraph of plain text."""
  return f'<p>{text(value)}</p>'


def note(value: str) -> str:
  """A sentence the reader should not miss."""
  return f'<p class="note" role="note">{text(value)}</p>'


def section(title: str, parts: Iterable[str]) -> str:
  """A section: a heading, and pieces of HTML."""
  inside = '\n'.join([f'<h2>{text(title)}</h2>', *parts])
  return f'<section id="{_anchor(title)}">\n{inside}\n</section>'


def contents(titles: Iterable[str]) -> str:
  """Links to the sections of these titles."""
  links = [f'<a href="#{_anchor(t)}">{text(t)}</a>' for t in titles]
  return f'<nav aria-label="Contents">{" ".join(links)}</nav>'


def heading(value: str) -> str:
  """A heading inside a section."""
  return f'<h3>{text(value)}</h3>'


def figure(drawn: style.Figure | None) -> str:
  """An image with its caption; '' for None. A wide one scrolls on phones."""
  if drawn is None:
    return ''
  data = base64.b64encode(drawn.png).decode('ascii')
  # A PNG has its width and height in these bytes; a browser that knows them
  # does not move the text while it decodes.
  sides = [int.from_bytes(drawn.png[i : i + 4], 'big') for i in (16, 20)]
  width, height = (round(side * drawn.scale) for side in sides)
  image = (
    f'<img width="{width}" height="{height}" alt="{text(drawn.alt)}" '
    f'src="data:image/png;base64,{data}">'
  )
  if drawn.wide:
    image = _scroll(image, drawn.alt)
  caption = f'<figcaption>{text(drawn.caption)}</figcaption>'
  return f'<figure>{image}{caption}</figure>'


def table(
  columns: Sequence[str], rows: Iterable[Sequence[Cell]], caption: str
) -> str:
  """A table.

  Args:
    columns: headings, plain text.
    rows: lists of cells, plain text; a cell (text, small text) has two parts.
    caption: what it is, for screen readers.

  Returns:
    HTML.
  """
  head = ''.join(f'<th scope="col">{text(name)}</th>' for name in columns)
  lines = []
  for first, *cells in rows:
    line = f'<th scope="row">{text(first)}</th>'
    lines.append(line + ''.join(f'<td>{_cell(cell)}</td>' for cell in cells))
  body = ''.join(f'<tr>{line}</tr>\n' for line in lines)
  return _scroll(
    f'<table><thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody></table>',
    caption,
  )


def definitions(pairs: Iterable[tuple[str, str]]) -> str:
  """A list of (name, value), plain text; empty values are left out."""
  rows = [f'<dt>{text(k)}</dt><dd>{text(v)}</dd>' for k, v in pairs if v]
  return f'<dl>{"".join(rows)}</dl>'


def details(summary: str, *parts: str) -> str:
  """Pieces of HTML that are hidden until the summary is clicked."""
  inside = '\n'.join(part for part in parts if part)
  return f'<details><summary>{text(summary)}</summary>\n{inside}\n</details>'


def code(value: str) -> str:
  """A file or command, as it is."""
  return f'<pre><code>{text(value)}</code></pre>'


def _anchor(title):
  return text(title.lower().replace(' ', '-'))


def _cell(value):
  if isinstance(value, tuple):
    return f'{text(value[0])} <small>{text(value[1])}</small>'
  return text(value)


def _scroll(inside, label):
  # Focusable, so that a keyboard can scroll it.
  attributes = f'role="region" tabindex="0" aria-label="{text(label)}"'
  return f'<div class="scroll" {attributes}>{inside}</div>'
