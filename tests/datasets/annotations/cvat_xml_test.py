"""CVAT for images 1.1: pixels worked out by hand."""

import numpy as np
import pytest

from deeplab_contrast.datasets.annotations import cvat_xml
from deeplab_contrast.datasets.annotations.tree import Tree
from deeplab_contrast.utils import errors
from tests.datasets.annotations import exports

WIDTH, HEIGHT = 8, 6


def read(root, shapes, head=''):
  """(what was read, {label: pixels} of its image)"""
  exports.write(
    root / 'annotations.xml',
    f'<?xml version="1.0"?>{head}<annotations><meta><job><labels>'
    '<label><name>cup</name></label>'
    '<label><name>tip</name><parent>hand</parent></label>'
    '</labels></job></meta>'
    f'<image id="0" name="0.png" width="{WIDTH}" height="{HEIGHT}">{shapes}'
    '</image></annotations>',
  )
  tree = Tree(root)
  found = cvat_xml.read(tree, cvat_xml.files_of(tree))
  return found, found.images[0].shapes


def pixels(shape):
  """The pixels of a shape as rows of `.` and `#`."""
  image = np.zeros([HEIGHT, WIDTH], bool)
  top, left, inside = shape.region(HEIGHT, WIDTH)
  image[top : top + inside.shape[0], left : left + inside.shape[1]] = inside
  return [''.join('.#'[int(p)] for p in row) for row in image]


@pytest.mark.parametrize(
  'shape, expected',
  [
    # Pixels whose centres are inside; edges are half-open.
    (
      '<box label="cup" xtl="1.00" ytl="1.00" xbr="4.00" ybr="3.00"/>',
      ['........', '.###....', '.###....', '........', '........', '........'],
    ),
    # 4 x 2 around (3, 3), turned by 90 degrees: x from 2 to 4, y from 1 to 5.
    (
      '<box label="cup" xtl="1" ytl="2" xbr="5" ybr="4" rotation="90.0"/>',
      ['........', '..##....', '..##....', '..##....', '..##....', '........'],
    ),
    # Row by row within its box: 1 without, 2 with, 1 without, 2 with.
    (
      '<mask label="cup" rle="1, 2, 1, 2" left="5" top="2" width="3" '
      'height="2"/>',
      ['........', '........', '......##', '......##', '........', '........'],
    ),
    # Partly outside: the rest counts.
    (
      '<polygon label="cup" points="6.0,4.0;12.0,4.0;12.0,9.0;6.0,9.0"/>',
      ['........', '........', '........', '........', '......##', '......##'],
    ),
    # Half a pixel more than the radii: in the rows above and below, where
    # 1 / 1.5^2 + u^2 / 2.5^2 <= 1, u is 1 at most.
    (
      '<ellipse label="cup" cx="3.0" cy="3.0" rx="2.0" ry="1.0"/>',
      ['........', '........', '..###...', '.#####..', '..###...', '........'],
    ),
  ],
)
def test_shapes_cover_what_cvat_exports_as_masks(tmp_path, shape, expected):
  _, ((name, drawn),) = read(tmp_path, shape)
  assert name == 'cup'
  assert pixels(drawn) == expected


def test_z_order_is_above_the_order_of_the_file(tmp_path):
  box = '<box label="{}" xtl="0" ytl="0" xbr="2" ybr="2" z_order="{}"/>'
  names = [('cup', 2), ('box', 0), ('mug', 1), ('jar', 1)]
  found, shapes = read(tmp_path, ''.join(box.format(*one) for one in names))
  assert [name for name, _ in shapes] == ['box', 'mug', 'jar', 'cup']
  # Those of the list first; a point of a skeleton is no class.
  assert found.names == ('cup', 'box', 'jar', 'mug')


def test_what_has_no_area_is_counted(tmp_path):
  found, shapes = read(
    tmp_path,
    '<polyline label="cup" points="1,1;2,2"/><points label="cup" points="1,1"/>'
    '<polygon label="cup" points="1,1;2,2"/><tag label="cup"/>',
  )
  assert not shapes
  assert found.left_out == {
    "shape of the type 'polyline'": 1,
    "shape of the type 'points'": 1,
    'polygon of fewer than three points': 1,
  }


@pytest.mark.parametrize(
  'shape, sentence',
  [
    ('<polygon label="cup" points="1,1;2"/>', 'is damaged, or cut off'),
    ('<polygon label="cup" points="1,1;nan,2;3,3"/>', 'not numbers'),
    ('<polygon label="cup" points="1,1;1e9,2;3,3"/>', '1000000000 pixels'),
    ('<polygon points="1,1;2,2;3,1"/>', "'label' is missing"),
    ('<box label="cup" xtl="1" ytl="1" xbr="3"/>', "'ybr' is missing"),
    (
      '<mask label="cup" rle="9" left="0" top="0" width="3" height="2"/>',
      'do not add up',
    ),
    (
      '<mask label="cup" rle="6" left="7" top="0" width="3" height="2"/>',
      'larger than its image',
    ),
    ('<box', 'is damaged, or cut off'),
  ],
)
def test_damaged_files_get_a_sentence(tmp_path, shape, sentence):
  with pytest.raises(errors.DataError, match=sentence):
    read(tmp_path, shape)


def test_entities_are_not_expanded(tmp_path):
  bomb = '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>'
  with pytest.raises(errors.DataError, match='defines entities'):
    read(tmp_path, '', bomb)


def test_videos_are_refused(tmp_path):
  exports.write(
    tmp_path / 'annotations.xml',
    '<annotations><track id="0" label="cup"/></annotations>',
  )
  tree = Tree(tmp_path)
  with pytest.raises(errors.DataError, match='CVAT for images 1.1'):
    cvat_xml.read(tree, cvat_xml.files_of(tree))
