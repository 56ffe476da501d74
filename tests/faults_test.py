"""What a user can get wrong ends in one sentence and the right exit code.

Every error is met by a command that a user would type.
"""

import contextlib
import dataclasses
import pathlib

import keras
import pytest
import tensorflow as tf
from PIL import Image

from deeplab_contrast import launch
from deeplab_contrast.config import run_folder
from deeplab_contrast.tasks import softmax
from deeplab_contrast.training import checkpoints
from deeplab_contrast.utils import locking
from tests import fixtures, processes, tiny

SCENES = 'gin_configs/scenes/'
TINY = 'gin_configs/tiny.gin'


@dataclasses.dataclass
class Fault:
  """A command that must fail.

  Attributes:
    code: the exit code.
    phrases: what its sentence says.
    command: 'train', 'eval', ...
    files: gin files; empty for the one in the model_dir.
    bindings: override the files.
    model_dir: inside the folder of the test, or None.
    held: whether another process uses the model_dir.
  """

  code: int
  phrases: tuple[str, ...]
  command: str = 'train'
  files: tuple[str, ...] = (SCENES + 'softmax_scratch.gin', TINY)
  bindings: tuple[str, ...] = fixtures.TINY_SCENES
  model_dir: str | None = 'run'
  held: bool = False


def _on_voc(code, root, *phrases):
  """Training on a faulty VOC tree."""
  files = ('gin_configs/voc2012/softmax_scratch.gin', TINY)
  bindings = ('LABELS = 2', f'VOC_ROOT = {str(root)!r}')
  return Fault(code, phrases, files=files, bindings=bindings)


def no_dataset(folder):
  """Neither raw nor prepared data."""
  return _on_voc(3, folder / 'nowhere', 'PASCAL VOC 2012', f'{folder}/nowhere')


def a_mask_with_an_unknown_id(folder):
  """The brightness of a colour in place of a class id."""
  root = pathlib.Path(fixtures.make_voc(folder))
  mask = root / 'SegmentationClass' / '2007_000001.png'
  with Image.open(mask) as picture:
    picture.putpixel((5, 5), 77)
    picture.save(mask)
  return _on_voc(3, root, str(mask), '77')


def a_mask_of_another_size(folder):
  """An image and a mask of different sizes."""
  root = pathlib.Path(fixtures.make_voc(folder))
  mask = root / 'SegmentationClass' / '2007_000001.png'
  with Image.open(mask) as picture:
    picture.crop((0, 0, 20, 30)).save(mask)
  return _on_voc(3, root, str(mask), '30 x 20', '40 x 53', 'JPEGImages')


def an_image_that_is_cut_off(folder):
  """A copy that was interrupted."""
  root = pathlib.Path(fixtures.make_voc(folder))
  image = root / 'JPEGImages' / '2007_000000.jpg'
  image.write_bytes(image.read_bytes()[:-300])
  return _on_voc(3, root, str(image), 'cut off or damaged')


def images_of_extreme_sizes(folder):
  """Two of val that are harmless alone, but eight are padded to both sizes."""
  root = pathlib.Path(fixtures.make_voc(folder))
  for number, size in ((4, (20, 20000)), (5, (400, 20))):
    name = f'2007_{number:06}'
    Image.new('RGB', size).save(root / 'JPEGImages' / f'{name}.jpg')
    mask = Image.new('P', size, number)
    mask.putpalette(range(256))
    mask.save(root / 'SegmentationClass' / f'{name}.png')
  highest = 'tallest image is 2007_000004 (20000 x 20)'
  phrases = '20001 x 401', highest, '2007_000005 (20 x 400)', 'at most 6 at'
  return _on_voc(3, root, *phrases)


def several_bad_files(folder):
  """All are reported at once."""
  faults = (a_mask_with_an_unknown_id, an_image_that_is_cut_off)
  named = [fault(folder / fault.__name__).phrases[0] for fault in faults]
  broken = pathlib.Path(named[1])
  root = pathlib.Path(named[0]).parents[1]
  (root / 'JPEGImages' / broken.name).write_bytes(broken.read_bytes())
  return _on_voc(3, root, '2 faults to fix', named[0], broken.name)


def too_few_images(folder):
  """More labels are asked for than there are."""
  del folder
  bindings = (*fixtures.TINY_SCENES, 'LABELS = 5')
  return Fault(2, ('count is 5', 'only 4 '), bindings=bindings)


def an_unknown_parameter(folder):
  """A binding of a parameter that the class does not have."""
  del folder
  bindings = (*fixtures.TINY_SCENES, 'trainer.Trainer.step = 3')
  return Fault(
    2, ('no parameter step; did you mean steps?',), bindings=bindings
  )


def an_unknown_macro(folder):
  """A misspelt name on the left."""
  del folder
  bindings = (*fixtures.TINY_SCENES, 'LEARNINGRATE = 1.0')
  return Fault(2, ('did you mean LEARNING_RATE?',), bindings=bindings)


def a_hole(folder):
  """Fine-tuning without a checkpoint to start from."""
  del folder
  files = (SCENES + 'softmax_finetune.gin', TINY)
  return Fault(2, ('INIT is required', 'INIT = ...'), files=files)


def nothing_given(folder):
  """Neither an experiment nor a folder with one."""
  del folder
  return Fault(2, ('--gin_file', '--model_dir'), 'train', (), (), None)


def an_empty_folder_alone(folder):
  """A model_dir without an experiment, and no experiment given."""
  (folder / 'run').mkdir()
  return Fault(2, ('holds no experiment', '--gin_file'), 'train', (), ())


def another_experiment(folder):
  """The folder of a run with another learning rate."""
  _store(folder, 'softmax_scratch', 'LEARNING_RATE = 0.5')
  return Fault(2, ('initial_learning_rate stored 0.5, given 0.1',))


def a_foreign_folder(folder):
  """A folder with someone else's work."""
  (folder / 'run').mkdir()
  (folder / 'run' / 'thesis.tex').write_text('...')
  return Fault(2, ('is not empty (thesis.tex)', '--model_dir'))


def a_file_in_place_of_the_folder(folder):
  """model_dir is a file."""
  (folder / 'run').write_text('...')
  return Fault(5, ('Cannot write to model_dir', f'{folder}/run'))


def a_busy_folder(folder):
  """Another process trains there."""
  del folder
  return Fault(6, ('is using model_dir',), held=True)


def a_learning_rate_that_explodes(folder):
  """The last step makes weights with which the next loss would be NaN."""
  del folder
  bindings = (*fixtures.TINY_SCENES, 'STEPS = 1', 'LEARNING_RATE = 1e20')
  phrases = (
    'Step ',
    'diverged (weight_norm ',
    'at learning rate',
    'train_',
  )
  return Fault(4, phrases, bindings=bindings)


def no_run_to_start_from(folder):
  """INIT is absent; this is reported before data are prepared."""
  fault = _on_voc(2, folder / 'data', f'{folder}/nowhere')
  fault.files = ('gin_configs/voc2012/softmax_finetune.gin', TINY)
  fault.bindings += (f'INIT = {str(folder / "nowhere")!r}',)
  return fault


def no_checkpoint_to_evaluate(folder):
  """eval before the first checkpoint."""
  _store(folder, 'softmax_scratch')
  return Fault(2, ('holds no checkpoint', 'train'), 'eval', (), ())


def no_pretraining_to_evaluate(folder):
  """eval of a pretraining before its first checkpoint."""
  _store(folder, 'contrastive_pretrain')
  return Fault(2, ('holds no checkpoint', 'train'), 'eval', (), ())


def a_pretraining_to_show(folder):
  """vis of a run without classes."""
  _store(folder, 'contrastive_pretrain')
  return Fault(2, ('no classifier',), 'vis', (), ())


def a_dataset_without_a_server(folder):
  """submit of a run on generated scenes."""
  _store(folder, 'softmax_scratch')
  return Fault(2, ('No test server', 'scenes'), 'submit', (), ())


def a_checkpoint_of_another_network(folder):
  """eval of weights that do not fit."""
  _store(folder, 'softmax_scratch')
  network = tiny.network(softmax.Softmax())
  optimizer = keras.optimizers.SGD()
  optimizer.build(network.trainable_variables)
  step = tf.Variable(7, dtype=tf.int64)
  run = str(folder / 'run')
  path = checkpoints.Checkpoints(run, network, optimizer, step).save()
  return Fault(2, (f'{path} belongs to another network',), 'eval', (), ())


def a_crop_smaller_than_the_images(folder):
  """Evaluation would crop images; this is reported before the training."""
  del folder
  bindings = (*fixtures.TINY_SCENES, 'EVAL_CROP = (32, 48)')
  phrases = ('crop_size (32, 48)', '(33, 49)')
  return Fault(2, phrases, bindings=bindings)


def an_embedding_judge_that_crops_images(folder):
  """The same for the evaluation of a pretraining."""
  del folder
  files = (SCENES + 'contrastive_pretrain.gin', TINY)
  crop = 'embedding_judge.EmbeddingJudge.crop_size = (32, 48)'
  bindings = (*fixtures.TINY_SCENES, crop)
  phrases = ('EmbeddingJudge.crop_size (32, 48)', '(33, 49)')
  return Fault(2, phrases, files=files, bindings=bindings)


def _store(folder, experiment, *bindings):
  """Stores an experiment in the model_dir, as its training would."""
  built = launch.parse(
    (f'{SCENES}{experiment}.gin', TINY), (*fixtures.TINY_SCENES, *bindings)
  )
  with run_folder.prepare(str(folder / 'run'), built.config):
    pass


FAULTS = (
  no_dataset,
  a_mask_with_an_unknown_id,
  a_mask_of_another_size,
  an_image_that_is_cut_off,
  several_bad_files,
  images_of_extreme_sizes,
  too_few_images,
  an_unknown_parameter,
  an_unknown_macro,
  a_hole,
  nothing_given,
  an_empty_folder_alone,
  another_experiment,
  a_foreign_folder,
  a_file_in_place_of_the_folder,
  a_busy_folder,
  a_learning_rate_that_explodes,
  no_run_to_start_from,
  no_checkpoint_to_evaluate,
  no_pretraining_to_evaluate,
  an_embedding_judge_that_crops_images,
  a_pretraining_to_show,
  a_dataset_without_a_server,
  a_checkpoint_of_another_network,
  a_crop_smaller_than_the_images,
)


def contents(folder):
  """{file: bytes} without the lock, which names the last process."""
  return {
    str(path.relative_to(folder)): path.read_bytes()
    for path in sorted(folder.rglob('*'))
    if path.is_file() and path.name != '.lock'
  }


@contextlib.contextmanager
def hold(fault, folder):
  """Locks the model_dir while inside, if the fault is about that."""
  with contextlib.ExitStack() as stack:
    if fault.held:
      model_dir = str(folder / fault.model_dir)
      stack.enter_context(locking.model_dir_lock(model_dir))
    yield


def assert_sentence(sentence, fault):
  for phrase in fault.phrases:
    assert phrase in sentence
  # One sentence; a list of files follows below it, indented.
  assert all(line.startswith('  ') for line in sentence.split('\n')[1:])


def assert_kept(before, folder):
  after = contents(folder)
  assert {name: after.get(name) for name in before} == before
  assert not (folder / 'run' / 'DONE').exists()


def _command(fault, folder):
  return [
    *(f'--gin_file={name}' for name in fault.files),
    *(f'--gin_bindings={binding}' for binding in fault.bindings),
    f'--data_dir={folder}/data',
    *([f'--model_dir={folder / fault.model_dir}'] if fault.model_dir else []),
  ]


@pytest.mark.parametrize('make', FAULTS)
def test_a_fault(make, tmp_path):
  fault = make(tmp_path)
  before = contents(tmp_path)
  with hold(fault, tmp_path):
    done = processes.run_module(
      fault.command,
      *_command(fault, tmp_path),
    )
  assert done.returncode == fault.code, done.stderr
  assert done.stderr.startswith('error: ') and done.stderr.endswith('\n')
  assert done.stderr.count('error: ') == 1
  assert_sentence(done.stderr[:-1], fault)
  assert_kept(before, tmp_path)
