"""The page of the demo: one picture in, an overlay and shares per model out."""

import html
import os
import socket
import time
from collections.abc import Sequence
from typing import Any

# No request leaves this machine.
os.environ['GRADIO_ANALYTICS_ENABLED'] = 'False'
os.environ['HF_HUB_OFFLINE'] = '1'

import gradio as gr
import numpy as np
import tensorflow as tf

from deeplab_contrast.export import exported
from deeplab_contrast.imaging import panels, photos
from deeplab_contrast.utils import errors

# Fonts of the system: others would be downloaded.
_THEME = gr.themes.Default(
  font=['system-ui', 'sans-serif'], font_mono=['ui-monospace', 'monospace']
)
_HOST = '127.0.0.1'
_HEADING = 'Drop a picture. It stays on this machine.'
_SMALLEST_SHARE = 0.0005  # Smaller shares are not listed: 0.0 %.


def build(models: Sequence[exported.Exported], max_pixels: int) -> gr.Blocks:
  """Makes the page.

  Args:
    models: one or two `exported.Exported`.
    max_pixels: larger pictures are refused.

  Returns:
    A `gradio.Blocks`.
  """
  title = 'deeplab_contrast'
  with gr.Blocks(title=title, analytics_enabled=False) as page:
    gr.Markdown(f'# {title}\n{_HEADING}')
    with gr.Row():
      with gr.Column():
        picture: Any = gr.Image(
          label='Picture',
          type='filepath',
          sources=['upload', 'clipboard'],
          elem_id='picture',
        )
        # The unchanged file: gradio would report a bad one by a traceback only.
        picture.preprocess = lambda file: file and file.path
        opacity = gr.Slider(0, 1, 0.5, step=0.05, label='Opacity of the labels')
      overlays, tables = [], []
      for number, model in enumerate(models):
        with gr.Column():
          overlays.append(
            gr.Image(
              label=_name(model),
              format='png',
              interactive=False,
              buttons=['download', 'fullscreen'],  # No sharing.
              elem_id=f'overlay{number}',
            )
          )
          tables.append(gr.HTML(elem_id=f'shares{number}'))
    agreement = gr.HTML(elem_id='agreement')
    found = gr.State()
    outputs = [*overlays, *tables, agreement]

    def on_picture(path, opacity):
      result = _predict(models, path, max_pixels) if path else None
      return [result, *_show(models, result, opacity)]

    def on_opacity(result, opacity):
      return _show(models, result, opacity)[: len(models)]

    picture.change(on_picture, [picture, opacity], [found, *outputs])
    opacity.release(on_opacity, [found, opacity], overlays)
  return page


def serve(page: gr.Blocks, port: int, max_bytes: int) -> str:
  """Serves the page on the loopback interface, in the background.

  Args:
    page: result of `build`.
    port: to listen on; 0 takes a free one.
    max_bytes: larger files are refused.

  Returns:
    The address of the page.

  Raises:
    SystemFault: nothing can listen there.
  """
  try:
    _, address, _ = page.queue(default_concurrency_limit=1, max_size=8).launch(
      server_name=_HOST,
      server_port=port or _free_port(),
      share=False,
      prevent_thread_lock=True,
      quiet=True,
      max_file_size=max_bytes,
      footer_links=[],
      ssr_mode=False,
      theme=_THEME,
    )
  except OSError as error:
    raise errors.SystemFault(
      f'Nothing can listen on port {port} of {_HOST}; give another --port.'
    ) from error
  return address


def _free_port():
  with socket.socket() as probe:
    probe.bind((_HOST, 0))
    return probe.getsockname()[1]


def _predict(models, path, max_pixels):
  """The picture, and the labels and seconds of each model."""
  try:
    data = photos.read_bytes(path)
    sizes = zip(*(model.crop_size for model in models), strict=True)
    least = tuple(map(max, sizes))
    image = photos.decode(
      data, 'The picture', max_pixels, least, models[0].convert
    )
  except errors.DataError as error:
    raise _error(str(error)) from error
  results = []
  for model in models:
    began = time.monotonic()
    try:
      labels = model.labels(image)
    except (MemoryError, tf.errors.OpError) as error:
      text = ' '.join(str(error).split())[:200]
      raise _error(f'{_name(model)} cannot predict it: {text}.') from error
    results.append((labels, time.monotonic() - began))
  return image, results


def _error(sentence):
  return gr.Error(sentence, duration=None, print_exception=False)


def _show(models, result, opacity):
  """Values of the outputs: overlays, tables, agreement."""
  if result is None:
    return [None] * (2 * len(models) + 1)
  image, found = result
  labels = [x for x, _ in found]
  overlays = [
    panels.overlay(image, x, model.colors, opacity)
    for model, x in zip(models, labels, strict=True)
  ]
  tables = [_table(model, *x) for model, x in zip(models, found, strict=True)]
  return [*overlays, *tables, _agreement(models, labels)]


def _table(model, labels, seconds):
  """The legend: the predicted classes, the largest share first."""
  counts = np.bincount(labels.reshape(-1), minlength=len(model.class_names))
  shares = counts / labels.size
  rows = []
  for index in np.argsort(-shares, kind='stable'):
    if shares[index] < _SMALLEST_SHARE:
      break
    red, green, blue = model.colors[index]
    percent = f'{100 * shares[index]:.1f} %'
    rows.append(
      f'<tr><td style="background:rgb({red},{green},{blue});width:1.5em"></td>'
      f'<td style="padding-left:.6em">{html.escape(model.class_names[index])}'
      f'</td><td style="text-align:right">{percent}</td></tr>'
    )
  height, width = labels.shape
  return (
    f'<table style="width:100%">{"".join(rows)}</table>'
    f'<p>{width} x {height} pixels, {seconds:.2f} s</p>'
  )


def _agreement(models, labels):
  if len(models) < 2:
    return ''
  if models[0].class_names != models[1].class_names:
    return '<p>The models have different classes.</p>'
  share = np.mean(labels[0] == labels[1])
  return f'<p>They agree on {100 * share:.1f} % of the pixels.</p>'


def _name(model):
  """The name of a model: that of its run, if export_model wrote it there."""
  parts = os.path.abspath(model.path).split(os.sep)
  return parts[-3] if parts[-2:] == ['export', 'saved_model'] else parts[-1]
