"""From metres in the street to pixels, and back to the ground."""

import dataclasses

import numpy as np

# Points nearer than this are moved here; they are outside the picture anyway.
NEAREST = 0.7


@dataclasses.dataclass(frozen=True)
class Camera:
  """A pinhole camera above a street that may bend to one side.

  World coordinates are metres: x to the right of the camera, y above the
  ground, z along the street.

  Attributes:
    width: width of the canvas, in pixels.
    height: height of the canvas, in pixels.
    focal: focal length, in pixels.
    center: where the straight street vanishes, x in pixels.
    horizon: where the ground vanishes, y in pixels at the middle column.
    eye: height of the camera above the ground, in metres.
    bend: sideways drift of the street, in metres per square metre of z.
    roll: slope of the horizon, pixels down per pixel to the right.
  """

  width: int
  height: int
  focal: float
  center: float
  horizon: float
  eye: float
  bend: float
  roll: float

  def project(self, points: np.ndarray) -> np.ndarray:
    """Projects float [..., 3] metres to float [..., 2] (x, y) pixels."""
    x, y, z = points[..., 0], points[..., 1], points[..., 2]
    z = np.maximum(z, NEAREST)
    column = self.center + self.focal * (x / z + self.bend * z)
    row = self.horizon + self.focal * (self.eye - y) / z
    row = row + self.roll * (column - self.width / 2)
    return np.stack([column, row], axis=-1)

  def ground(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The place on the ground that each pixel shows.

    Returns:
      (x, z, is_ground): float32 [height, width] metres, and whether the pixel
      is below the horizon; elsewhere x and z mean nothing.
    """
    columns = np.arange(self.width, dtype=np.float32) + 0.5
    rows = np.arange(self.height, dtype=np.float32)[:, np.newaxis] + 0.5
    below = rows - self.horizon - self.roll * (columns - self.width / 2)
    z = self.focal * self.eye / np.maximum(below, 0.25)
    x = (columns - self.center) * (z / self.focal) - self.bend * z * z
    return x.astype(np.float32), z.astype(np.float32), below > 0.25

  def pixel(self, z: float) -> float:
    """The width of a pixel at depth `z`, in metres."""
    return z / self.focal


def sample(rng: np.random.Generator, height: int, width: int) -> Camera:
  """Draws a camera for a canvas of height x width pixels."""
  return Camera(
    width=width,
    height=height,
    focal=width * rng.uniform(0.68, 1.08),
    center=width * rng.uniform(0.32, 0.68),
    horizon=height * rng.uniform(0.36, 0.56),
    eye=rng.uniform(1.25, 2.4),
    bend=rng.uniform(-1, 1) * rng.random() * 0.0016,
    roll=rng.uniform(-0.03, 0.03),
  )
