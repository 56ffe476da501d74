"""The demo as a page in a browser, with stand-ins for models."""

import contextlib
import re
import signal
import time

import numpy as np
import pytest
from PIL import Image

from deeplab_contrast import demo, launch
from deeplab_contrast.export import exported
from deeplab_contrast.utils import errors
from tests import browser as browsing
from tests import predict_test, processes


@pytest.fixture(scope='module')
def paths(tmp_path_factory):
  """Two models that split grey values into 2 and into 3 of 3 classes."""
  folder = tmp_path_factory.mktemp('models')
  return [
    predict_test.save_model(folder / f'{n}/export/saved_model', 3, n)
    for n in (2, 3)
  ]


@pytest.fixture(scope='module')
def models(paths):
  return [exported.load(str(path)) for path in paths]


@contextlib.contextmanager
def served(models, max_pixels=10**6, max_bytes=10**6):
  """The address of the page."""
  from deeplab_contrast.export import demo_page

  page = demo_page.build(models, max_pixels)
  try:
    yield demo_page.serve(page, 0, max_bytes)
  finally:
    page.close(verbose=False)


def picture(path, size=(40, 20)):
  """Black, but for the right quarter, which is white."""
  pixels = np.zeros([size[1], size[0], 3], np.uint8)
  pixels[:, -(size[0] // 4) :] = 255
  Image.fromarray(pixels).save(path)
  return str(path)


def wait_for(browser, text, seconds=30):
  """Waits until the page shows a text; returns all that it shows."""
  deadline = time.monotonic() + seconds
  while True:
    shown = browser.find_element('tag name', 'body').text
    if text in shown:
      return shown
    assert time.monotonic() < deadline, shown
    time.sleep(0.2)


def upload(browser, path):
  field = browser.find_element('css selector', '#picture input[type=file]')
  field.send_keys(path)


def overlay(browser, number):
  """The pixels of a picture the page shows."""
  script = """
    const image = document.querySelector(arguments[0] + ' img');
    const canvas = document.createElement('canvas');
    canvas.width = image.naturalWidth;
    canvas.height = image.naturalHeight;
    const context = canvas.getContext('2d');
    context.drawImage(image, 0, 0);
    const data = context.getImageData(0, 0, canvas.width, canvas.height).data;
    return [canvas.height, canvas.width, Array.from(data)];
  """
  height, width, data = browser.execute_script(script, f'#overlay{number}')
  return np.array(data, np.uint8).reshape(height, width, 4)[..., :3]


def test_an_upload_in_a_browser(models, tmp_path):
  path = picture(tmp_path / 'picture.png')
  with (
    served(models) as address,
    browsing.opened(tmp_path / 'profile') as browser,
  ):
    assert address.startswith('http://127.0.0.1:')
    browser.get(address)
    wait_for(browser, 'Drop a picture.')
    upload(browser, path)
    shown = wait_for(browser, 'They agree on')
    # Class 0 is left of the white quarter; that is class 1 or class 2.
    assert re.findall(r'class (\d) ([\d.]+) %', shown) == [
      *(('0', '75.0'), ('1', '25.0')),
      *(('0', '75.0'), ('2', '25.0')),
    ]
    assert 'They agree on 75.0 % of the pixels.' in shown
    assert shown.count('40 x 20 pixels') == 2
    for number, model in enumerate(models):
      expected = np.zeros([20, 40, 3], np.uint8)
      expected[:, 30:] = 127 + np.array(model.colors[number + 1]) // 2
      assert np.abs(overlay(browser, number) - expected.astype(int)).max() <= 1
    assert not browsing.errors(browser)
    inside = (address, 'data:', 'blob:', 'chrome:')
    outside = [
      x for x in browsing.addresses(browser) if not x.startswith(inside)
    ]
    assert not outside


def test_bad_and_large_pictures_are_reported(models, tmp_path):
  (tmp_path / 'bad.png').write_bytes(b'no picture')
  with (
    served(models[:1], max_pixels=700) as address,
    browsing.opened(tmp_path / 'profile') as browser,
  ):
    browser.get(address)
    wait_for(browser, 'Drop a picture.')
    upload(browser, picture(tmp_path / 'large.png'))
    wait_for(browser, 'The picture has 40 x 20 pixels, more than')
    browser.refresh()
    wait_for(browser, 'Drop a picture.')
    upload(browser, str(tmp_path / 'bad.png'))
    wait_for(browser, 'The picture is not an image')


def test_a_file_that_is_too_large(models, tmp_path):
  with (
    served(models[:1], max_bytes=50) as address,
    browsing.opened(tmp_path / 'profile') as browser,
  ):
    browser.get(address)
    wait_for(browser, 'Drop a picture.')
    upload(browser, picture(tmp_path / 'large.png'))
    wait_for(browser, 'exceed the maximum allowed size of 50')


def test_a_page_without_a_model(models):
  for count in (0, 3):
    with pytest.raises(errors.ConfigError, match=f'{count} models given'):
      demo.main(launch.Launch(None, None, None, ''), ['x'] * count)


def test_a_port_that_is_taken(models):
  from deeplab_contrast.export import demo_page

  with served(models) as address:
    port = int(address.rstrip('/').rpartition(':')[2])
    page = demo_page.build(models, 100)
    with pytest.raises(errors.SystemFault, match=f'port {port} of 127.0.0.1'):
      demo_page.serve(page, port, 100)


def test_as_a_command(paths):
  child = processes.start_module(
    'demo', f'--saved_model={paths[0]}', '--port=0'
  )
  told = child.stdout.readline()
  assert re.match(r'Open http://127.0.0.1:\d+/ on this machine', told), (
    told + child.stderr.read()
  )
  child.send_signal(signal.SIGINT)
  rest, complaints = child.communicate(timeout=60)
  assert (child.returncode, rest, complaints) == (0, 'Closed.\n', '')


def test_a_missing_model(tmp_path):
  done = processes.run_module('demo', f'--saved_model={tmp_path}')
  assert done.returncode == 2
  assert done.stderr.startswith(f'error: {tmp_path} is not a SavedModel')
