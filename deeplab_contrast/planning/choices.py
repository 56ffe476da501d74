"""The decisions of `configure`: facts and measured steps in, settings out.

Pure functions; nothing here reads a file or computes with TensorFlow.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from deeplab_contrast.datasets.preparation.data_facts import Facts
from deeplab_contrast.planning.plan import (
  Cost,
  Evaluating,
  Machine,
  Stage,
  View,
)
from deeplab_contrast.utils import errors

# What is chosen with which number, and why. Change the numbers here.

# Steps are measured with crops of this side and this batch, as many of those in
# docs/performance.md were.
PROBE_CROP, BATCH = 129, 8
# Smaller crops fill up a step of as many pixels with more images.
MOST_BATCH = 32
# Larger crops gain little at output stride 16 and leave a CPU few steps.
MOST_CROP = 513
# The side of a crop over that of the image: a crop shows about a third of it,
# enough context, and no two crops of an image are alike.
VIEW = 0.6
# Pixels of the thin classes after scaling. Below 8 there are fewer than two
# cells of the decoder's stride 4 in them; above 96 resolution only costs time
# (ImageNet's objects are of some 100 pixels).
LEAST_THICKNESS, ENOUGH_THICKNESS = 8, 96
# "Thin" is this quantile of the classes: one class of specks decides nothing.
THIN = 0.25
# Images smaller than the smallest crop are enlarged, at most by this factor.
MOST_SCALE = 2.0
# Random scales around that of the evaluation: between those of CamVid's
# experiments (0.75 to 1.5) and VOC's (0.5 to 1.5).
SMALLER, LARGER = 0.6, 1.5
# Steps to aim for when the crop is chosen: without pretrained weights twice as
# many. Fewer leave new layers unfinished; more are better spent on resolution.
STEPS_PRETRAINED, STEPS_RANDOM = 2000, 4000
# Every labelled image should be seen this often before crops get larger.
LEAST_EPOCHS = 10
# More passes over few images overfit (the paper's longest on VOC: 2,266).
MOST_EPOCHS = 2000
# A training of fewer steps than this is not worth starting.
FEWEST_STEPS = 50
# Of the time of the arm 'contrastive' for pretraining, as in docs/study.md.
PRETRAIN_SHARE = 0.4
# Of SGD, at BATCH and in proportion to it: those of CamVid's experiments, for
# cross entropy and for contrastive pretraining.
RATE_RANDOM, PEAK_RANDOM = 0.1, 0.2
# Of AdamW, for a backbone with ImageNet weights; new layers learn faster by the
# second number. docs/study_search.csv has the trials.
RATE_PRETRAINED, NEW_LAYERS = 6e-4, 10.0
# Steps of warm-up, and the most of its steps.
WARM_UP, WARM_UP_SHARE = 100, 0.1
# Of the teacher's moving average: longer trainings want a slower one.
DECAY_SHORT, DECAY_LONG, LONG = 0.99, 0.996, 3000
# No weights for rare classes: with 4 scenes and 100 VOC images, 0.5 cost two
# points of mIoU (one seed each).
CLASS_BALANCE = 0.0
# The share of the free memory that a stage may take.
MEMORY_SHARE = 0.7
# Bytes of float arrays with a value for each pixel and class of whole images:
# logits, their enlarged copy, and what is in between.
CLASS_BYTES = 3 * 4
# No array of an evaluation may be larger (TensorFlow's kernels count in int32).
MOST_VALUES = 2**30
# A step forward takes a third of a training step; evaluation with its reading
# and counting reaches two thirds of that speed (docs/performance.md).
EVALUATION = 1 / (3 * 0.67)
# Seconds to evaluate the features of a pretraining, before and after it, and to
# draw the pictures of an arm, in its own process: as measured on one core.
FEATURES, PICTURES = 25, 20
# Seconds between checkpoints.
SAVE_SECONDS = 300

SOFTMAX, CONTRASTIVE, CONSISTENCY = 'softmax', 'contrastive', 'consistency'
ARMS = (SOFTMAX, CONTRASTIVE, CONSISTENCY)
# What differs in the cost of a step.
PRETRAIN = 'pretrain'
_PRETRAINED = ('pretrain', 'finetune')
KINDS = {
  SOFTMAX: (SOFTMAX,),
  CONTRASTIVE: (PRETRAIN, SOFTMAX),
  CONSISTENCY: (CONSISTENCY,),
}


def arms(facts: Facts, asked: Sequence[str] | None) -> tuple[str, ...]:
  """The arms to compare: those asked for, or all that the data allow.

  Raises:
    ConfigError: an arm is unknown, or needs more unlabelled images.
  """
  enough = sum(facts.unlabelled.values()) >= MOST_BATCH
  if asked is None:
    return ARMS if enough else ARMS[:2]
  unknown = [arm for arm in asked if arm not in ARMS]
  if unknown or not asked:
    raise errors.ConfigError(
      f'--arms has {", ".join(unknown) or "none"}; choose from '
      f'{", ".join(ARMS)}.'
    )
  if CONSISTENCY in asked and not enough:
    raise errors.ConfigError(
      f'The arm consistency needs {MOST_BATCH} images without labels or more; '
      f'there are {sum(facts.unlabelled.values())}: see "unlabelled" in '
      'docs/own_data.md, or leave it out of --arms.'
    )
  return tuple(arm for arm in ARMS if arm in asked)


def view(facts: Facts, side: float) -> View:
  """Scale, crop and batch.

  Args:
    facts: of the data.
    side: of the largest square crop that time and memory allow, in pixels.
  """
  image = math.sqrt(math.prod(facts.size))
  present = [t for t in facts.thickness if t]
  thin = float(np.quantile(present, THIN, method='lower'))
  largest = min(MOST_SCALE, max(1.0, PROBE_CROP / image))
  choices = {
    'a crop of the size that time and memory allow shows a third of an image': (
      side / (VIEW * image)
    ),
    f'the thin classes are {ENOUGH_THICKNESS} pixels thick, which is enough': (
      ENOUGH_THICKNESS / thin
    ),
    'full size' if largest == 1 else 'small images are enlarged': largest,
  }
  reason, scale = min(choices.items(), key=lambda item: item[1])
  least = min(LEAST_THICKNESS / thin, largest)
  if scale < least:
    reason, scale = 'at a smaller one the thin classes would vanish', least
  scale = float(f'{scale:.2g}')
  wanted = min(max(VIEW * scale * image, PROBE_CROP), side)
  crop = tuple(
    min(_grid(wanted), _grid_above(scale * length)) for length in facts.size
  )
  batch = BATCH
  while (
    batch < MOST_BATCH and 2 * batch * math.prod(crop) <= BATCH * PROBE_CROP**2
  ):
    batch *= 2
  return View(scale, (crop[0], crop[1]), batch, thin * scale, reason)


def wanted_steps(machine: Machine) -> int:
  """The steps of a softmax training to aim for."""
  return STEPS_PRETRAINED if machine.has_weights else STEPS_RANDOM


def affordable_side(
  facts: Facts,
  machine: Machine,
  costs: Mapping[str, Cost],
  seconds: float,
) -> float:
  """The side of the largest crop for which time and memory are enough.

  Args:
    facts: of the data.
    machine: with its free memory.
    costs: of the kinds of steps; all must fit into memory.
    seconds: for the steps of a softmax training.

  Raises:
    SystemFault: not even the crop that was measured fits into memory.
  """
  wanted = max(wanted_steps(machine), LEAST_EPOCHS * facts.labelled / BATCH)
  softmax = costs[SOFTMAX]
  left = max(seconds / wanted - softmax.input_seconds * BATCH, 0)
  pixels = softmax.pixels * left / softmax.seconds
  limit = MEMORY_SHARE * machine.memory
  for cost in costs.values():
    room = (limit - cost.fixed) / max(cost.memory, 1)
    if room < 1:
      raise errors.SystemFault(
        f'Training needs some {cost.bytes(cost.pixels) / 1e9:.1f} GB of memory '
        f'and {machine.memory / 1e9:.1f} GB are free, of which a stage should '
        f'take {MEMORY_SHARE:.0%} at most: end other programs, or use a larger '
        'machine.'
      )
    pixels = min(pixels, room * cost.pixels)
  return min(max(math.sqrt(pixels / BATCH), PROBE_CROP), MOST_CROP)


def evaluating(
  facts: Facts, scale: float, cost: Cost, memory: int
) -> Evaluating:
  """Batch and tiles of the evaluation.

  Args:
    facts: of the data.
    scale: of the images.
    cost: of a softmax step.
    memory: free bytes.
  """
  height, width = facts.largest
  classes = len(facts.classes)
  # Forward, a third of what the gradients need is kept at a time.
  of_pixel = cost.memory / cost.pixels / 3 * scale**2
  limit = MEMORY_SHARE * memory - cost.fixed

  def needed(rows, columns):
    return round(
      rows * width * classes * CLASS_BYTES + rows * columns * of_pixel
    )

  whole = needed(height, width)
  most = min(limit // whole, MOST_VALUES // (height * width * classes))
  if most >= 1:
    batch = int(min(most, BATCH))
    return Evaluating(batch, None, batch * whole)
  # Of tiles that fit the largest; the smallest is two stripes of the grid.
  sides = range(65, min(height, width) + 32, 32)
  fitting = [side for side in sides if needed(side, side) <= limit]
  tile = max(fitting, default=65)
  return Evaluating(1, tile, needed(tile, tile))


def stages(
  facts: Facts,
  seen: View,
  costs: Mapping[str, Cost],
  minutes: float,
  chosen: Sequence[str],
  evaluated: Evaluating,
) -> tuple[Stage, ...]:
  """The stages of all arms, each arm with the same time.

  Args:
    facts: of the data.
    seen: scale, crop and batch.
    costs: {kind: `Cost`}, of all kinds of the arms.
    minutes: for all arms together.
    chosen: the arms.
    evaluated: how whole images are evaluated.

  Raises:
    ConfigError: there is not enough time.
  """
  evaluation = facts.val * _evaluation_seconds(facts, seen, costs[SOFTMAX])
  result, short = [], []
  for arm in chosen:
    kinds = KINDS[arm]
    others = [
      costs[k].overhead + (FEATURES if k == PRETRAIN else evaluation + PICTURES)
      for k in kinds
    ]
    left = 60 * minutes / len(chosen) - sum(others)
    parts: tuple[float, ...] = (1.0,)
    names: tuple[str, ...] = (arm,)
    if len(kinds) > 1:
      parts, names = (PRETRAIN_SHARE, 1 - PRETRAIN_SHARE), _PRETRAINED
    for name, kind, part, other in zip(
      names, kinds, parts, others, strict=True
    ):
      step = costs[kind].step(seen.pixels, seen.batch)
      steps = int(left * part / step)
      if steps < FEWEST_STEPS:
        seconds = sum(others) + FEWEST_STEPS * step / part
        short.append((seconds * len(chosen), name, max(steps, 0), step))
        continue
      memory = costs[kind].bytes(seen.pixels)
      if kind != PRETRAIN:
        memory = max(memory, costs[kind].fixed + evaluated.memory)
      steps = _useful(steps, facts, seen)
      links = (arm if name == names[-1] else None, _start(name, names))
      result.append(
        Stage(name, kind, *links, steps, steps * step, other, memory)
      )
  _check_time(short, minutes)
  return tuple(result)


def _check_time(short, minutes):
  """Refuses stages of too few steps."""
  if not short:
    return
  seconds, name, steps, step = max(short)
  raise errors.ConfigError(
    f'--minutes={minutes:g} leaves {steps} steps for the stage {name}, at '
    f'{step:.2g} s for a step: give --minutes={math.ceil(seconds / 60)} or '
    'more, or fewer --arms.'
  )


def _start(name, names):
  """The stage of an arm that another one starts from; None for its first."""
  return None if name == names[0] else names[0]


def _useful(steps, facts, seen):
  """At most so many that the network does not overfit; without odd digits."""
  most = MOST_EPOCHS * facts.labelled // seen.batch
  return _rounded(min(steps, max(most, FEWEST_STEPS)))


def rates(batch: int) -> tuple[float, float]:
  """SGD's learning rates: of cross entropy, and the peak of pretraining."""
  more = batch / BATCH
  return float(f'{RATE_RANDOM * more:.2g}'), float(f'{PEAK_RANDOM * more:.2g}')


def warm_up(steps: int) -> int:
  """Steps of warm-up of a training."""
  return min(WARM_UP, max(1, int(WARM_UP_SHARE * steps)))


def teacher_decay(steps: int) -> float:
  """Of the teacher's moving average."""
  return DECAY_LONG if steps > LONG else DECAY_SHORT


def save_every(stage: Stage) -> int:
  """Steps between checkpoints."""
  of_step = stage.seconds / stage.steps
  return max(1, min(stage.steps, round(SAVE_SECONDS / of_step)))


def _evaluation_seconds(facts, seen, cost):
  """Seconds to evaluate one image."""
  pixels = math.prod(facts.largest) * seen.scale**2
  return EVALUATION * cost.seconds * pixels / cost.pixels + cost.input_seconds


def _rounded(steps):
  """Down to two digits, or three above 1,000: no one needs 2,737 steps."""
  digits = 10 ** max(0, len(str(steps)) - (3 if steps >= 1000 else 2))
  return steps // digits * digits


def _grid(side):
  """The largest k * 16 + 1 up to a side, at least 33."""
  return max(33, int(side - 1) // 16 * 16 + 1)


def _grid_above(side):
  """The smallest k * 16 + 1 that is not below a side, at least 33."""
  return max(33, math.ceil((side - 1) / 16) * 16 + 1)
