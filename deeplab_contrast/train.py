"""Trains one experiment.

python -m deeplab_contrast.train --gin_file=gin_configs/... --model_dir=runs/a

Started again, it resumes from its newest checkpoint. With `--model_dir` alone
it resumes the experiment stored there. From Python: `build`.
"""

import dataclasses
import os
from collections.abc import Sequence
from typing import Any

from deeplab_contrast import launch
from deeplab_contrast.utils import processor, results


@dataclasses.dataclass(frozen=True)
class Training:
  """An experiment as Python describes it; see `build` for the attributes."""

  gin_files: Sequence[str]
  bindings: Sequence[str] = ()
  data_dir: str | None = None
  seed: int | None = None
  allow_imports: Sequence[str] = ()

  @property
  def config(self) -> str:
    """The resolved experiment, as a gin file."""
    return self._launch(None).config

  def fit(self, model_dir: str | os.PathLike[str]) -> dict[str, Any] | None:
    """Trains into a folder and evaluates, as the command `train` does.

    In a folder where this experiment was interrupted, training resumes.

    Args:
      model_dir: the run's folder.

    Returns:
      The content of its `eval/results.json`; None for a contrastive run.

    Raises:
      UserError: the data or the folder are wrong, or a signal stopped it.
    """
    from deeplab_contrast.utils import errors, results

    model_dir = os.fspath(model_dir)
    with errors.as_user_errors():
      main(self._launch(model_dir))
      return results.read(model_dir)

  def _launch(self, model_dir: str | None) -> launch.Launch:
    """Builds a new experiment, since training changes the weights."""
    import tensorflow as tf

    settings = {'data_dir': self.data_dir, 'seed': self.seed}
    built = launch.parse(
      self.gin_files,
      self.bindings,
      settings={k: v for k, v in settings.items() if v is not None},
      allow_imports=self.allow_imports,
      model_dirs=[model_dir] if model_dir else [],
    )
    strategy = tf.distribute.get_strategy()
    return launch.Launch(built.root, strategy, model_dir, built.config)


def build(
  gin_files: Sequence[str],
  bindings: Sequence[str] = (),
  *,
  data_dir: str | None = None,
  seed: int | None = None,
  allow_imports: Sequence[str] = (),
) -> Training:
  """Describes a training on one device and checks it.

  Args:
    gin_files: experiment and overlays; later ones override earlier ones.
    bindings: such as 'STEPS = 10', applied after the files.
    data_dir: folder of prepared datasets; None is TFDS's default.
    seed: seed of everything random; None is the experiment's.
    allow_imports: packages that the gin files may import.

  Raises:
    ConfigError: a file, name or value is wrong; the sentence names the place.
  """
  training = Training(
    tuple(gin_files), tuple(bindings), data_dir, seed, tuple(allow_imports)
  )
  training.config  # noqa: B018 (building it checks it)
  return training


def main(launched: launch.Launch) -> None:
  """Trains until the last step, then evaluates the result.

  Args:
    launched: the `launch.Launch` of this process.
  """
  from deeplab_contrast.inference import run_evaluation
  from deeplab_contrast.training import writers

  experiment = launched.experiment
  with launch.prepare_model_dir(launched) as model_dir:
    if results.is_done(model_dir):
      print(f'{model_dir} is already complete; nothing to do.')
      return
    if not launched.workers.is_chief:  # Only the chief writes.
      experiment.fit(launched.strategy, model_dir)
      return
    print(f'Machine: {processor.describe()}.', flush=True)
    if experiment.crop_note:
      print(experiment.crop_note, flush=True)
    writers.write_config(model_dir, launched.config)
    steps = experiment.trainer.steps
    scores = experiment.fit(launched.strategy, model_dir)
    if scores is not None:
      print(run_evaluation.report(experiment, model_dir, steps, scores))
    results.write_done(model_dir, steps)
    print(f'Done: {model_dir}')


if __name__ == '__main__':
  launch.run(main, takes_workers=True)
