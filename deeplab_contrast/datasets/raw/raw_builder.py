"""TFDS builders from raw image and mask files, always up to date with them."""

import dataclasses
import json
import os
import re
import sys
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds
from absl import logging

from deeplab_contrast import common
from deeplab_contrast.datasets.raw import one_at_a_time, raw_check, raw_pairs
from deeplab_contrast.utils import errors, progress

# Next to the records: what was left out, for people and for the report.
QUARANTINE = 'quarantine.txt'
CHECKED = 'checked.json'


@dataclasses.dataclass(eq=False)
class RawConfig(tfds.core.BuilderConfig):
  """Ties a prepared folder to the raw files it was made from."""

  raw: raw_pairs.RawData | None = dataclasses.field(default=None, repr=False)
  checking: raw_check.Checking = dataclasses.field(
    default=raw_check.Checking(), repr=False
  )


# The argument belongs to a base class without types.
class RawBuilder(  # type: ignore[call-arg]
  one_at_a_time.Builder, skip_registration=True
):
  """Checks raw files, then writes them.

  A derived class sets LAYOUT, VERSION and what TFDS needs of a builder, and
  defines `_info` with `dataset_info`.
  """

  LAYOUT: raw_pairs.Layout

  def _split_generators(self, dl_manager):
    """Checks the raw files, saves the results, starts the splits.

    Raises:
      DataError: files are faulty, see `raw_check.check`.
    """
    # TFDS' own commands make a builder without raw files.
    raw = getattr(self.builder_config, 'raw', None)
    raw = raw or self.LAYOUT.read(dl_manager.manual_dir)
    checking = getattr(self.builder_config, 'checking', None)
    checked = raw_check.check(raw, checking, self._journal())
    self.info.metadata.update(checked.metadata)
    self._note(checked)
    return {
      split: self._generate_examples(split, pairs, checked.raw)
      for split, pairs in checked.raw.splits.items()
    }

  def _generate_examples(self, split, pairs, raw):
    found = raw_pairs.examples(pairs, raw.values, raw.convert)
    if sys.stderr.isatty():
      return found  # TFDS shows a bar.
    return progress.over(found, f'Writing {split}', len(pairs), 'images')

  def _journal(self):
    """Shared by all versions of the raw files, since few of them change."""
    folder = self.data_path.parent
    name = re.sub('_[0-9a-f]{16}$', '', folder.name)
    return os.fspath(folder.parent / f'.checked_{name}.jsonl')

  def _note(self, checked: raw_check.Checked) -> None:
    """Saves the results of the check in the folder being made."""
    if checked.quarantined:
      lines = [f'{name}\t{why}\n' for name, why in checked.quarantined]
      (self.data_path / QUARANTINE).write_text(''.join(lines))
    notes = {
      'quarantined': len({name for name, _ in checked.quarantined}),
      'twins': checked.twins,
      'notes': list(checked.notes),
    }
    (self.data_path / CHECKED).write_text(json.dumps(notes))


def make_builder(
  builder_class: type[RawBuilder],
  layout: raw_pairs.Layout,
  root: str | None,
  data_dir: str | None,
  name: str = 'raw',
) -> RawBuilder:
  """The builder of a dataset whose prepared data can never be stale.

  The fingerprint of the raw files names the config, and so the prepared
  folder: different raw files get a different folder. If the raw files are gone,
  the only prepared folder is used, or one of several with equal contents.

  Args:
    builder_class: the class of the builder.
    layout: how to find the raw files.
    root: the folder of the raw files, absolute or relative to the current
      directory; None for `<data_dir>/downloads/manual`.
    data_dir: the folder of prepared datasets; None for TFDS' default.
    name: the prefix of the names of its configs.

  Returns:
    A builder, not yet prepared.

  Raises:
    DataError: there are no raw files, and no prepared folder or several that
      differ.
  """
  data_dir = os.path.expanduser(data_dir or tfds.core.constants.DATA_DIR)
  root = root or os.path.join(data_dir, 'downloads', 'manual')
  folder = layout.find(os.path.expanduser(root))
  if folder is not None:
    raw = layout.load(folder)
    config = RawConfig(name=f'{name}_{raw.fingerprint()}', raw=raw)
  else:
    config = RawConfig(
      name=_only_prepared(builder_class, data_dir, layout, root, name)
    )
  return builder_class(config=config, data_dir=data_dir)


def dataset_info(
  builder: tfds.core.DatasetBuilder, **about: Any
) -> tfds.core.DatasetInfo:
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


def _only_prepared(builder_class, data_dir, layout, root, name):
  """The name of the only prepared config, if the raw files are gone."""
  pattern = os.path.join(
    data_dir,
    builder_class.name,
    f'{name}_*',
    str(builder_class.VERSION),
    'dataset_info.json',
  )
  folders = [os.path.dirname(path) for path in tf.io.gfile.glob(pattern)]
  configs = [os.path.basename(os.path.dirname(folder)) for folder in folders]
  configs = [c for c in configs if re.fullmatch(f'{name}_[0-9a-f]{{16}}', c)]

  def content(config):
    made = builder_class(config=RawConfig(name=config), data_dir=data_dir)
    return made.info.metadata.get('fingerprint', config)

  if len({content(config) for config in configs}) != 1:
    count = len(configs) or 'nothing'
    raise errors.DataError(
      f'{layout.missing(root)} Prepared data cannot be used either: {count} '
      f'found in {os.path.join(data_dir, builder_class.name)}.'
    )
  logging.warning(
    'No raw %s in %s: using what was prepared as %s.',
    layout.name,
    root,
    configs[0],
  )
  return configs[0]
