"""Segments images with an exported model; does not need its run.

python -m deeplab_contrast.predict --saved_model=runs/a/export/saved_model \
  --out=predictions photo.jpg folder 'more/**/*.png'

Writes `predictions/masks/<name>.png` (class ids, with a palette),
`predictions/overlays/<name>.jpg` and, with --probabilities, float16
`predictions/probabilities/<name>.npz`. Started again, it resumes. Images that
cannot be read are listed in `failures.txt`, and the exit code is 3. With
--json, the result is printed as JSON. A run in place of the exported model
is exported first, into memory.
"""

import json
import os
import sys

from deeplab_contrast import launch

# 4096 x 4096: with 21 classes, about 5 GB.
MAX_PIXELS = 2**24

_MOST_NAMED = 5


def main(
  launched: launch.Launch,
  saved_model: str | None,
  out: str | None,
  probabilities: bool = False,
  max_pixels: int = MAX_PIXELS,
  as_json: bool = False,
) -> int:
  """Predicts all images that are not done yet.

  Args:
    launched: the `launch.Launch` of this process; its arguments are the images.
    saved_model: the folder of the model, or of a run that classifies.
    out: the folder of the outputs.
    probabilities: whether they are written too.
    max_pixels: images with more are refused.
    as_json: whether the result is printed as JSON.

  Returns:
    The exit code: 3 if images failed.

  Raises:
    ConfigError: a folder is missing, or `out` holds other files.
    DataError: there are no images, or the model is damaged.
  """
  from deeplab_contrast.imaging import image_list
  from deeplab_contrast.utils import errors, quiet, signals

  with quiet.no_stderr():  # TensorFlow logs its start.
    from deeplab_contrast.export import predictions
  if not saved_model:
    raise errors.ConfigError(
      'Give --saved_model, the folder that export_model or train wrote.'
    )
  if not out:
    raise errors.ConfigError('Give --out, the folder to write to.')
  with signals.stop_request() as request:
    entries = image_list.find(launched.arguments, without=out)
    model = _load(saved_model)
    folder = predictions.Folder(out, model, probabilities, max_pixels)
    done, failed = folder.add_all(entries, request.poll)
  before = len(entries) - done - failed
  skipped = image_list.skipped(launched.arguments, without=out)
  counts = {'predicted': done, 'already there': before, 'failed': failed}
  if as_json:
    print(json.dumps({**counts, 'skipped': skipped, 'out': out}))
  else:
    _say(counts, skipped, out)
  if not failed:
    return 0
  print(
    f'error: {failed} of {len(entries)} images failed, see '
    f'{os.path.join(out, predictions.FAILURES)}; the same command tries them '
    'again.',
    file=sys.stderr,
  )
  return errors.DataError.exit_code


def _load(path):
  from deeplab_contrast.utils import run_files

  if not os.path.isfile(os.path.join(path, run_files.CONFIG)):
    from deeplab_contrast.export import exported

    return exported.load(path)
  # The code of networks is only needed for a run.
  from deeplab_contrast.export import opened

  return opened.open_model(path).exported


def _say(counts, skipped, out):
  print(', '.join(f'{n} {what}' for what, n in counts.items()) + f': {out}')
  if skipped:
    names = ', '.join(map(os.path.basename, skipped[:_MOST_NAMED]))
    more = len(skipped) - _MOST_NAMED
    print(
      f'Skipped {len(skipped)} files that are not images: {names}'
      f'{f" and {more} more" if more > 0 else ""}.'
    )


if __name__ == '__main__':
  from absl import flags

  flags.DEFINE_string(
    'saved_model', None, 'Folder of an exported model, or of a run.'
  )
  flags.DEFINE_string('out', None, 'Folder to write to.')
  flags.DEFINE_boolean('probabilities', False, 'Write probabilities too.')
  flags.DEFINE_integer(
    'max_pixels', MAX_PIXELS, 'Images with more are refused.', lower_bound=1
  )
  flags.DEFINE_boolean('json', False, 'Print the result as JSON.')
  launch.run(
    lambda launched: main(
      launched,
      flags.FLAGS.saved_model,
      flags.FLAGS.out,
      flags.FLAGS.probabilities,
      flags.FLAGS.max_pixels,
      flags.FLAGS.json,
    ),
    distribute=False,
    needs_experiment=False,
    takes_arguments=True,
  )
