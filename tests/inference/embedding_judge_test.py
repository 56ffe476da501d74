"""What the judge evaluates, against the same by hand; the numbers themselves
are those of `core/embedding_quality_test`."""

import numpy as np
import pytest
import tensorflow as tf

from deeplab_contrast import common
from deeplab_contrast.core import embedding_quality, resize
from deeplab_contrast.datasets import transforms
from deeplab_contrast.inference import embedding_judge
from deeplab_contrast.tasks import contrastive
from deeplab_contrast.utils import errors
from tests import tiny
from tests.datasets import in_memory

NAMES = [f'image_{i}' for i in range(5)]
ALL_PIXELS = 10_000


def labels(size=(33, 45)):
  """Stripes wide enough for features at stride 8; void at the top."""
  result = []
  for i in range(len(NAMES)):
    stripes = np.arange(size[1]) // 15 + i
    label = np.tile(stripes % 3, (size[0] - 2 * i, 1))
    label[: 2 * i] = common.IGNORE_LABEL
    result.append(label)
  return result


@pytest.fixture(scope='module')
def examples():
  return in_memory.Painted(NAMES, labels())


@pytest.fixture(scope='module')
def network():
  return tiny.network(contrastive.Contrastive())


def by_hand(network, examples, indices, scale, head):
  """All labelled pixels of some images, padded to 33 x 49."""
  values, classes = [], []
  for index in indices:
    example = transforms.Decode()(examples[index])
    example = transforms.Pad((33, 49))(example)
    image = resize.by_factor(example[common.IMAGE][tf.newaxis], scale)
    maps = network.trunk(image, training=False)
    if head:
      maps = network.head(maps)
    size = maps.shape[1:3]
    # The nearest pixel of the label, corners aligned; halves go up.
    places = [
      np.floor(np.arange(n) * (side - 1) / (n - 1) + 0.5).astype(int)
      for n, side in zip(size, (33, 49), strict=True)
    ]
    label = example[common.LABEL].numpy()[np.ix_(*places)]
    known = label != common.IGNORE_LABEL
    values.append(maps[0].numpy()[known])
    classes.append(label[known])
  return np.concatenate(values), np.concatenate(classes)


@pytest.mark.parametrize('scale', [1.0, 0.5])
def test_all_pixels_by_hand(network, examples, scale):
  judge = embedding_judge.EmbeddingJudge(
    images=4, pixels_per_image=ALL_PIXELS, neighbours=3, fit_share=0.75
  )
  fit_part, judged_part = judge.choose(NAMES)
  assert (len(fit_part), len(judged_part)) == (3, 1)
  scores = judge.on(network, examples, scale)()
  fit = by_hand(network, examples, fit_part, scale, head=False)
  judged = by_hand(network, examples, judged_part, scale, head=False)
  embeddings = by_hand(
    network, examples, fit_part + judged_part, scale, head=True
  )
  within, between = embedding_quality.class_similarities(*embeddings, 3)
  assert scores['within_similarity'] == pytest.approx(within, abs=1e-6)
  assert scores['between_similarity'] == pytest.approx(between, abs=1e-6)
  # Drawn in another order, so that only rounding may differ.
  knn = embedding_quality.knn_miou(*fit, *judged, 3, 3)
  assert scores['knn_miou'] == pytest.approx(knn, abs=0.02)
  probe = embedding_quality.probe_miou(*fit, *judged, 3)
  assert scores['probe_miou'] == pytest.approx(probe, abs=0.02)
  assert scores['fit_pixels'] == len(fit[1])
  assert scores['judged_pixels'] == len(judged[1])
  assert (scores['fit_images'], scores['judged_images']) == (3, 1)


def test_judged_again_it_is_the_same(network, examples):
  judge = embedding_judge.EmbeddingJudge(pixels_per_image=20)
  before = tiny.weights(network)
  judgement, polls = judge.on(network, examples), []
  scores = judgement(lambda: polls.append(1))
  assert len(polls) == 5
  assert judgement() == scores == judge.on(network, examples)()
  for path, value in tiny.weights(network).items():
    np.testing.assert_array_equal(value, before[path], err_msg=path)
  # As many pixels of each image as were asked for.
  assert scores['fit_pixels'] + scores['judged_pixels'] == 5 * 20
  other = embedding_judge.EmbeddingJudge(pixels_per_image=20, seed=1)
  assert other.on(network, examples)() != scores


def test_it_judges_the_weights_of_now(network, examples):
  judgement = embedding_judge.EmbeddingJudge().on(network, examples)
  before = judgement()
  kernel = network.head.convs[-1].kernel
  saved = kernel.numpy()
  kernel.assign(tf.zeros_like(saved))
  try:
    scores = judgement()
  finally:
    kernel.assign(saved)
  assert scores['within_similarity'] == scores['between_similarity'] == 0.0
  assert scores['knn_miou'] == before['knn_miou']  # Without the head.
  assert judgement() == before


def test_the_choice_follows_from_the_names_alone():
  judge = embedding_judge.EmbeddingJudge(images=6)
  names = [f'image_{i}' for i in range(40)]

  def chosen(listed):
    return [[listed[i] for i in part] for part in judge.choose(listed)]

  fit, judged = chosen(names)
  assert len({*fit, *judged}) == 6 and len(fit) == len(judged) == 3
  assert chosen(names[::-1]) == [fit, judged]
  # Those that are left keep their parts' order when others go.
  others = [n for n in names if n not in fit]
  assert chosen(others)[0] == judged
  other = embedding_judge.EmbeddingJudge(images=6, seed=1)
  assert other.choose(names) != judge.choose(names)


@pytest.mark.parametrize('count', [1, 2])
def test_very_few_images(network, count):
  few = in_memory.Painted(NAMES[:count], labels()[:count])
  scores = embedding_judge.EmbeddingJudge().on(network, few)()
  assert (scores['fit_images'], scores['judged_images']) == (1, count - 1)
  assert np.isfinite(scores['within_similarity'])
  assert np.isnan(scores['knn_miou']) == (count == 1)
  assert np.isnan(scores['probe_miou']) == (count == 1)


def test_images_without_labels(network):
  void = [np.full([33, 45], common.IGNORE_LABEL)] * 3
  unlabelled = in_memory.Painted(NAMES[:3], void)
  scores = embedding_judge.EmbeddingJudge().on(network, unlabelled)()
  numbers = [v for v in scores.values() if isinstance(v, float)]
  assert len(numbers) == 4 and np.isnan(numbers).all()
  assert scores['judged_pixels'] == 0


@pytest.mark.parametrize(
  ('setting', 'sentence'),
  [
    ({'images': 1}, 'images is 1; .* at least 2'),
    ({'neighbours': 0}, 'neighbours is 0'),
    ({'pixels_per_image': 2.5}, 'pixels_per_image is 2.5'),
    ({'seed': -1}, 'seed is -1'),
    ({'fit_share': 1.0}, 'fit_share is 1.0; it is a share'),
  ],
)
def test_bad_settings_are_named(setting, sentence):
  with pytest.raises(errors.ConfigError, match=f'EmbeddingJudge.{sentence}'):
    embedding_judge.EmbeddingJudge(**setting)


def test_an_image_that_does_not_fit(network, examples):
  judge = embedding_judge.EmbeddingJudge(crop_size=(33, 33))
  with pytest.raises(
    errors.ConfigError, match='EmbeddingJudge.crop_size .33, 33. is'
  ):
    judge.on(network, examples)


@pytest.mark.slow
def test_two_replicas_judge_as_one(two_replicas):
  code = """
    import tensorflow as tf
    from deeplab_contrast.inference import embedding_judge
    from deeplab_contrast.tasks import contrastive
    from tests import tiny
    from tests.inference import embedding_judge_test as test
    from tests.datasets import in_memory
    examples = in_memory.Painted(test.NAMES, test.labels())
    for strategy in (tf.distribute.get_strategy(), two):
      with strategy.scope():
        network = tiny.network(contrastive.Contrastive())
      print(embedding_judge.EmbeddingJudge().on(network, examples)())
    """
  one, two = two_replicas(code).splitlines()[-2:]
  assert one == two
  assert "'knn_miou': 0." in one
