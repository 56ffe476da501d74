"""A page on this machine: drop a picture, see what exported models predict.

python -m deeplab_contrast.demo --saved_model=runs/a/export/saved_model

Given twice, --saved_model compares two models. Needs the extra `demo`. Only
this machine can open the page, and no data leaves it. Ctrl-C ends it.
"""

import time
from collections.abc import Sequence

from deeplab_contrast import launch

MAX_PIXELS = 2**23  # 4096 x 2048.
MAX_MEGABYTES = 32


def main(
  launched: launch.Launch,
  saved_models: Sequence[str],
  port: int = 7860,
  max_pixels: int = MAX_PIXELS,
) -> int:
  """Serves the page until a signal arrives.

  Args:
    launched: the `launch.Launch` of this process; not used.
    saved_models: folders of one or two models.
    port: to listen on; 0 takes a free one.
    max_pixels: larger pictures are refused.

  Returns:
    The exit code.

  Raises:
    ConfigError: no model, or more than two.
    SystemFault: gradio is missing, or the port is taken.
  """
  del launched
  from deeplab_contrast.utils import errors, quiet, signals

  if not 1 <= len(saved_models) <= 2:
    raise errors.ConfigError(
      f'{len(saved_models)} models given; give --saved_model once, or twice to '
      'compare.'
    )
  try:
    with quiet.no_stderr():
      from deeplab_contrast.export import demo_page, exported
  except ImportError as error:
    raise errors.SystemFault(
      f"{error.name} is missing: pip install -e '.[demo]'."
    ) from error
  models = [exported.load(path) for path in saved_models]
  page = demo_page.build(models, max_pixels)
  with signals.stop_request() as request:
    address = demo_page.serve(page, port, MAX_MEGABYTES * 2**20)
    print(f'Open {address} on this machine; Ctrl-C ends it.', flush=True)
    while not request.came():
      time.sleep(0.2)
  page.close(verbose=False)
  print('Closed.')
  return 0


if __name__ == '__main__':
  from absl import flags

  flags.DEFINE_multi_string(
    'saved_model', [], 'Folder of an exported model; may be given twice.'
  )
  flags.DEFINE_integer(
    'port', 7860, 'Port to listen on; 0 takes a free one.', 0, 65535
  )
  flags.DEFINE_integer(
    'max_pixels', MAX_PIXELS, 'Pictures with more are refused.', lower_bound=1
  )
  launch.run(
    lambda launched: main(
      launched,
      flags.FLAGS.saved_model,
      flags.FLAGS.port,
      flags.FLAGS.max_pixels,
    ),
    distribute=False,
    needs_experiment=False,
    takes_experiment=False,
  )
