"""Replaces the precision 'auto' of an experiment by the one it resolves to."""

import dataclasses
import os
from collections.abc import Sequence

from deeplab_contrast.config import gin_text, run_folder
from deeplab_contrast.utils import precision, run_files

_EXPERIMENT, _PARAMETER = 'deeplab_contrast.experiment.Experiment', 'precision'


def resolve(
  bindings: list[gin_text.Binding], model_dirs: Sequence[str] = ()
) -> tuple[list[gin_text.Binding], str | None]:
  """Replaces 'auto' by the precision of earlier runs, or by the faster one.

  Args:
    bindings: all of an experiment, in order.
    model_dirs: folders of runs that must have the same precision; the first
      that holds a run decides.

  Returns:
    The bindings, and the statement that replaces 'auto'; None if there is no
    'auto'.
  """
  place = _place(bindings)
  if place is None or bindings[place].value != 'auto':
    return bindings, None
  found = next(filter(None, map(_stored, model_dirs)), None)
  found = found or precision.faster()
  changed = dataclasses.replace(bindings[place], value=found)
  return [*bindings[:place], changed, *bindings[place + 1 :]], changed.text


def _place(bindings):
  """Where the precision gets its value, through macros; None if nowhere."""
  names = {}
  for i, binding in enumerate(bindings):
    selector = gin_text.full_name(binding.selector, binding.imports)
    names[selector, binding.parameter] = i
  place = names.get((_EXPERIMENT, _PARAMETER))
  while place is not None and isinstance(bindings[place].value, gin_text.Macro):
    place = names.get(('', bindings[place].value.name))
  return place


def _stored(model_dir):
  """The precision of a run; None without a run."""
  path = os.path.join(model_dir, run_files.CONFIG)
  if not os.path.isfile(path):
    return None
  with open(path, encoding='utf-8') as file:
    text = file.read()
  return run_folder.parameters(text).get((_EXPERIMENT, _PARAMETER))
