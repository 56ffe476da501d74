"""The report of a prepared dataset: report.json, report.txt, and a picture."""

import json
import os
import pathlib

import numpy as np
import tensorflow_datasets as tfds

from deeplab_contrast.datasets import info as dataset_info
from deeplab_contrast.datasets import sources, transforms
from deeplab_contrast.datasets.preparation import statistics
from deeplab_contrast.datasets.raw import raw_builder
from deeplab_contrast.datasets.sources import id_list
from deeplab_contrast.imaging import panels
from deeplab_contrast.utils import files, tables

JSON = 'report.json'
TEXT = 'report.txt'
PICTURE = 'contact_sheet.png'

_MOST_NAMED = 10

# Classes this many times rarer than others are learnt late.
_UNEVEN = 10


def write(
  dataset: dataset_info.Dataset,
  builder: tfds.core.DatasetBuilder,
  data_dir: str | None,
  samples: int,
) -> str:
  """Counts everything and writes the three files next to the records.

  Args:
    dataset: the prepared dataset.
    builder: its builder.
    data_dir: where it was prepared.
    samples: how many images to show.

  Returns:
    The text of the report.
  """
  folder = os.fspath(builder.data_path)
  counts = {
    split: statistics.count(dataset, split, data_dir)
    for split in sorted(builder.info.splits)
  }
  report = _report(dataset.info, builder, counts)
  shown = _choose(counts, samples)
  report['shown'] = [[split, counts[split].ids[i]] for split, i in shown]
  _draw(dataset, data_dir, shown, os.path.join(folder, PICTURE))
  text = _text(report)
  files.write_text(os.path.join(folder, TEXT), text + '\n')
  # Written last: it marks the report as complete.
  files.write_json(os.path.join(folder, JSON), report)
  return text


def read(builder: tfds.core.DatasetBuilder) -> str | None:
  """The text of the existing report; None if there is none."""
  folder = pathlib.Path(builder.data_path)
  if not all((folder / name).is_file() for name in (JSON, TEXT, PICTURE)):
    return None
  return (folder / TEXT).read_text(encoding='utf-8').rstrip('\n')


def _report(info, builder, counts):
  notes = _notes(builder)
  report = {
    'dataset': info.name,
    'folder': os.fspath(builder.data_path),
    'fingerprint': builder.info.metadata.get('fingerprint'),
    'class_names': info.class_names,
    'colors': info.colors,
    'splits': {s: c.summary(info.class_names) for s, c in counts.items()},
    'quarantined': notes.get('quarantined', 0),
    'equal_pictures': notes.get('twins', []),
    'notes': notes.get('notes', []),
  }
  report['warnings'] = [*_warnings(report), *_absent(builder, report)]
  return report


def _notes(builder):
  path = pathlib.Path(builder.data_path, raw_builder.CHECKED)
  return json.loads(path.read_text()) if path.is_file() else {}


def _warnings(report):
  """Yields sentences about what is unusual but not wrong."""
  for split, about in report['splits'].items():
    if not about['labelled']:
      continue
    absent = [n for n, c in about['classes'].items() if not c['images']]
    absent = [name for name in absent if name != 'void']
    if absent:
      yield f'{split} has no pixel of {id_list.some(absent, _MOST_NAMED)}.'
    if about['empty']:
      yield (
        f'{split} has {len(about["empty"])} empty masks, without a pixel of '
        f'any class: {id_list.some(about["empty"], _MOST_NAMED)}.'
      )
    if about['one_class_only'] == about['images'] > 1:
      yield f'{split} has only one class in each of its masks.'
  for split in ('train', 'val'):
    if split not in report['splits']:
      yield (
        f'there is no split {split}, which experiments '
        f'{"train" if split == "train" else "are evaluated"} on unless they '
        f'name another: --gin_bindings="{split}/sources.TfdsSplit.split = '
        """'...'"."""
      )
  if report['equal_pictures']:
    twins = [' = '.join(ids) for ids in report['equal_pictures']]
    some = id_list.some(twins, _MOST_NAMED)
    yield f'{len(twins)} pictures occur more than once: {some}.'
  if report['quarantined']:
    yield (
      f'{report["quarantined"]} faulty pairs were left out, see '
      f'{raw_builder.QUARANTINE}.'
    )


def _absent(builder, report):
  """Yields how to get the missing splits of a known dataset."""
  raw = getattr(builder.builder_config, 'raw', None)
  for split, how in raw.absent.items() if raw else ():
    if split not in report['splits']:
      yield f'there is no split {split}; to get it, {how}.'


def _text(report):
  lines = [
    f'{report["dataset"]}, prepared in {report["folder"]}',
    f'fingerprint {report["fingerprint"]}',
    '',
    _splits_table(report['splits']),
  ]
  labelled = {s: a for s, a in report['splits'].items() if a['labelled']}
  if labelled:
    lines += ['', _classes_table(labelled)]
  for split, about in labelled.items():
    if about['most_void']:
      worst = [f'{w["id"]} {w["void"]:.1%}' for w in about['most_void']]
      lines += ['', f'Most void in {split}: {", ".join(worst)}.']
  if 'train' in labelled and _is_uneven(labelled['train']):
    lines += [
      '',
      'Classes of train are unbalanced; to weight the rare ones more:',
      '--gin_bindings="CLASS_BALANCE = 0.5"',
    ]
  lines += [f'Note: {note}' for note in report['notes']]
  lines += [f'Warning: {warning}' for warning in report['warnings']]
  return '\n'.join(lines)


def _is_uneven(about):
  shares = [
    of_class['share']
    for name, of_class in about['classes'].items()
    if name != 'void' and of_class['pixels']
  ]
  return max(shares) >= _UNEVEN * min(shares)


def _splits_table(splits):
  rows = []
  for split, about in splits.items():
    void = '-'
    if about['labelled']:
      void = f'{100 * about["classes"]["void"]["share"]:.2f}'
    rows.append(
      [
        split,
        str(about['images']),
        'yes' if about['labelled'] else 'no',
        void,
        'x'.join(map(str, about['smallest'])),
        'x'.join(map(str, about['largest'])),
      ]
    )
  columns = ['split', 'images', 'labels', 'void %', 'smallest', 'largest']
  return tables.table(columns, rows)


def _classes_table(splits):
  """Pixels, their share and the number of images of each class and split."""
  names = next(iter(splits.values()))['classes']
  columns = ['class']
  for split in splits:
    columns += [f'{split} pixels', '%', 'images']
  rows = []
  for name in names:
    row = [name]
    for about in splits.values():
      of_class = about['classes'][name]
      share = f'{100 * of_class["share"]:.2f}'
      row += [str(of_class['pixels']), share, str(of_class['images'])]
    rows.append(row)
  return tables.table(columns, rows)


def _choose(counts, samples):
  """(split, index) of images to show: every class, the rarest first."""
  labelled = {s: c for s, c in counts.items() if c.is_labelled}
  chosen: list[tuple[str, int]] = []
  seen: set[str] = set()
  for split, of_split in labelled.items():
    pixels = of_split.pixels[:, :-1]
    shares = pixels / of_split.pixels.sum(1, keepdims=True)
    for label in np.argsort((pixels > 0).sum(0), kind='stable'):
      best = int(np.argmax(shares[:, label]))
      name = of_split.ids[best]
      is_new = not any(shares[i, label] > 0.01 for s, i in chosen if s == split)
      if shares[best, label] and is_new and name not in seen:
        chosen.append((split, best))
        seen.add(name)
  chosen = chosen[: samples * 2 // 3]
  # And some at even distances, to show what most of the data look like.
  everything = [(s, i) for s, c in counts.items() for i in range(len(c.ids))]
  left = [place for place in everything if place not in chosen]
  few = min(samples - len(chosen), len(left))
  places = np.linspace(0, len(left) - 1, few).astype(int) if few else ()
  return sorted([*chosen, *(left[i] for i in places)])


def _draw(dataset, data_dir, shown, path):
  """Image | labels, three pairs in a row."""
  info = dataset.info
  opened, tiles = {}, []
  for split, index in shown:
    if split not in opened:
      opened[split] = sources.TfdsSplit(dataset, split).open(data_dir)
    example = opened[split][index]
    image, label = transforms.Decode().to_bytes(example)
    tiles += [image.numpy(), panels.colorize(label.numpy(), info.colors)]
  rows = [tiles[i : i + 6] for i in range(0, len(tiles), 6)]
  names = dict(zip(info.class_names, info.colors, strict=True))
  headings = ['image', 'labels'] * min(3, len(shown))
  panels.save(panels.grid(rows, headings, panels.legend(names)), path)
