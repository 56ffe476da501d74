"""Every tool fills an outline in its own way; values worked out by hand."""

import numpy as np
import pytest

from deeplab_contrast.datasets.annotations import coco, label_studio, shapes
from tests.datasets.annotations import exports

SQUARE = np.array([[1, 1], [4, 1], [4, 3], [1, 3]], float)


def draw(shape, height=5, width=6):
  """Text, one line per row."""
  canvas = np.zeros([height, width], bool)
  top, left, inside = shape.region(height, width)
  canvas[top : top + inside.shape[0], left : left + inside.shape[1]] |= inside
  return [''.join('.#'[bool(value)] for value in row) for row in canvas]


def test_coco_fills_pixels_whose_centres_are_inside():
  # From 1 to 4 and from 1 to 3: half-open.
  expected = ['......', '.###..', '.###..', '......', '......']
  assert draw(shapes.CocoPolygon((SQUARE,))) == expected


def test_pillow_fills_the_outline_too():
  expected = ['......', '.####.', '.####.', '.####.', '......']
  assert draw(shapes.Drawn('polygon', SQUARE)) == expected
  corners = np.array([[4, 3], [1, 1]], float)
  assert draw(shapes.Drawn('rectangle', corners)) == expected


def test_opencv_fills_the_outline_too():
  expected = ['......', '.####.', '.####.', '.####.', '......']
  assert draw(shapes.FilledPolygon(SQUARE.astype(int))) == expected
  triangle = np.array([[0, 0], [4, 0], [0, 4]])
  assert draw(shapes.FilledPolygon(triangle)) == [
    '#####.',
    '####..',
    '###...',
    '##....',
    '#.....',
  ]


def test_opencv_leaves_holes_with_their_outline():
  outline = np.array([[0, 0], [5, 0], [5, 4], [0, 4]])
  hole = np.array([[2, 1], [3, 1], [3, 2], [2, 2]])
  assert draw(shapes.FilledPolygon(outline, (hole,))) == [
    '######',
    '##..##',
    '##..##',
    '######',
    '######',
  ]


def at(move):
  """All kinds of shapes, moved."""
  return (
    shapes.CocoPolygon((SQUARE + move,)),
    shapes.FilledPolygon((SQUARE + move).astype(int)),
    shapes.Drawn('polygon', SQUARE + move),
    shapes.Bitmap(np.ones([3, 4], bool), 1 + move, 1 + move),
  )


@pytest.mark.parametrize('kind', range(4))
def test_what_is_outside_the_image_is_cut_off(kind):
  rows = draw(at(-2)[kind])
  assert rows[0].startswith('##') and rows[2:] == ['......'] * 3
  assert all(row.endswith('...') for row in rows)
  assert draw(at(50)[kind]) == draw(at(-50)[kind]) == ['......'] * 5


def test_rings_of_coco_are_filled_together():
  rings = SQUARE, SQUARE + (1, 0)  # Overlaps stay filled.
  assert draw(shapes.CocoPolygon(rings))[1] == '.####.'


def test_run_lengths_go_down_the_columns():
  # 3 rows and 2 columns: one 0, three 1, two 0.
  expected = ['.#', '#.', '#.']
  assert draw(coco.runs([1, 3, 2], [3, 2], (3, 2)), 3, 2) == expected
  assert draw(coco.runs('132', [3, 2], (3, 2)), 3, 2) == expected


def test_compressed_run_lengths_are_differences_from_the_fourth_on():
  # The fourth length is coded less the second, so 3 is 0: '0'; negative ones
  # and those above 15 take sign and more letters: 40 is 8 + 32, '8' + 32, '1'.
  assert draw(coco.runs('1310', [8, 1], (8, 1)), 8, 1) == [*'.###.###']
  assert coco.runs('X11', [41, 1], (41, 1)).counts.tolist() == [40, 1]


@pytest.mark.parametrize(
  'counts, size', [([1, 3], [3, 2]), ([6], [2, 3]), ('1', [3, 2]), ([9, -3], 1)]
)
def test_run_lengths_of_another_size_are_refused(counts, size):
  with pytest.raises((ValueError, TypeError)):
    coco.runs(counts, size, (3, 2))


def test_brush_strokes_are_unpacked():
  mask = np.zeros([5, 6], bool)
  mask[1:3, 2:4] = True
  unpacked = label_studio._brush(exports.pack(mask), (5, 6))
  np.testing.assert_array_equal(unpacked, mask)


@pytest.mark.parametrize(
  'points',
  [
    [[0, 0], [1, float('nan')]],
    [[0, 0], [1, float('inf')]],
    [[0, 0], [1e9, 0]],
    [1, 2, 3],
    [['a', 'b']],
    [{}],
  ],
)
def test_coordinates_that_are_none_are_refused(points):
  with pytest.raises((ValueError, TypeError)):
    shapes.points(points)


def test_too_few_points_cover_nothing():
  assert not len(shapes.points([[0, 0], [1, 1]]))


def test_endless_outlines_are_refused():
  zigzag = np.array([[0, 0], [100_000, 0]] * 1000, float)
  with pytest.raises(ValueError, match='outline of 2'):
    shapes.check_length(zigzag)
