"""The parts of a plan: what is measured, and what is chosen."""

import dataclasses
import math


@dataclasses.dataclass(frozen=True)
class Machine:
  """What the trainings run on.

  Attributes:
    cores: of the processor.
    memory: bytes that are free.
    has_weights: whether ImageNet weights are installed.
  """

  cores: int
  memory: int
  has_weights: bool


@dataclasses.dataclass(frozen=True)
class Cost:
  """What steps of one kind cost, measured at `pixels`.

  Attributes:
    pixels: of all crops of a step.
    seconds: of a step, its input apart.
    input_seconds: to read and augment one image.
    overhead: seconds of a stage besides its steps: start, compilation.
    fixed: bytes of memory whatever the pixels.
    memory: bytes for `pixels` besides those.
  """

  pixels: int
  seconds: float
  input_seconds: float
  overhead: float
  fixed: int
  memory: int

  def step(self, pixels: float, batch: int) -> float:
    """Seconds of a step.

    Time grows with the pixels. Reading runs beside the network, but on the
    same cores: with photos of 12 megapixels, 0.39 s and 0.71 s added up to
    1.1 s. (An accelerator would hide the smaller one.)
    """
    return self.seconds * pixels / self.pixels + self.input_seconds * batch

  def bytes(self, pixels: float) -> int:
    """Bytes of memory of a step."""
    return round(self.fixed + self.memory * pixels / self.pixels)


@dataclasses.dataclass(frozen=True)
class View:
  """What the network sees.

  Attributes:
    scale: of the images, in training on average and in evaluation.
    crop: (height, width) of training crops.
    batch: crops in a step.
    thin: pixels of the thin classes at this scale.
    reason: of the scale, for people.
  """

  scale: float
  crop: tuple[int, int]
  batch: int
  thin: float
  reason: str

  @property
  def pixels(self) -> int:
    """Of all crops of a step."""
    return self.batch * math.prod(self.crop)


@dataclasses.dataclass(frozen=True)
class Stage:
  """One training of the recipe.

  Attributes:
    name: of the stage; its folder.
    kind: 'pretrain', 'softmax' or 'consistency'.
    arm: the arm that it ends; None for a pretraining.
    starts_from: the stage whose weights it starts from.
    steps: their number.
    seconds: of all steps.
    other_seconds: of start, compilation and evaluation.
    memory: bytes.
  """

  name: str
  kind: str
  arm: str | None
  starts_from: str | None
  steps: int
  seconds: float
  other_seconds: float
  memory: int


@dataclasses.dataclass(frozen=True)
class Evaluating:
  """How whole images are evaluated.

  Attributes:
    batch: images at a time.
    tile: side of the tiles of large images; None for whole ones.
    memory: bytes, besides what any process needs.
  """

  batch: int
  tile: int | None
  memory: int
