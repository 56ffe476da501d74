"""How figures look: one colour per arm, one font, PNGs written atomically."""

import contextlib
import dataclasses
import io
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import matplotlib.figure
import matplotlib.style
import numpy as np

# Okabe and Ito's colours, which colour-blind readers can distinguish. Blues are
# softmax, oranges contrastive; arms with pseudo-labels are dashed.
_ARMS = {
  'softmax': ('#0072B2', 'o', '-'),
  'contrastive': ('#D55E00', 's', '-'),
  'softmax_pseudo': ('#56B4E9', '^', '--'),
  'contrastive_pseudo': ('#E69F00', 'D', '--'),
}
_OTHERS = (
  ('#009E73', 'v', '-.'),
  ('#CC79A7', 'P', '-.'),
  ('#4D4D4D', 'X', ':'),
)

GRAY = '#555555'
DPI = 160
# Makes the fonts of figures about as large as those of the page.
SCALE = 0.66


@dataclasses.dataclass(frozen=True)
class Figure:
  """A picture of the page.

  Attributes:
    name: name of the file, without its extension.
    png: bytes.
    alt: what it shows, for readers who cannot see it.
    caption: below it.
    wide: whether it scrolls on a phone rather than shrinking to its width.
    scale: size on the page per pixel of the PNG.
  """

  name: str
  png: bytes
  alt: str
  caption: str
  wide: bool = False
  scale: float = SCALE


@dataclasses.dataclass(frozen=True)
class Look:
  """The look of an arm: colour, marker and line style of matplotlib."""

  color: str
  marker: str
  line: str


# What follows '_' in the name of an arm, and how it is written.
_ADDED = {'pseudo': 'pseudo-labels', 'consistency': 'consistency'}


def looks(arms: Sequence[str]) -> dict[str, Look]:
  """{arm: `Look`}; the known arms look the same in every study."""
  others = [arm for arm in arms if arm not in _ARMS]
  result = {arm: Look(*_ARMS[arm]) for arm in arms if arm in _ARMS}
  for i, arm in enumerate(others):
    result[arm] = Look(*_OTHERS[i % len(_OTHERS)])
  return {arm: result[arm] for arm in arms}


def arm_title(arm: str) -> str:
  """'contrastive + pseudo-labels' for 'contrastive_pseudo'."""
  base, _, rest = arm.partition('_')
  return f'{base} + {_ADDED[rest]}' if rest in _ADDED else arm


def budget_title(labels: int | None) -> str:
  """'46 labelled images', for headings."""
  if labels is None:
    return 'number of labelled images not recorded'
  return f'{labels} labelled image{"s" if labels != 1 else ""}'


@contextlib.contextmanager
def subplots(
  rows: int = 1,
  columns: int = 1,
  size: tuple[float, float] = (6, 4),
  **arguments: Any,
) -> Iterator[tuple[matplotlib.figure.Figure, np.ndarray]]:
  """A figure and its axes [rows, columns], to be drawn inside.

  Args:
    rows: number of rows of axes.
    columns: number of columns of axes.
    size: (width, height) of all, in inches.
    **arguments: arguments of `Figure.subplots`.
  """
  settings = {
    'font.family': 'DejaVu Sans',
    'font.size': 10,
    'axes.titlesize': 10.5,
    'axes.spines.top': False,
    'axes.spines.right': False,
    'axes.edgecolor': GRAY,
    'axes.grid': True,
    'axes.axisbelow': True,
    'grid.color': '#E3E3E3',
    'legend.frameon': False,
    'legend.fontsize': 9.5,
    'lines.linewidth': 1.8,
    'figure.facecolor': 'white',
  }
  # Independent of the user's matplotlibrc.
  with matplotlib.style.context(['default', settings]):
    # Not with pyplot, which would look for a screen.
    figure = matplotlib.figure.Figure(figsize=size, layout='constrained')
    yield figure, figure.subplots(rows, columns, squeeze=False, **arguments)


def to_png(figure: matplotlib.figure.Figure) -> bytes:
  """The bytes of a figure; equal for equal figures."""
  buffer = io.BytesIO()
  # The version of matplotlib would change the bytes of the same picture.
  figure.savefig(buffer, format='png', dpi=DPI, metadata={'Software': None})
  return buffer.getvalue()


def legend_below(
  figure: matplotlib.figure.Figure,
  axes: Iterable[Any],
  columns: int,
  order: Sequence[str] = (),
  **arguments: Any,
) -> None:
  """One legend for all axes, below them, without repetitions.

  Args:
    figure: that holds the axes.
    axes: whose labels it gathers.
    columns: number of columns of the legend.
    order: labels that come first, in this order.
    **arguments: arguments of `Figure.legend`.
  """
  found: dict[str, Any] = {}
  for axis in axes:
    for handle, label in zip(*axis.get_legend_handles_labels(), strict=True):
      found.setdefault(label, handle)
  labels = [*(x for x in order if x in found), *found]
  labels = list(dict.fromkeys(labels))
  figure.legend(
    [found[label] for label in labels],
    labels,
    loc='outside lower center',
    ncols=columns,
    **arguments,
  )
