import collections

import pytest

from deeplab_contrast.common import ID
from deeplab_contrast.datasets import pipeline, sources
from deeplab_contrast.datasets.voc2012_segmentation import Voc2012
from deeplab_contrast.utils import errors
from tests.datasets.in_memory import HUNDRED, NamedSource, PaintedSource

FEW = NamedSource(('a', 'b', 'c'))
MANY = NamedSource(tuple(f'm{i}' for i in range(7)))


def test_a_union_is_one_after_the_other():
  examples = sources.Union([FEW, MANY]).open(None)
  assert sources.Union([FEW, MANY]).info is Voc2012.info
  assert len(examples) == 10
  assert examples.ids() == [*FEW.names, *MANY.names]
  assert [e[ID].decode() for e in examples] == examples.ids()
  for index in (-1, 10):
    with pytest.raises(IndexError):
      examples[index]


def test_the_largest_image_of_all_parts_counts():
  small, large = PaintedSource('x', 1), PaintedSource('y', 4)
  examples = sources.Union((small, large)).open(None)
  assert examples.max_size == (12, 14)


@pytest.mark.parametrize(
  'join', [sources.Union, lambda parts: sources.Mixture(parts, (1, 1))]
)
def test_shared_ids_are_refused(join):
  some = NamedSource(('x', *(f'name_{i}' for i in range(25))))
  sentence = 'Sources 1 and 2 .* share 25 ids: name_0, .* and 5 more'
  with pytest.raises(errors.DataError, match=sentence) as error:
    join((HUNDRED, some)).open(None)
  assert 'name_19' in str(error.value) and 'name_20' not in str(error.value)


def test_a_budget_and_its_complement_are_disjoint():
  budget = sources.LabelBudget(HUNDRED, count=30)
  union = sources.Union((budget, sources.Complement(budget)))
  assert sorted(union.open(None).ids()) == sorted(HUNDRED.names)
  twice = sources.Union((budget, HUNDRED))
  with pytest.raises(errors.DataError, match='share 30 ids'):
    twice.open(None)


@pytest.mark.parametrize('kind', ['Union', 'Mixture'])
def test_parts_must_agree_on_the_classes(kind):
  more = [(1, 1)] if kind == 'Mixture' else []
  with pytest.raises(
    errors.ConfigError, match=r'Source 2 .* \(three\) .*\(voc'
  ):
    getattr(sources, kind)((FEW, PaintedSource()), *more)
  with pytest.raises(errors.ConfigError, match=f'{kind}.sources is empty'):
    getattr(sources, kind)((), *more)


# Mixtures.


@pytest.mark.parametrize(
  'proportions', [(1,), (1, 2, 3), (0, 1), (1, -2), (0.25, 0.75), (True, 1)]
)
def test_wrong_proportions_are_refused(proportions):
  with pytest.raises(errors.ConfigError, match='must be 2 whole numbers'):
    sources.Mixture((FEW, MANY), proportions)


def test_an_empty_part_is_refused():
  with pytest.raises(errors.DataError, match='Source 2 of the Mixture has no'):
    sources.Mixture((FEW, NamedSource(())), (1, 1)).open(None)


def seen(mixture, count, seed=5, start=0):
  examples = mixture.open(None)
  return pipeline.ids_at(examples, seed, range(start, start + count))


@pytest.mark.parametrize('proportions', [(1, 3), (2, 6)])
def test_every_block_has_the_proportions(proportions):
  order = seen(sources.Mixture((FEW, MANY), proportions), 80)
  for start in range(0, 80, 4):
    assert sum(name in FEW.names for name in order[start : start + 4]) == 1


def test_the_places_in_a_block_are_drawn():
  order = seen(sources.Mixture((FEW, MANY), (1, 3)), 160)
  places = [i % 4 for i, name in enumerate(order) if name in FEW.names]
  assert set(places) == {0, 1, 2, 3}
  # On four hosts, each of which takes every fourth position, all get some.
  assert max(collections.Counter(places).values()) < 20


@pytest.mark.parametrize('proportions', [(1, 3), (5, 2), (1, 1)])
def test_each_part_has_its_own_epochs(proportions):
  order = seen(sources.Mixture((FEW, MANY), proportions), 200)
  for part in (FEW, MANY):
    own = [name for name in order if name in part.names]
    size = len(part.names)
    epochs = [own[i : i + size] for i in range(0, len(own) - size + 1, size)]
    assert len(epochs) >= 3
    for epoch in epochs:
      assert sorted(epoch) == sorted(part.names)
    assert len({tuple(epoch) for epoch in epochs}) > 1


def test_the_seed_changes_the_mixture():
  mixture = sources.Mixture((FEW, MANY), (1, 3))
  assert seen(mixture, 30) != seen(mixture, 30, seed=6)


def test_parts_of_one_size_do_not_go_in_step():
  other = NamedSource(('x', 'y', 'z'))
  order = seen(sources.Mixture((FEW, other), (1, 1)), 120)
  first = [FEW.names.index(n) for n in order if n in FEW.names]
  second = [other.names.index(n) for n in order if n in other.names]
  assert first != second


def test_far_positions_of_a_mixture_are_near():
  mixture = sources.Mixture((FEW, MANY), (1, 3))
  far = seen(mixture, 8, start=4 * 10**14)
  assert sum(name in FEW.names for name in far) == 2


def test_a_mixture_as_a_list_is_the_union():
  mixture = sources.Mixture([FEW, MANY], [1, 3])
  union = sources.Union([FEW, MANY])
  assert mixture.open(None).ids() == union.open(None).ids()
  assert mixture.info is FEW.info
