"""Contrastive learning for label-efficient semantic segmentation.

From Python: `deeplab_contrast.open` opens a trained run or an export to predict
with, `deeplab_contrast.build` an experiment to fit; see docs/python_api.md.
"""

from typing import Any

from deeplab_contrast.utils import processor

# Before anything here imports TensorFlow, which reads the switch on import.
processor.choose_kernels()


def __getattr__(name: str) -> Any:
  """Imports a public function on first use: TensorFlow takes seconds."""
  if name == 'open':
    from deeplab_contrast.export import opened

    return opened.open_model
  if name == 'build':
    from deeplab_contrast import train

    return train.build
  raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
