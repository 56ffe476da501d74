"""Segments images with an exported model; needs nothing of its run.

python -m deeplab_contrast.predict --saved_model=runs/a/export/saved_model \
  --out=predictions photo.jpg folder 'more/**/*.png'

Writes `predictions/masks/<name>.png` (class ids, with a palette),
`predictions/overlays/<name>.jpg` and, with --probabilities, float16
`predictions/probabilities/<name>.npz`. Started again it goes on where it was.
Images that cannot be read are listed in `failures.txt`, and the exit code is 3.
"""

import os
import sys

from deeplab_contrast import launch

FAILURES = 'failures.txt'

# 4096 x 4096: with 21 classes, some 5 GB.
MAX_PIXELS = 2**24


def main(
  launched, saved_model, out, probabilities=False, max_pixels=MAX_PIXELS
):
  """Predicts all images that are not done yet.

  Args:
    launched: the `launch.Launch` of this process; its arguments are the images.
    saved_model: the folder of the model.
    out: the folder of the outputs.
    probabilities: whether they are kept as well.
    max_pixels: images with more are refused.

  Returns:
    The exit code: 3 where images failed.
  """
  from deeplab_contrast.imaging import image_list
  from deeplab_contrast.utils import errors, quiet, signals

  with quiet.no_stderr():  # TensorFlow greets.
    from deeplab_contrast.export import exported, predictions
  for name, value, what in (
    ('saved_model', saved_model, 'the folder that export_model wrote'),
    ('out', out, 'the folder to write into'),
  ):
    if not value:
      raise errors.ConfigError(f'Give --{name}, {what}.')
  with signals.stop_request() as request:
    entries = image_list.find(launched.arguments, without=out)
    model = exported.load(saved_model)
    folder = predictions.Folder(out, model, probabilities, max_pixels)
    done, failures = _predict(folder, entries, request)
  _write_failures(os.path.join(out, FAILURES), failures)
  there = len(entries) - done - len(failures)
  print(
    f'{done} predicted, {there} already there, {len(failures)} failed: {out}'
  )
  if failures:
    print(
      f'error: {len(failures)} of {len(entries)} images failed, see '
      f'{os.path.join(out, FAILURES)}; the same command tries them again.',
      file=sys.stderr,
    )
    return errors.DataError.exit_code
  return 0


def _predict(folder, entries, request):
  """Returns how many were predicted, and a sentence for each that failed."""
  import tqdm

  from deeplab_contrast.utils import errors

  done, failures = 0, []
  # Silent where nobody watches.
  for entry in tqdm.tqdm(entries, unit='image', disable=None):
    request.poll()
    try:
      done += folder.add(entry)
    except errors.DataError as error:
      failures.append(_printable(str(error)))
      print(failures[-1], file=sys.stderr)
  return done, failures


def _printable(text):
  """One line that any terminal takes, whatever a file is called."""
  text = text.encode('utf-8', 'backslashreplace').decode()
  return ''.join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def _write_failures(path, failures):
  """Lists what failed; takes the list of an earlier run away."""
  from deeplab_contrast.utils import files

  if failures:
    files.write_text(path, ''.join(f'{line}\n' for line in failures))
  elif os.path.exists(path):
    os.remove(path)


if __name__ == '__main__':
  from absl import flags

  flags.DEFINE_string('saved_model', None, 'Folder of an exported model.')
  flags.DEFINE_string('out', None, 'Folder to write into.')
  flags.DEFINE_boolean('probabilities', False, 'Keep probabilities as well.')
  flags.DEFINE_integer(
    'max_pixels', MAX_PIXELS, 'Images with more are refused.', lower_bound=1
  )
  launch.run(
    lambda launched: main(
      launched,
      flags.FLAGS.saved_model,
      flags.FLAGS.out,
      flags.FLAGS.probabilities,
      flags.FLAGS.max_pixels,
    ),
    distribute=False,
    needs_experiment=False,
    takes_arguments=True,
  )
