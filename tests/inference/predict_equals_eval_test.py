"""`predict`, by an export, gives the labels of `eval`, pixel for pixel."""

import json
import pathlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from deeplab_contrast import eval as eval_command
from deeplab_contrast import export_model, launch, predict
from deeplab_contrast.training import contents
from deeplab_contrast.training import weights as weights_lib
from deeplab_contrast.utils import results
from tests.export import serving_test

FILES = (
  'gin_configs/camvid/softmax_scratch.gin',
  'gin_configs/datasets/own.gin',
  'gin_configs/tiny.gin',
)
BINDINGS = (
  'CROP = (33, 33)',
  'FILTERS = 8',
  'EVAL_CROP = (65, 81)',
  'EVAL_LIMIT = None',
  # As predict does: different batch sizes may round differently.
  'evaluator.Evaluator.batch_size = 1',
)

# Extension, mode and EXIF orientation. Pictures that a tag mirrors or turns
# upside down (2 to 4) cannot have masks; photos_test compares their pixels.
PHOTOS = (
  *((ending, mode, 1) for ending in ('jpg', 'png') for mode in ('RGB', 'L')),
  *(('jpg', 'CMYK', 1), ('png', 'RGBA', 1), ('webp', 'RGB', 1)),
  *((ending, 'RGB', i) for ending in ('jpg', 'png') for i in range(5, 9)),
)


@pytest.fixture(scope='module')
def run(tmp_path_factory):
  """A `Launch` with random weights; the raw data are next to its model_dir."""
  folder = tmp_path_factory.mktemp('equal')
  raw = folder / 'raw'
  for split in ('train', 'val'):
    (raw / 'images' / split).mkdir(parents=True)
    (raw / 'masks' / split).mkdir(parents=True)
  save(raw / 'images/train/0.png', 0)
  Image.new('L', (65, 57)).save(raw / 'masks/train/0.png')
  for i, (ending, *how) in enumerate(PHOTOS, start=1):
    save(raw / f'images/val/{i:02}.{ending}', i, *how)
  described = {'name': 'photos', 'classes': ['a', 'b', 'c']}
  (raw / 'dataset.json').write_text(json.dumps(described))
  bindings = [*BINDINGS, f'OWN_DATA = {str(raw)!r}']
  settings = {'data_dir': str(folder / 'data')}
  built = launch.parse(FILES, bindings, settings=settings)
  model_dir = folder / 'run'
  model_dir.mkdir()
  (model_dir / 'config.gin').write_text(built.config)
  model = built.root.model
  model.build_variables()
  serving_test.spread(model)
  weights = {k: v.numpy() for k, v in contents.by_path(model.variables).items()}
  weights_lib.write(str(model_dir), weights, step=1)
  strategy = tf.distribute.get_strategy()
  return launch.Launch(built.root, strategy, str(model_dir), built.config)


def save(path, seed, mode='RGB', orientation=1):
  exif = Image.Exif()
  exif[0x0112] = orientation
  pixels = serving_test.pictures(1, 57, 65, seed)[0]
  Image.fromarray(pixels).convert(mode).save(path, exif=exif)


def predicted(run, raw, folder, fold):
  """{name: ids} that an export gives for all photos."""
  model, out = folder / 'model', folder / 'out'
  export_model.main(run, str(model), fold=fold)
  photos = launch.Launch(*[None] * 3, '', arguments=[str(raw / 'images/val')])
  assert predict.main(photos, str(model), str(out)) == 0
  paths = sorted((out / 'masks').iterdir())
  return {path.name: np.asarray(Image.open(path)) for path in paths}


def test_predict_gives_the_labels_of_eval(run, tmp_path):
  raw = pathlib.Path(run.model_dir).parent / 'raw'
  found = predicted(run, raw, tmp_path / 'plain', fold=False)
  assert len(found) == len(PHOTOS)
  # The output of predict becomes the truth; eval must match every pixel.
  for name, ids in found.items():
    assert len(np.unique(ids)) == 3
    Image.fromarray(ids).save(raw / 'masks/val' / name)
  eval_command.main(run)
  result = results.read(run.model_dir)
  assert result['pixels'] == sum(ids.size for ids in found.values())
  assert result['pixel_accuracy'] == 1.0
  # Folding changes rounding, so labels only where two classes are tied.
  folded = predicted(run, raw, tmp_path / 'folded', fold=True)
  differing = sum(int((folded[name] != found[name]).sum()) for name in found)
  assert differing <= 1e-4 * result['pixels']
