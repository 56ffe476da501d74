"""Labels images with a trained run, where it is sure (paper, section 6).

python -m deeplab_contrast.pseudo_label \
  --gin_file=gin_configs/tasks/pseudo_label.gin \
  --gin_bindings="INIT = 'runs/a'" --model_dir=runs/pseudo

Writes `labels/<id>.png` for every image that the label budget of the run leaves
over, IGNORE_LABEL where the run is not sure, and `manifest.json`: checkpoint,
thresholds, coverage, and agreement with true labels where there are any. What
is finished is not repeated. Several processes can share the work, with
`--num_shards=3` and `--shard=0`, 1, 2; the labels are the same.
"""

import os

from deeplab_contrast import launch
from deeplab_contrast.utils import run_files

ROOT = 'deeplab_contrast.inference.pseudo_labeler.PseudoLabeler'


def main(launched, shard=0, num_shards=1):
  """Labels one share of the images; the last share writes the manifest.

  Args:
    launched: the `launch.Launch` of this process; its root is a
      `PseudoLabeler`.
    shard: which share.
    num_shards: of how many.

  Raises:
    UserError: the run cannot predict, its checkpoint has changed since the
      first labels, labelled or val images are among the images, or no pixel
      is sure enough.
  """
  from deeplab_contrast.config import run_folder
  from deeplab_contrast.utils import errors, results, signals

  folder = launched.model_dir
  if folder is None:
    raise errors.ConfigError('Give --model_dir, the folder for the labels.')
  if shard >= num_shards:
    raise errors.ConfigError(
      f'--shard={shard} is none of --num_shards={num_shards}: they count from '
      '0.'
    )
  part = os.path.join(run_files.SHARDS, f'{shard}_of_{num_shards}')
  config, may_change = launched.config, launched.allow_config_change
  with (
    run_folder.prepare(folder, config, may_change, part),
    signals.stop_request() as stop,
  ):
    if results.is_done(folder):
      print(f'{folder} is already complete; nothing to do.')
      return
    _label(launched, shard, num_shards, stop.poll)


def _label(launched, shard, num_shards, poll):
  """Labels a share; see `main`."""
  from deeplab_contrast import experiment as experiment_lib
  from deeplab_contrast.inference import pseudo_labelling

  labeler, strategy = launched.experiment, launched.strategy
  experiment, origin = _restore(labeler, strategy, launched.allow_imports)
  examples = _open(labeler, experiment)
  info = examples.info
  how = labeler.evaluator or experiment.evaluator
  thresholds = labeler.thresholds(info.class_names)
  _remember(launched.model_dir, origin)
  work = pseudo_labelling.Labelling(
    launched.model_dir,
    examples,
    thresholds,
    how.batch_size,
    labeler.keep_confidence,
  )
  predict = pseudo_labelling.make_predict(
    experiment.model, how.predictor, thresholds
  )
  pad = experiment.pad(examples, how.batch_size, how, labels=False)
  with experiment_lib.data_errors():
    work.run(predict, pad, shard, num_shards, poll)
  missing = work.missing()
  if missing:
    print(
      f'Shard {shard} is complete; {len(missing)} images are left to others.'
    )
    return
  summary = pseudo_labelling.summary(
    work.counts(), info.class_names, thresholds
  )
  _finish(launched.model_dir, {**origin, **summary})


def _restore(labeler, strategy, allow_imports):
  """The experiment of the run with its newest weights, and where they are."""
  from deeplab_contrast.config import run_folder
  from deeplab_contrast.training import checkpoints

  settings = {}
  if labeler.data_dir is not None:
    settings['data_dir'] = labeler.data_dir
  built = launch.parse(
    [run_folder.config_file(labeler.run)],
    settings=settings,
    scope=strategy.scope,
    allow_imports=allow_imports,
  )
  step = built.root.restore(strategy, labeler.run)
  path = checkpoints.path_of(labeler.run, step)
  digest = checkpoints.digest(path)
  origin = {'checkpoint': path, 'step': step, 'checkpoint_sha256': digest}
  print(f'Labelling with {path}', flush=True)
  return built.root, origin


def _open(labeler, experiment):
  """Opens the images; refuses those that were trained on, or judge."""
  from deeplab_contrast.datasets.sources import overlap
  from deeplab_contrast.inference import pseudo_labeler
  from deeplab_contrast.utils import errors

  trained_on, data_dir = experiment.train.source, experiment.data_dir
  source = labeler.unlabelled(trained_on)
  if source.info.class_names != trained_on.info.class_names:
    raise errors.ConfigError(
      f'The run {labeler.run} knows the classes of {trained_on.info.name}, the '
      f'images to label come from {source.info.name}, which has others.'
    )
  examples = source.open(data_dir)
  labelled = pseudo_labeler.budget_of(trained_on) or trained_on
  for name, other in (
    ('labelled', labelled),
    ('val', experiment.eval_source),
  ):
    if other is not None:
      overlap.refuse(examples, other.open(data_dir), name)
  return examples


def _remember(folder, origin):
  """Refuses to mix labels of two checkpoints in one folder."""
  import json

  from deeplab_contrast.utils import errors, files

  path = os.path.join(folder, run_files.STARTED)
  if not os.path.exists(path):
    files.write_json(path, origin)
  with open(path, encoding='utf-8') as file:
    first = json.load(file)
  if first != origin:
    raise errors.ConfigError(
      f'{folder} holds labels made by {first["checkpoint"]} as it was then, '
      f'now they would be made by {origin["checkpoint"]}; give another '
      '--model_dir, or delete this one.'
    )


def _finish(folder, manifest):
  """Writes manifest and DONE, and says what the labels are worth."""
  from deeplab_contrast.inference import pseudo_labelling
  from deeplab_contrast.utils import errors, files, results

  files.write_json(os.path.join(folder, run_files.MANIFEST), manifest)
  if not manifest['share_kept']:
    raise errors.DataError(
      f'No pixel of the {manifest["images"]} images reaches its threshold: '
      f'{manifest["checkpoint"]} is not sure of anything. Train it longer, or '
      'lower PseudoLabeler.threshold.'
    )
  print(pseudo_labelling.table(manifest))
  agreement = manifest['agreement']
  right = (
    f', {100 * agreement["accuracy"]:.1f} % of them right' if agreement else ''
  )
  print(
    f'{manifest["images"]} images, {100 * manifest["share_kept"]:.1f} % of '
    f'their pixels labelled{right}: '
    f'{os.path.join(folder, run_files.LABELS)}'
  )
  for name, kept in manifest['kept'].items():
    if not kept:
      print(
        f'No pixel is confidently {name} (threshold '
        f'{manifest["thresholds"][name]:g}): these labels teach nothing of it.'
      )
  results.write_done(folder, manifest['step'])


if __name__ == '__main__':
  from absl import flags

  flags.DEFINE_integer('shard', 0, 'Which share to do.', lower_bound=0)
  flags.DEFINE_integer(
    'num_shards', 1, 'Into how many shares the work is cut.', lower_bound=1
  )
  launch.run(
    lambda launched: main(launched, flags.FLAGS.shard, flags.FLAGS.num_shards),
    root=ROOT,
  )
