"""Writes one page about a finished study or recipe, with all its pictures.

python -m deeplab_contrast.report --model_dir=runs/study [--out=folder]

`report/index.html` in the study's folder is complete by itself: it loads no
other file, script or font. Its figures are beside it as PNGs. Pictures and
features that a run lacks are made first, each by its own process. The t-SNE
figure needs the extra: pip install -e '.[report]'. The same study gives the
same page.
"""

from deeplab_contrast import launch


def main(
  launched: launch.Launch,
  out: str | None = None,
  num_images: int = 4,
  tsne: bool = True,
) -> None:
  """Makes what is missing, and writes the page.

  Args:
    launched: what this process was started with.
    out: the folder to write to; None is `report` in the model_dir.
    num_images: how many pictures to draw of a run that has none.
    tsne: whether to show the features.

  Raises:
    ConfigError: no --model_dir.
    DataError: nothing is finished there, or a file is damaged.
    SystemFault: scikit-learn is missing, or the page cannot be written.
  """
  from deeplab_contrast.studies import processes
  from deeplab_contrast.studies.report import making
  from deeplab_contrast.utils import errors

  if launched.model_dir is None:
    raise errors.ConfigError('Give --model_dir, the folder of a study.')
  handed_on = processes.Flags(
    launched.strategy_name,
    launched.data_dir,
    allow_imports=launched.allow_imports,
  )
  making.make(launched.model_dir, handed_on, out, num_images, tsne)


if __name__ == '__main__':
  from absl import flags

  flags.DEFINE_string(
    'out', None, 'The folder of the page. Default: report in --model_dir.'
  )
  flags.DEFINE_integer(
    'num_images',
    4,
    'How many images to draw of runs without pictures; 0 draws none.',
    lower_bound=0,
  )
  flags.DEFINE_boolean('no_tsne', False, 'Leave out the t-SNE figure.')
  launch.run(
    lambda launched: main(
      launched,
      flags.FLAGS.out,
      flags.FLAGS.num_images,
      not flags.FLAGS.no_tsne,
    ),
    takes_experiment=False,
  )
