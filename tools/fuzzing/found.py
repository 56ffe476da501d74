"""Cases that broke once, by the kind of input; tried before all others."""

CASES: dict[str, tuple] = {
  'archives': (
    # zlib's error was quoted with all of its lines, or a whole header.
    ('tar.bz2', (), (('delete', 0.998, 1),)),
    ('tar.xz', (), (('head', 0.0, b'\xff\xfe'),)),
    ('zip', (), (('header', 0.405, b'\x8a8\xb4'),)),
    # A traceback of lzma.
    ('tar.xz', (), (('write', 0.5, b'\xff\xff\xff\xff'),)),
    # It waited for a pipe.
    ('zip', (), (('special', 0.0, '../../outside/secret.txt'),)),
    ('tar.gz', (), (('special', 0.0, 'a\nb.png'),)),
  ),
  'exports': (
    # A link to nowhere was a traceback.
    ('yolo', 0.08, (('link', 0.0, '\u202egnp.png'),)),
    ('cvat_xml', 0.8, (('link', 0.1, '-rf.png'),)),
  ),
  'gin': (
    # A sentence of 10,000 letters.
    ('gin_configs/tiny.gin', (), ('STEPS = "' + '9' * 9000 + '"',)),
  ),
  'images': (
    # TensorFlow opens no file whose name is not UTF-8.
    ('RGB.png', (('rename', 0.208, '\udcff\udcfe.png'),)),
  ),
  'lists': (
    # A folder in place of metrics.jsonl was a traceback.
    ('study', (0.24, (('folder', 0.633, 'a.png'),))),
  ),
  'masks': (
    # The draw of a split encoded the name.
    ('p.bmp', 'ids', (('rename', 0.039, '\udcff\udcfe.png'),)),
  ),
  'weights': (
    # Tracebacks for a link to nowhere and a folder, and it waited for a pipe.
    ('model.ckpt.data-00000-of-00001', (('link', 0.0, '-rf.png'),)),
    ('model.ckpt.data-00000-of-00001', (('folder', 0.0, 'a.png'),)),
    ('model.ckpt.data-00000-of-00001', (('special', 0.084, 'a.png'),)),
    ('numbered.weights.h5', (('special', 0.668, '\udcff\udcfe.png'),)),
  ),
}
