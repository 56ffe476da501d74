"""What a study shows, in sentences computed from intervals."""

from collections.abc import Iterator

import numpy as np

from deeplab_contrast.studies.report import style, summary
from deeplab_contrast.studies.report.study import Study


def of(study: Study) -> list[str]:
  """A sentence for each pair of arms and each budget with several seeds.

  Args:
    study: what to conclude from.

  Returns:
    Sentences such as 'With 23 labelled images, contrastive is better than
    softmax: +3.1 points of mIoU [1.2, 5.0].'
  """
  return list(_sentences(study))


def _sentences(study: Study) -> Iterator[str]:
  for first, second in summary.differences(study):
    for labels in study.budgets:
      found = summary.difference(study, labels, first, second)
      interval = found.interval
      if interval is None:
        continue
      yield _sentence(
        style.arm_title(first),
        style.arm_title(second),
        100 * np.mean(found.values),
        [100 * end for end in interval],
        style.budget_title(labels),
      )


def _sentence(first, second, mean, interval, budget):
  low, high = interval
  numbers = f'{mean:+.1f} points of mIoU [{low:.1f}, {high:.1f}]'
  if low > 0:
    verdict = f'{first} is better than {second}'
  elif high < 0:
    verdict = f'{first} is worse than {second}'
  else:
    verdict = f'no difference is shown between {first} and {second}'
  return f'With {budget}, {verdict}: {numbers.replace("-", "−")}.'
