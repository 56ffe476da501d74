"""Fetching into Keras' cache, from a server of the test on this machine."""

import hashlib
import http.server
import threading

import pytest
from keras.src.backend import config

from deeplab_contrast.conversion import fetching
from deeplab_contrast.utils import errors

CONTENT = b'weights' * 1000
MD5 = hashlib.md5(CONTENT).hexdigest()
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class _Handler(http.server.BaseHTTPRequestHandler):
  """Answers with the next of `server.answers`: a code, or bytes to send."""

  def do_GET(self):
    self.server.asked.append(self.path)
    answer = self.server.answers.pop(0)
    if isinstance(answer, int):
      self.send_error(answer)
      return
    self.send_response(200)
    self.send_header('Content-Length', str(len(CONTENT)))
    self.end_headers()
    self.wfile.write(answer)

  def log_message(self, *arguments):
    pass


@pytest.fixture
def server(monkeypatch, tmp_path):
  monkeypatch.setattr(config, 'keras_home', lambda: str(tmp_path / 'keras'))
  monkeypatch.setattr(fetching, '_WAIT', 0.0)
  server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), _Handler)
  server.answers, server.asked = [], []
  server.url = f'http://127.0.0.1:{server.server_address[1]}/a/x_notop.h5'
  threading.Thread(target=server.serve_forever, daemon=True).start()
  yield server
  server.shutdown()
  server.server_close()


def files(tmp_path):
  return [p.name for p in (tmp_path / 'keras' / 'models').iterdir()]


@pytest.mark.parametrize('digest', [MD5, SHA256])
def test_a_file_is_fetched_once(server, tmp_path, digest):
  server.answers = [CONTENT]
  path = fetching.cached(server.url, digest)
  assert path == str(tmp_path / 'keras' / 'models' / 'x_notop.h5')
  assert fetching.cached(server.url, digest) == path
  assert server.asked == ['/a/x_notop.h5']
  assert files(tmp_path) == ['x_notop.h5']
  with open(path, 'rb') as file:
    assert file.read() == CONTENT


def test_it_is_tried_again_and_a_damaged_cache_is_replaced(server, tmp_path):
  place = tmp_path / 'keras' / 'models' / 'x_notop.h5'
  place.parent.mkdir(parents=True)
  place.write_bytes(CONTENT[:-1])
  server.answers = [503, CONTENT[:100], CONTENT]
  fetching.cached(server.url, MD5)
  assert place.read_bytes() == CONTENT
  assert len(server.asked) == 3


def test_a_different_file_is_not_kept(server, tmp_path):
  server.answers = [CONTENT[::-1]]
  with pytest.raises(errors.DataError, match=f'instead of {MD5}'):
    fetching.cached(server.url, MD5)
  assert not files(tmp_path)


def test_without_network_one_sentence_says_what_to_bring(server, tmp_path):
  place = tmp_path / 'keras' / 'models' / 'x_notop.h5'
  server.answers = [404]
  phrase = f'Not Found.*copy that file to {place}'
  with pytest.raises(errors.SystemFault, match=phrase) as error:
    fetching.cached(server.url, MD5)
  assert server.url in str(error.value) and '\n' not in str(error.value)
  assert len(server.asked) == 1
  server.shutdown()
  server.server_close()
  with pytest.raises(errors.SystemFault, match='Cannot download'):
    fetching.cached(server.url, MD5)
  place.write_bytes(CONTENT)  # Brought by hand.
  assert fetching.cached(server.url, MD5) == str(place)


def test_a_file_without_end_is_given_up(server, monkeypatch):
  monkeypatch.setattr(fetching, '_MOST_BYTES', 1000)
  server.answers = [CONTENT] * 3
  with pytest.raises(errors.SystemFault, match='more than'):
    fetching.cached(server.url, MD5)
