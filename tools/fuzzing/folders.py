"""Own data: pairs of images and masks, exports of tools, lists, archives."""

import functools
import io
import json
import os
import pathlib
import shutil
import stat
import tarfile
import tempfile
import zipfile
import zlib
from typing import Any

import numpy as np
from hypothesis import strategies as st
from PIL import Image

from deeplab_contrast import prepare as command
from deeplab_contrast.datasets import folder_segmentation
from deeplab_contrast.datasets.folder_segmentation import (
  folder_segmentation_dataset_builder as builder,
)
from deeplab_contrast.datasets.raw import archives, raw_check
from tests.datasets.annotations import exports
from tools.fuzzing import damage, harness

_NAMES = ('background', 'leaf', 'stem')
_COLORS = {'background': [0, 0, 0], 'leaf': [1, 2, 3], 'stem': [90, 91, 92]}
MEANINGS = ('ids', 'colors', 'recognised')


def pairs(root: pathlib.Path, meaning: str) -> None:
  """Writes 4 images and masks, and a dataset.json that says `meaning`."""
  rng = np.random.default_rng(0)
  for i in range(4):
    pixels = rng.integers(0, 256, (24, 40, 3), dtype=np.uint8)
    ids = np.repeat(np.arange(12) % 3, 80).reshape(24, 40).astype(np.uint8)
    mask = np.array(list(_COLORS.values()), np.uint8)[ids]
    _save(root / 'images' / f'{i}.png', pixels)
    _save(root / 'masks' / f'{i}.png', mask if meaning == 'colors' else ids)
  about: dict[str, Any] = {
    'name': 'toy',
    'classes': _COLORS,
    'masks': 'colors' if meaning == 'colors' else 'ids',
    'fractions': {'val': 0.5},
    'transparent': 'void' if meaning == 'colors' else '',
    'ignored': [],
  }
  if meaning != 'recognised':
    (root / 'dataset.json').write_text(json.dumps(about))


def _save(path, pixels):
  path.parent.mkdir(parents=True, exist_ok=True)
  Image.fromarray(pixels).save(path)


def is_tenth(case: Any) -> bool:
  """Whether a case is one of the tenth that goes through the whole command."""
  return zlib.crc32(repr(case).encode('utf-8', 'backslashreplace')) % 10 == 0


def prepare(root: pathlib.Path, out: pathlib.Path, is_whole: bool) -> None:
  """Prepares own data, or does what `prepare` does before it writes."""
  if is_whole:
    flags = [f'--raw_dir={root}', f'--data_dir={out}', '--workers=0']
    harness.command(lambda: command.main(['folder', *flags]))
    return

  def check():
    dataset = folder_segmentation.Folder(str(root))
    raw_check.check(builder.make_layout(dataset.about).read(root))

  harness.command(check)


@functools.cache
def _exports():
  """A folder with one export of each tool, made once."""
  base = pathlib.Path(tempfile.mkdtemp())
  for tool, make in exports.ALL.items():
    make(base / tool)
  return base


def run_export(case: Any, folder: pathlib.Path) -> None:
  """`prepare folder` on the export of a tool, a file of which is damaged."""
  tool, where, damages = case
  root = folder / 'in'
  shutil.copytree(_exports() / tool, root)
  found = [p for p in sorted(root.rglob('*')) if p.is_file()]
  texts = [p for p in found if p.suffix not in ('.jpg', '.png')]
  damage.do(damage.pick(texts or found, where), damages)
  prepare(root, folder / 'out', is_tenth(case))


def run_list(case: Any, folder: pathlib.Path) -> None:
  """`prepare folder` with a damaged dataset.json or list of ids."""
  name, damages = case
  root = folder / 'in'
  pairs(root, 'ids')
  about = json.loads((root / 'dataset.json').read_text())
  del about['fractions']
  about['lists'] = {'train': 'train.txt', 'val': 'val.txt'}
  (root / 'dataset.json').write_text(json.dumps(about))
  (root / 'train.txt').write_text('0\n1\n2\n')
  (root / 'val.txt').write_text('images/3.png masks/3.png\n')
  damage.do(root / name, damages)
  prepare(root, folder / 'out', is_tenth(case))


_MEMBERS = st.lists(
  st.tuples(
    st.sampled_from((*damage.NAMES, 'images/9.png', 'masks/9.png', 'a', 'a/b')),
    st.sampled_from(('file', 'folder', 'symlink', 'hardlink', 'device', 'big')),
    st.sampled_from(damage.NAMES),
  ),
  max_size=3,
).map(tuple)
_FORMS = ('zip', 'tar', 'tar.gz', 'tar.bz2', 'tar.xz')


def run_archive(case: Any, folder: pathlib.Path) -> None:
  """`prepare folder --archive`."""
  form, members, damages = case
  root = folder / 'source'
  pairs(root, 'ids')
  path = folder / f'a.{form}'
  files = [p for p in sorted(root.rglob('*')) if p.is_file()]
  path.write_bytes(_packed(form, root, files, members))
  shutil.rmtree(root)
  damage.do(path, damages)
  raw = folder / 'in'
  if is_tenth(case):
    flags = [f'--raw_dir={raw}', f'--data_dir={folder / "out"}', '--workers=0']
    harness.command(
      lambda: command.main(['folder', f'--archive={path}', *flags])
    )
  else:
    harness.command(lambda: archives.extract(path, raw))
  _check_inside(raw)


def _check_inside(raw):
  for place, folders, files in os.walk(raw):
    for name in (*folders, *files):
      mode = os.lstat(os.path.join(place, name)).st_mode
      if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise harness.Finding(f'unpacked neither file nor folder: {name!r}')


def _packed(form, root, files, members):
  file = io.BytesIO()
  if form == 'zip':
    with zipfile.ZipFile(file, 'w', zipfile.ZIP_DEFLATED) as archive:
      for path in files:
        archive.write(path, path.relative_to(root).as_posix())
      for name, kind, target in members:
        _add_to_zip(archive, name, kind, target)
    return file.getvalue()
  mode = f'w:{form.partition(".")[2]}'
  with tarfile.open(fileobj=file, mode=mode) as archive:  # type: ignore
    for path in files:
      archive.add(path, path.relative_to(root).as_posix())
    for name, kind, target in members:
      _add_to_tar(archive, name, kind, target)
  return file.getvalue()


def _add_to_zip(archive, name, kind, target):
  name = name.encode('utf-8', 'replace').decode()
  entry = zipfile.ZipInfo(name + ('/' if kind == 'folder' else ''))
  entry.compress_type = zipfile.ZIP_DEFLATED
  modes = {'symlink': 0o120777, 'device': 0o060644, 'hardlink': 0o010644}
  entry.external_attr = modes.get(kind, 0o100644) << 16
  content = target.encode('utf-8', 'replace')
  archive.writestr(entry, bytes(1 << 22) if kind == 'big' else content)


def _add_to_tar(archive, name, kind, target):
  entry = tarfile.TarInfo(name)
  entry.type = {
    'folder': tarfile.DIRTYPE,
    'symlink': tarfile.SYMTYPE,
    'hardlink': tarfile.LNKTYPE,
    'device': tarfile.BLKTYPE,
  }.get(kind, tarfile.REGTYPE)
  content = bytes(1 << 22) if kind == 'big' else b'x'
  if entry.type == tarfile.REGTYPE:
    entry.size = len(content)
  entry.linkname = target
  archive.addfile(entry, io.BytesIO(content))


def kinds() -> tuple[harness.Kind, ...]:
  """Exports, archives, and lists of own data."""
  _exports()
  where = st.integers(0, 99).map(lambda n: n / 100)
  texts = damage.several(
    damage.BYTES, damage.VALUES, damage.TEXTS, damage.FILES
  )
  files = damage.several(damage.BYTES, damage.FILES)
  return (
    harness.Kind(
      'exports',
      2000,
      st.tuples(
        st.sampled_from(sorted(exports.ALL)),
        where,
        texts,
      ),
      run_export,
      'raw_check.check of prepare; every tenth: prepare.main',
    ),
    harness.Kind(
      'archives',
      500,
      st.tuples(
        st.sampled_from(_FORMS), _MEMBERS, st.one_of(st.just(()), files)
      ),
      run_archive,
      'archives.extract of prepare; every tenth: prepare.main',
    ),
  )


DESCRIPTIONS = st.tuples(
  st.sampled_from(('dataset.json', 'train.txt', 'val.txt')),
  damage.several(damage.BYTES, damage.VALUES, damage.TEXTS, damage.FILES),
)
