"""Predictions of single images as files: masks, overlays, probabilities."""

import io
import json
import os
import sys
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf
from PIL import Image, PngImagePlugin

from deeplab_contrast.export import exported
from deeplab_contrast.imaging import image_list, images, panels, photos
from deeplab_contrast.utils import errors, files, progress

MASKS, OVERLAYS, PROBABILITIES = 'masks', 'overlays', 'probabilities'
MODEL = 'model.json'
FAILURES = 'failures.txt'

# Text chunks of the PNG of a mask.
_BY_MODEL, _OF_SOURCE = 'model', 'source'


class Folder:
  """A folder of predictions. An image is done once its mask is written.

  Args:
    path: the folder; made if it does not exist.
    model: an `exported.Exported`.
    probabilities: whether they are written too.
    max_pixels: images with more are refused.

  Raises:
    ConfigError: the folder holds predictions of a different model, or other
      files.
    SystemFault: it cannot be written.
  """

  def __init__(
    self,
    path: str,
    model: exported.Exported,
    probabilities: bool = False,
    max_pixels: int | None = None,
  ):
    self.path = path
    self._model = model
    self._probabilities = probabilities
    self._max_pixels = max_pixels
    self._claim()

  def add(self, entry: image_list.Entry) -> bool:
    """Predicts one image, unless its outputs exist.

    Args:
      entry: an `image_list.Entry`.

    Returns:
      Whether it was predicted now.

    Raises:
      DataError: the image cannot be read or predicted.
      SystemFault: outputs cannot be written.
    """
    data = photos.read_bytes(entry.path)
    source = photos.digest(data)
    if self._is_done(entry.name, source):
      return False
    image = photos.decode(
      *(data, entry.path, self._max_pixels, self._model.crop_size),
      convert=self._model.convert,
    )
    labels, probabilities = self._predict(image, entry.path)
    if probabilities is not None:
      buffer = io.BytesIO()
      np.savez_compressed(buffer, probabilities=probabilities)
      self._write(PROBABILITIES, entry.name, buffer.getvalue())
    self._write(OVERLAYS, entry.name, self._overlay(image, labels))
    self._write(MASKS, entry.name, self._mask(labels, source))
    return True

  def add_all(
    self,
    entries: Sequence[image_list.Entry],
    poll: Callable[[], object] = lambda: None,
  ) -> tuple[int, int]:
    """Predicts many images; prints and lists failures in FAILURES.

    Args:
      entries: entries of the images.
      poll: called before every image, e.g. to stop on a signal.

    Returns:
      How many were predicted now, and how many failed.

    Raises:
      SystemFault: outputs cannot be written.
    """
    done, failures = 0, []
    for entry in progress.over(entries, 'Predicting', len(entries), 'images'):
      poll()
      try:
        done += self.add(entry)
      except errors.DataError as error:
        failures.append(_printable(str(error)))
        print(failures[-1], file=sys.stderr)
    path = os.path.join(self.path, FAILURES)
    if failures:
      files.write_text(path, ''.join(f'{line}\n' for line in failures))
    elif os.path.exists(path):
      os.remove(path)  # Of an earlier run.
    return done, len(failures)

  def place(self, kind: str, name: str) -> str:
    """The path of an output."""
    ending = {MASKS: '.png', OVERLAYS: '.jpg', PROBABILITIES: '.npz'}[kind]
    return os.path.join(self.path, kind, name + ending)

  def _claim(self):
    path = os.path.join(self.path, MODEL)
    if os.path.isfile(path):
      with open(path, encoding='utf-8') as file:
        stored = _parse(file.read()).get('fingerprint')
      if stored != self._model.fingerprint:
        raise errors.ConfigError(
          f'{self.path} holds predictions of a different model ({stored}, now '
          f'{self._model.fingerprint}); give another --out.'
        )
      return
    for kind in (MASKS, OVERLAYS, PROBABILITIES):
      if os.path.lexists(os.path.join(self.path, kind)):
        raise errors.ConfigError(
          f'{self.path} has {kind}, but not from this command (no {MODEL}); '
          'give another --out.'
        )
    description = self._model.description
    try:
      files.write_json(
        path,
        {
          'fingerprint': self._model.fingerprint,
          'classes': description['classes'],
        },
      )
    except OSError as error:
      raise _cannot_write(path, error) from error

  def _is_done(self, name, source):
    wanted = [OVERLAYS, *([PROBABILITIES] if self._probabilities else ())]
    if not all(os.path.isfile(self.place(kind, name)) for kind in wanted):
      return False
    try:
      with Image.open(self.place(MASKS, name)) as mask:
        mask.load()
        found = mask.info.get(_BY_MODEL), mask.info.get(_OF_SOURCE)
    except (OSError, SyntaxError, ValueError):  # Missing or damaged.
      return False
    return found == (self._model.fingerprint, source)

  def _predict(self, image, path):
    """Labels, and float16 probabilities or None."""
    try:
      if not self._probabilities:
        return self._model.labels(image), None
      labels, probabilities = self._model.predict(image)
      return labels, probabilities.astype(np.float16)
    except (MemoryError, tf.errors.ResourceExhaustedError) as error:
      height, width = image.shape[:2]
      raise errors.DataError(
        f'{path} needs more memory than is available ({width} x {height} '
        'pixels): make it smaller.'
      ) from error
    except tf.errors.OpError as error:
      text = ' '.join(error.message.split())[:200]
      raise errors.DataError(f'{path} cannot be predicted: {text}.') from error

  def _overlay(self, image, labels):
    mixed = panels.overlay(image, labels, self._model.colors)
    buffer = io.BytesIO()
    Image.fromarray(mixed).save(buffer, 'JPEG', quality=90)
    return buffer.getvalue()

  def _mask(self, labels, source):
    notes = PngImagePlugin.PngInfo()
    notes.add_text(_BY_MODEL, self._model.fingerprint)
    notes.add_text(_OF_SOURCE, source)
    mask = images.palette_image(labels, self._model.colors)
    buffer = io.BytesIO()
    mask.save(buffer, 'PNG', pnginfo=notes)
    return buffer.getvalue()

  def _write(self, kind, name, data):
    """Writes a file atomically."""
    path = self.place(kind, name)
    try:
      files.write_bytes(path, data)
    except OSError as error:
      raise _cannot_write(path, error) from error


def _printable(text):
  """One line that any terminal can show, whatever the name of a file."""
  text = text.encode('utf-8', 'backslashreplace').decode()
  return ''.join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def _cannot_write(path, error):
  return errors.SystemFault(
    f'Cannot write {path} ({error.strerror}); make room or give another --out.'
  )


def _parse(text):
  try:
    value = json.loads(text)
  except ValueError:
    return {}
  return value if isinstance(value, dict) else {}
