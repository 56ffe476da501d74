import pytest

from deeplab_contrast.datasets import pipeline, transforms
from deeplab_contrast.utils import errors


def test_check_accepts_the_orders_of_training():
  start = [
    transforms.Decode(),
    transforms.RandomScale(),
    transforms.Pad(9),
    transforms.RandomCrop(9),
    transforms.RandomFlip(),
  ]
  transforms.check([*start, transforms.BrightnessContrast()])
  transforms.check([*start, transforms.TwoViews()])
  transforms.check([])


def test_custom_steps_may_stand_anywhere():
  def step(example):
    return example

  transforms.check([transforms.Decode(), step, transforms.RandomFlip()])
  transforms.check([step, transforms.RandomFlip()])  # It may decode.


@pytest.mark.parametrize(
  'steps, sentence',
  [
    ([transforms.RandomCrop(5)], 'Transform 1, RandomCrop, takes a decoded'),
    ([transforms.Decode()] * 2, 'Transform 2, Decode, takes an encoded'),
    (
      [
        transforms.Decode(),
        transforms.TwoViews(),
        transforms.BrightnessContrast(),
      ],
      'Transform 3, BrightnessContrast.*gets several views',
    ),
  ],
)
def test_check_names_the_step_out_of_place(steps, sentence):
  with pytest.raises(errors.ConfigError, match=sentence):
    transforms.check(steps)


def test_a_pipeline_refuses_a_wrong_order():
  with pytest.raises(errors.ConfigError, match='start with Decode'):
    pipeline.Pipeline(None, [transforms.Pad(5), transforms.Decode()])
