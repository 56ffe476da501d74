"""Small exports of annotation tools: two classes on eight photos or so."""

import base64
import io
import json
import zlib

import numpy as np
from PIL import Image

WIDTH, HEIGHT = 40, 30
CUP = [[4, 5], [14, 5], [14, 15], [4, 15]]
BOX = [[10, 10], [24, 10], [24, 20], [10, 20]]


def photo(path, seed):
  """Writes a photo; all of them differ."""
  path.parent.mkdir(parents=True, exist_ok=True)
  noise = np.random.default_rng(seed).integers(0, 256, [HEIGHT, WIDTH, 3])
  Image.fromarray(noise.astype(np.uint8)).save(path, quality=95)


def write(path, value):
  path.parent.mkdir(parents=True, exist_ok=True)
  text = value if isinstance(value, str) else json.dumps(value)
  path.write_text(text)


def flat(points):
  return [coordinate for point in points for coordinate in point]


def coco(root, place='annotations/instances_{}.json', images='images/{}'):
  """train and val, as CVAT exports it; box is category 7."""
  seed = 0
  for split, count in (('train', 6), ('val', 2)):
    listed, drawn = [], []
    for i in range(count):
      seed += 1
      name = f'{seed:04d}.jpg'
      photo(root / images.format(split) / name, seed)
      size = {'height': HEIGHT, 'width': WIDTH}
      listed.append({'id': i, 'file_name': name, **size})
      for category, points in ((1, CUP), (7, BOX)):
        drawn.append(
          {
            'id': len(drawn),
            'image_id': i,
            'category_id': category,
            'iscrowd': 0,
            'segmentation': [flat(points)],
          }
        )
    value = {
      'images': listed,
      'annotations': drawn,
      'categories': [{'id': 1, 'name': 'cup'}, {'id': 7, 'name': 'box'}],
    }
    write(root / place.format(split), value)
  return root


def roboflow_coco(root):
  """A folder for each split, with a group of all classes as category 0."""
  coco(root, '{}/_annotations.coco.json', '{}')
  (root / 'val').rename(root / 'valid')
  for path in root.glob('*/*.json'):
    value = json.loads(path.read_text())
    for category in value['categories']:
      category['supercategory'] = 'things'
    group = {'id': 0, 'name': 'things', 'supercategory': 'none'}
    value['categories'].insert(0, group)
    write(path, value)
  return root


def labelme(root):
  for i in range(8):
    photo(root / f'{i}.jpg', i)
    shapes = [
      {'label': label, 'shape_type': 'polygon', 'points': points}
      for label, points in (('cup', CUP), ('box', BOX))
    ]
    value = {
      'version': '5.0.1',
      'imagePath': f'{i}.jpg',
      'imageHeight': HEIGHT,
      'imageWidth': WIDTH,
      'shapes': shapes,
    }
    write(root / f'{i}.json', value)
  return root


def yolo(root):
  for i in range(8):
    split = 'train' if i < 6 else 'val'
    photo(root / f'images/{split}/{i}.jpg', i)
    lines = [
      f'{number} ' + ' '.join(f'{x / WIDTH} {y / HEIGHT}' for x, y in points)
      for number, points in enumerate((CUP, BOX))
    ]
    write(root / f'labels/{split}/{i}.txt', '\n'.join(lines) + '\n')
  write(root / 'data.yaml', 'train: images/train\nnc: 2\nnames: [cup, box]\n')
  return root


def label_studio(root):
  tasks = []
  for i in range(8):
    photo(root / f'images/photo_{i}.jpg', i)
    about = {'original_width': WIDTH, 'original_height': HEIGHT}
    points = [[x * 100 / WIDTH, y * 100 / HEIGHT] for x, y in BOX]
    brush = np.zeros([HEIGHT, WIDTH], bool)
    brush[5:15, 4:14] = True
    result = [
      {
        **about,
        'type': 'brushlabels',
        'value': {'brushlabels': ['cup'], 'format': 'rle', 'rle': pack(brush)},
      },
      {
        **about,
        'type': 'polygonlabels',
        'value': {'polygonlabels': ['box'], 'points': points},
      },
    ]
    done = {'id': i, 'result': result, 'updated_at': '2024-01-01T00:00:00Z'}
    image = f'/data/upload/1/0a1b2c3d-photo_{i}.jpg'
    tasks.append({'id': i, 'data': {'image': image}, 'annotations': [done]})
  write(root / 'project-1.json', tasks)
  return root


def label_studio_min(root):
  """JSON-MIN: a record for each annotation, regions by the tag's name."""
  label_studio(root)
  records = []
  for task in json.loads((root / 'project-1.json').read_text()):
    (done,) = task['annotations']
    regions = [{**r.pop('value'), **r} for r in done['result']]
    for region in regions:
      del region['type']
    about = {'annotator': 1, 'annotation_id': task['id'], 'lead_time': 2.5}
    records.append({**task['data'], 'id': task['id'], 'tag': regions, **about})
  write(root / 'project-1.json', records)
  return root


def cvat_xml(root):
  """CVAT for images 1.1: the cup is a mask, the box a polygon above it."""
  images = []
  for i in range(8):
    subset = 'Train' if i < 6 else 'Validation'
    photo(root / f'images/{subset}/{i}.jpg', i)
    points = ';'.join(f'{x:.2f},{y:.2f}' for x, y in BOX)
    images.append(
      f'<image id="{i}" name="{i}.jpg" subset="{subset}" task_id="{i // 4}" '
      f'width="{WIDTH}" height="{HEIGHT}">'
      f'<polygon label="box" occluded="0" points="{points}" z_order="1"/>'
      '<mask label="cup" rle="0, 100" left="4" top="5" width="10" height="10" '
      'z_order="0"/></image>'
    )
  labels = ''.join(
    f'<label><name>{name}</name><attributes/></label>'
    for name in ('cup', 'box')
  )
  write(
    root / 'annotations.xml',
    '<?xml version="1.0" encoding="utf-8"?>\n<annotations>'
    f'<version>1.1</version><meta><project><labels>{labels}</labels></project></meta>'
    f'{"".join(images)}</annotations>',
  )
  return root


def labelme_embedded(root):
  """labelme without the photos, which are inside of the JSON files."""
  labelme(root)
  for path in root.glob('*.json'):
    value = json.loads(path.read_text())
    image = root / value['imagePath']
    value['imageData'] = base64.b64encode(image.read_bytes()).decode()
    write(path, value)
    image.unlink()
  return root


def pack(mask):
  """Brush strokes as Label Studio packs them, in runs of up to 256."""
  values = np.repeat(mask.ravel() * 255, 4)
  bits = f'{len(values):032b}' + f'{7:05b}' + f'{7:04b}' * 4
  edges = [0, *(np.flatnonzero(np.diff(values)) + 1), len(values)]
  for start, end in zip(edges, edges[1:], strict=False):
    for at in range(start, end, 256):
      length = min(256, end - at)
      bits += f'1{0:02b}{length - 1:08b}{values[start]:08b}'
  bits += '0' * (-len(bits) % 8)
  return [int(bits[i : i + 8], 2) for i in range(0, len(bits), 8)]


def png(mask, compress=False):
  """A mask as base64 of a PNG."""
  buffer = io.BytesIO()
  Image.fromarray(np.asarray(mask, bool)).save(buffer, 'PNG')
  data = buffer.getvalue()
  return base64.b64encode(zlib.compress(data) if compress else data).decode()


def supervisely(root):
  write(root / 'meta.json', {'classes': [{'title': 'cup'}, {'title': 'box'}]})
  for i in range(8):
    photo(root / f'ds/img/{i}.jpg', i)
    bitmap = {'data': png(np.ones([10, 10]), True), 'origin': [4, 5]}
    objects = [
      {'classTitle': 'cup', 'geometryType': 'bitmap', 'bitmap': bitmap},
      {
        'classTitle': 'box',
        'geometryType': 'polygon',
        'points': {'exterior': BOX, 'interior': []},
      },
    ]
    size = {'height': HEIGHT, 'width': WIDTH}
    write(root / f'ds/ann/{i}.jpg.json', {'size': size, 'objects': objects})
  return root


def ids():
  """A mask: 0, and 1 and 2 for the cup and the box."""
  mask = np.zeros([HEIGHT, WIDTH], np.uint8)
  mask[5:15, 4:14] = 1
  mask[10:20, 10:24] = 2
  return mask


def save(path, mask):
  path.parent.mkdir(parents=True, exist_ok=True)
  Image.fromarray(np.asarray(mask)).save(path)


COLORS = np.array([[0, 0, 0], [48, 112, 32], [176, 112, 32]], np.uint8)


def cvat(root):
  """Segmentation mask 1.1; the last two frames are empty."""
  names = [f'frame_{i:06d}' for i in range(8)]
  for i, name in enumerate(names):
    photo(root / f'JPEGImages/{name}.jpg', i)
    if i < 6:
      save(root / f'SegmentationClass/{name}.png', COLORS[ids()])
      save(root / f'SegmentationObject/{name}.png', COLORS[ids()])
  write(root / 'ImageSets/Segmentation/default.txt', '\n'.join(names))
  write(
    root / 'labelmap.txt',
    '# label:color_rgb:parts:actions\nbackground:0,0,0::\ncup:48,112,32::\n'
    'box:176,112,32::\n',
  )
  return root


def roboflow(root):
  """Masks beside images, and a list of classes in each folder."""
  for i in range(8):
    split = 'train' if i < 5 else 'valid' if i < 7 else 'test'
    photo(root / f'{split}/a{i}_jpg.rf.{i:032x}.jpg', i)
    save(root / f'{split}/a{i}_jpg.rf.{i:032x}_mask.png', ids())
    write(
      root / split / '_classes.csv',
      'Pixel Value, Class\n0, background\n1, cup\n2, box\n',
    )
  return root


def voc(root):
  """As labelme2voc writes it."""
  for i in range(8):
    photo(root / f'JPEGImages/{i}.jpg', i)
    save(root / f'SegmentationClassPNG/{i}.png', ids())
  write(root / 'class_names.txt', '_background_\ncup\nbox\n')
  return root


def plain(root, images='images', masks='masks'):
  for i in range(8):
    photo(root / images / f'{i}.jpg', i)
    save(root / masks / f'{i}.png', ids())
  return root


ALL = {
  'coco': coco,
  'roboflow_coco': roboflow_coco,
  'labelme': labelme,
  'labelme_embedded': labelme_embedded,
  'yolo': yolo,
  'label_studio': label_studio,
  'label_studio_min': label_studio_min,
  'cvat_xml': cvat_xml,
  'supervisely': supervisely,
  'cvat': cvat,
  'roboflow': roboflow,
  'voc': voc,
  'plain': plain,
}
