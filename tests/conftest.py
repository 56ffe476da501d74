"""Every test runs on the CPU, quietly, and without the network."""

import os
import socket

os.environ['CUDA_VISIBLE_DEVICES'] = '-1'
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')

import pytest  # noqa: E402

import deeplab_contrast  # noqa: E402, F401 (before any TensorFlow: its kernels)
from tests import processes  # noqa: E402


def pytest_collection_modifyitems(items):
  """Files with slow tests first, so that both processes end together."""
  slow = {item.path for item in items if item.get_closest_marker('slow')}
  items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope='session')
def two_replicas():
  """Runs program texts under two replicas, see `processes.TwoReplicas`."""
  run = processes.TwoReplicas()
  yield run
  run.end()


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
  """Any attempt to leave this machine fails the test."""
  connect = socket.socket.connect

  def refuse(self, address):
    if isinstance(address, tuple) and address[0] not in ('127.0.0.1', '::1'):
      raise AssertionError(f'A test tried to connect to {address}.')
    return connect(self, address)

  monkeypatch.setattr(socket.socket, 'connect', refuse)
