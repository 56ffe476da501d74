"""Prints the costs of a network: weights, operations, sizes of its maps.

python -m deeplab_contrast.model_summary --gin_file=gin_configs/... [--json]

Nothing is trained, and no data are read. Operations are those of convolutions
and matrix products of one image, forward; a multiply-add counts as 2.
"""

import json

from deeplab_contrast import launch


def main(launched: launch.Launch, as_json: bool = False) -> None:
  """Prints the summary.

  Args:
    launched: the `launch.Launch` of this process.
    as_json: as JSON rather than as text.
  """
  from deeplab_contrast.inference import network_summary

  summary = network_summary.summarize(launched.experiment, launched.strategy)
  if as_json:
    print(json.dumps(summary, indent=2))
  else:
    print(network_summary.text(summary))


if __name__ == '__main__':
  from absl import flags

  flags.DEFINE_boolean('json', False, 'Print JSON.')
  launch.run(lambda launched: main(launched, flags.FLAGS.json))
