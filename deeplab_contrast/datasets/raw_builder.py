"""TFDS builders over raw image and mask files, never out of step with them."""

import dataclasses
import os

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds
from absl import logging

from deeplab_contrast import common
from deeplab_contrast.datasets import raw_pairs
from deeplab_contrast.utils import errors


@dataclasses.dataclass(eq=False)
class RawConfig(tfds.core.BuilderConfig):
  """Ties a prepared folder to the raw files it was made from."""

  raw: raw_pairs.RawData | None = dataclasses.field(default=None, repr=False)


def make_builder(builder_class, layout, root, data_dir):
  """The builder of a dataset whose prepared data can never be stale.

  The fingerprint of the raw files names the config, and so the prepared
  folder: another tree gets another folder. Where the raw files are gone,
  the one prepared folder there is gets used.

  Args:
    builder_class: a TFDS builder whose configs are RawConfig.
    layout: Layout.
    root: the folder of the raw files, absolute or seen from the current
      directory; None for `<data_dir>/downloads/manual`.
    data_dir: where prepared datasets live; None for TFDS' own default.

  Returns:
    A builder, not yet prepared.

  Raises:
    DataError: there are no raw files and not exactly one prepared folder.
  """
  data_dir = os.path.expanduser(data_dir or tfds.core.constants.DATA_DIR)
  root = root or os.path.join(data_dir, 'downloads', 'manual')
  folder = layout.find(os.path.expanduser(root))
  if folder is not None:
    raw = layout.collect(folder)
    config = RawConfig(name=f'raw_{raw.fingerprint()}', raw=raw)
  else:
    config = RawConfig(
      name=_only_prepared(builder_class, data_dir, layout, root)
    )
  return builder_class(config=config, data_dir=data_dir)


def dataset_info(builder, **about):
  """The TFDS description of a dataset of pairs; `about` is for people."""
  features = {
    common.IMAGE: tfds.features.Image(shape=(None, None, 3)),
    common.LABEL: tfds.features.Image(
      shape=(None, None, 1), dtype=np.uint8, encoding_format='png'
    ),
    common.ID: tfds.features.Text(),
  }
  return tfds.core.DatasetInfo(
    builder=builder,
    features=tfds.features.FeaturesDict(features),
    metadata=tfds.core.MetadataDict(),
    **about,
  )


def split_generators(builder, layout, dl_manager):
  """Checks the raw files, notes the largest size, starts the splits.

  Args:
    builder: the TFDS builder; its `_generate_examples` gets (pairs, values).
    layout: Layout, used on TFDS' manual folder when the builder was made
      without raw files, as TFDS' own commands make it.
    dl_manager: of TFDS.

  Returns:
    The examples of each split by its name.

  Raises:
    DataError: files are at fault, see `check`.
  """
  raw = getattr(builder.builder_config, 'raw', None)
  raw = raw or layout.read(dl_manager.manual_dir)
  builder.info.metadata.update(raw_pairs.check(raw))
  return {
    split: builder._generate_examples(pairs, raw.values)
    for split, pairs in raw.splits.items()
  }


def _only_prepared(builder_class, data_dir, layout, root):
  """The name of the one prepared config, for when the raw files are gone."""
  pattern = os.path.join(
    data_dir,
    builder_class.name,
    'raw_*',
    str(builder_class.VERSION),
    'dataset_info.json',
  )
  prepared = tf.io.gfile.glob(pattern)
  if len(prepared) != 1:
    count = len(prepared) or 'nothing'
    raise errors.DataError(
      f'{layout.missing(root)} Nor can prepared data be used: {count} found '
      f'in {os.path.join(data_dir, builder_class.name)}.'
    )
  folder = os.path.dirname(prepared[0])
  logging.warning(
    'No raw %s in %s: using what was prepared in %s.', layout.name, root, folder
  )
  return os.path.basename(os.path.dirname(folder))
