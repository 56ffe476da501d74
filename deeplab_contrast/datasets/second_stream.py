"""A second stream of examples: images whose labels are not used."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

from deeplab_contrast import common
from deeplab_contrast.datasets import pipeline, sources, transforms
from deeplab_contrast.datasets.sources import overlap
from deeplab_contrast.utils import errors


@dataclasses.dataclass(frozen=True)
class Joined:
  """Batches of labelled examples, each with a batch of unlabelled ones.

  Both are functions of seed and position, so resuming and sharing between
  hosts stay as exact as with one stream.

  Attributes:
    labelled: the stream of labelled batches, see `Trainer.fit`.
    unlabelled: the pipeline of the others.
    examples: its opened source.
    seed: of the run, 0 or more.
  """

  labelled: Callable[..., tf.data.Dataset]
  unlabelled: pipeline.Pipeline
  examples: sources.Examples
  seed: int

  def __call__(self, **where: Any) -> tf.data.Dataset:
    """The dataset of a host; for the arguments see `Pipeline.dataset`.

    Returns:
      Dicts of the labelled batch; under UNLABELLED a dict of as many unlabelled
      examples.
    """
    # Negative, so that no run's labelled stream draws the same numbers.
    others = self.unlabelled.dataset(
      self.examples, seed=-1 - self.seed, **where
    )
    return tf.data.Dataset.zip(self.labelled(**where), others).map(
      lambda batch, other: {**batch, common.UNLABELLED: other}
    )


def open_images(
  experiment: Any,
  opened: Mapping[str, tuple[sources.Source, sources.Examples]],
) -> sources.Examples:
  """Opens the unlabelled images of an experiment, and checks them.

  Args:
    experiment: an `Experiment` with `unlabelled`.
    opened: {role: (source, the same, opened)}, of the other data.

  Returns:
    The opened images.

  Raises:
    ConfigError: a transform would use the labels, or there are fewer images
      than a batch has.
    DataError: images are used for training or evaluation too.
  """
  described = experiment.unlabelled
  _check_transforms(described.transforms)
  examples = described.source.open(experiment.data_dir)
  size = experiment.trainer.batch_size
  if len(examples) < size:
    raise errors.ConfigError(
      f'There are {len(examples)} unlabelled images, fewer than a batch has '
      f'({size}): bring more, or make BATCH_SIZE smaller.'
    )
  for role, (_, others) in opened.items():
    what = {'train': 'training', 'eval': 'evaluation'}.get(role, role)
    overlap.refuse(examples, others, what)
  return examples


def _check_transforms(steps):
  for step in steps:
    if isinstance(step, transforms.RandomCrop) and step.class_uniform:
      raise errors.ConfigError(
        'RandomCrop.class_uniform looks at labels, which unlabelled images do '
        'not have: set it to 0.0 for Experiment.unlabelled.'
      )
    if isinstance(step, transforms.Decode) and not step.marks_void:
      raise errors.ConfigError(
        'Decode.marks_void must be True for Experiment.unlabelled.'
      )
