"""Every test runs on the CPU, quietly, and without the network."""

import os
import socket

os.environ['CUDA_VISIBLE_DEVICES'] = '-1'
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')

import pytest  # noqa: E402


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
  """Any attempt to leave this machine fails the test."""
  connect = socket.socket.connect

  def refuse(self, address):
    if isinstance(address, tuple) and address[0] not in ('127.0.0.1', '::1'):
      raise AssertionError(f'A test tried to connect to {address}.')
    return connect(self, address)

  monkeypatch.setattr(socket.socket, 'connect', refuse)
