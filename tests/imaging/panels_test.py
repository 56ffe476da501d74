import numpy as np

from deeplab_contrast.imaging import panels

COLORS = ((200, 0, 0), (0, 200, 0))


def test_photos_shrink_smoothly_and_grow_by_pixels():
  stripes = np.zeros([8, 8, 3], np.uint8)
  stripes[:, ::2] = 200
  small = panels.photo(stripes, 2)
  assert small.shape == (2, 2, 3)
  assert small.min() > 60 and small.max() < 140
  large = panels.photo(stripes, 16)
  assert large.shape == (16, 16, 3)
  assert set(large.flat) == {0, 200}


def test_label_maps_show_void_and_padding():
  label = np.array([[0, 1], [255, 255]])
  padding = np.array([[0, 0], [0, 1]], bool)
  painted = panels.label_map(label, COLORS, 40, padding)
  assert painted.shape == (40, 40, 3)
  assert (painted[:20, :20] == COLORS[0]).all()
  assert (painted[:20, 20:] == COLORS[1]).all()
  assert (painted[20:, :20] == 255).all()
  nothing = painted[20:, 20:]
  assert set(nothing.flat) == {190, 235}
  without = panels.label_map(label, COLORS, 40)
  assert (without[20:] == 255).all()


def black(height, width):
  return np.zeros([height, width, 3], np.uint8)


def test_the_last_row_may_be_short():
  rows = [[black(4, 4)] * 2, [black(4, 4)]]
  picture = np.asarray(panels.grid(rows, ['', ''], [], 20))
  dark = (picture == 0).all(axis=-1)
  assert dark.sum() == 3 * 400


def test_groups_are_apart_and_captions_above():
  rows = [[black(10, 10)] * 4]
  plain = panels.grid(rows, [''] * 4, [], 10)
  apart = panels.grid(rows, [''] * 4, [], 10, group=2)
  assert apart.width > plain.width
  named = panels.grid(rows, [''] * 4, [], 10, [['a', '', 'b', '']])
  assert named.height > plain.height
  text = np.asarray(named)[30:50] < 100
  assert text[:, :16].any() and not text[:, 22:36].any()


def test_a_legend_may_have_patterns():
  legend = [('class', (1, 2, 3)), ('padding', panels.checkers(14, 14))]
  picture = panels.grid([[black(4, 4)]], ['x'], legend, 200)
  pixels = set(map(tuple, np.asarray(picture).reshape(-1, 3)))
  assert {(1, 2, 3), (190,) * 3, (235,) * 3} <= pixels


def test_a_picture_can_lie_right_here(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  panels.save(black(2, 2), 'a.png')
  assert (tmp_path / 'a.png').exists()


def test_grid_holds_every_picture_and_colour(tmp_path):
  rows = [
    [np.full((10, 20, 3), 10 * (2 * i + j + 1), np.uint8) for j in range(2)]
    for i in range(3)
  ]
  legend = panels.legend({'cat': (1, 2, 3), 'dog': (4, 5, 6)})
  grid = panels.grid(rows, ['left', 'right'], legend, width=40)
  path = tmp_path / 'deep' / 'grid.png'
  panels.save(grid, str(path))
  pixels = {tuple(p) for p in np.asarray(grid).reshape(-1, 3)}
  for value in (10, 20, 30, 40, 50, 60):
    assert (value,) * 3 in pixels
  assert {(1, 2, 3), (4, 5, 6)} <= pixels
  assert path.exists()
  assert not list(path.parent.glob('*.tmp'))
