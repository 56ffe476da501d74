"""Example n of a run is the same, whatever host, start and threads read it."""

import hashlib

import numpy as np
import pytest
import tensorflow as tf

from deeplab_contrast.common import ID, IMAGE
from deeplab_contrast.datasets import pipeline, sources, transforms
from tests.datasets.in_memory import PaintedSource, decoded, png

BUDGET = sources.LabelBudget(PaintedSource('x', 12), count=5)
REST = sources.Complement(BUDGET)
STEPS = (
  transforms.Decode(),
  transforms.RandomScale(),
  transforms.Pad(17),
  transforms.RandomCrop(17),
  transforms.RandomFlip(),
  # Distortions cost seconds of tracing; see the slow test.
  transforms.TwoViews(transforms.BrightnessContrast(), True),
)


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  """Pseudo-labels of the rest."""
  folder = tmp_path_factory.mktemp('labels')
  for example in REST.open(None):
    label = decoded(example[IMAGE])[..., 0] % 3
    (folder / f'{example[ID].decode()}.png').write_bytes(png(label, 'P'))
  return str(folder)


def make(kind, folder):
  pseudo = sources.PseudoLabelled(REST, folder)
  return {
    'plain': PaintedSource('x', 12),
    'budget': sources.LabelBudget(PaintedSource('x', 12), 6, balanced=True),
    'unlabelled': sources.Unlabelled(REST),
    'pseudo': pseudo,
    'union': sources.Union((BUDGET, pseudo)),
    'mixture': sources.Mixture((BUDGET, pseudo), (1, 2)),
  }[kind]


KINDS = ('plain', 'budget', 'unlabelled', 'pseudo', 'union', 'mixture')


def hashes(source, count, batch_size=1, threads=None, steps=STEPS, **options):
  """(id, hash of all inputs of the network) of each of the next examples."""
  run = pipeline.Pipeline(source, steps).dataset(
    source.open(None), batch_size=batch_size, seed=3, keep_id=True, **options
  )
  if threads:
    settings = tf.data.Options()
    settings.threading.private_threadpool_size = threads
    run = run.with_options(settings)
  found = []
  for batch in run.take(count // batch_size).as_numpy_iterator():
    for i, name in enumerate(batch[ID]):
      digest = hashlib.sha256()
      for key in sorted(set(batch) - {ID}):
        digest.update(np.asarray(batch[key][i]).tobytes())
      found.append((name.decode(), digest.hexdigest()))
  return found


def ids(source, count, **options):
  return [name for name, _ in hashes(source, count, steps=(), **options)]


def workers(monkeypatch, number):
  """Sets the num_parallel_calls that the pipeline uses."""
  monkeypatch.setattr(tf.data, 'AUTOTUNE', number)


@pytest.mark.parametrize('kind', ['plain', 'pseudo', 'mixture'])
def test_every_example_is_a_function_of_its_position(kind, folder, monkeypatch):
  source = make(kind, folder)
  count = 3 * len(source.open(None))
  whole = hashes(source, count)
  # The same image is never augmented alike twice.
  assert len({digest for _, digest in whole}) == count
  start = count // 2 + 1
  assert hashes(source, count - start, start=start) == whole[start:]
  workers(monkeypatch, 3)
  assert hashes(source, count, 3, threads=3) == whole
  for host in (0, 1):
    own = hashes(source, count // 2, host=host, num_hosts=2)
    assert own == whole[host::2][: count // 2]


@pytest.mark.slow
def test_likewise_with_all_distortions(folder, monkeypatch):
  """Of a mixture, which has labels of both kinds; one of three hosts."""
  source = make('mixture', folder)
  count = 3 * len(source.open(None))
  steps = (*STEPS[:-1], transforms.TwoViews())
  whole = hashes(source, count, steps=steps)
  workers(monkeypatch, 1)
  part = hashes(source, count - 4, start=4, steps=steps)
  assert part == whole[4:]
  own = hashes(source, count // 3, host=1, num_hosts=3, steps=steps)
  assert own == whole[1::3]


@pytest.mark.parametrize('kind', [k for k in KINDS if k != 'mixture'])
def test_every_epoch_is_a_permutation_that_hosts_share(kind, folder):
  source = make(kind, folder)
  examples = source.open(None)
  size, names = len(examples), sorted(examples.ids())
  order = ids(source, 4 * size)
  epochs = [order[i : i + size] for i in range(0, 4 * size, size)]
  assert [sorted(epoch) for epoch in epochs] == [names] * 4
  assert len(set(map(tuple, epochs))) == 4
  assert order == pipeline.ids_at(examples, 3, range(4 * size))
  hosts = [ids(source, 2 * size, host=h, num_hosts=2) for h in (0, 1)]
  assert [n for pair in zip(*hosts, strict=True) for n in pair] == order


def test_epochs_of_a_mixture_are_those_of_its_parts(folder):
  source = make('mixture', folder)
  parts = [part.open(None).ids() for part in source.sources]
  assert list(map(len, parts)) == [5, 7]
  order = ids(source, 48)
  hosts = [ids(source, 24, host=h, num_hosts=2) for h in (0, 1)]
  assert [n for pair in zip(*hosts, strict=True) for n in pair] == order
  assert order == pipeline.ids_at(source.open(None), 3, range(48))
  for part in parts:
    own = [name for name in order if name in part]
    for i in range(0, len(own) - len(part) + 1, len(part)):
      assert sorted(own[i : i + len(part)]) == sorted(part)
