import io
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time

import pytest

from deeplab_contrast.distributed import cluster
from deeplab_contrast.utils import errors
from tests import processes


def tf_config(jobs, job='worker', index=0):
  return json.dumps({'cluster': jobs, 'task': {'type': job, 'index': index}})


def test_tasks_are_counted_from_the_chief():
  jobs = {'worker': ['b:2', 'c:3'], 'chief': ['a:1']}
  found = cluster.read(tf_config(jobs, index=1))
  assert list(found.tasks.items()) == [
    ('chief 0', 'a:1'),
    ('worker 0', 'b:2'),
    ('worker 1', 'c:3'),
  ]
  assert found.index == 2
  assert found.title(2) == 'worker 1 (c:3)'
  assert cluster.read(tf_config(jobs, 'chief')).index == 0


@pytest.mark.parametrize(
  ('text', 'sentence'),
  [
    (None, 'needs the environment variable TF_CONFIG'),
    ('{', 'must be JSON'),
    ('[]', 'must be JSON'),
    ('{"cluster": {"worker": ["a:1"]}}', "fails at KeyError.'task'"),
    (tf_config({'worker': ['a:1']}, index=1), "is worker 1, .*'worker': 1"),
    (tf_config({'worker': ['a:1']}, index=-1), 'is worker -1'),
    (tf_config({'worker': ['a:1']}, 'chief'), 'is chief 0'),
    (tf_config({'worker': ['a:1'], 'ps': ['b:1']}), "has the jobs .'ps'."),
    (tf_config({'chief': ['a:1', 'b:1']}, 'chief'), 'several chiefs'),
    (tf_config({'worker': ['a:99999']}), 'a:99999 is not host:port'),
    (tf_config({'worker': ['a']}), 'a is not host:port'),
    (tf_config({'worker': ['a:1', 'a:1']}), 'gives a:1 to several'),
  ],
)
def test_a_wrong_tf_config_is_one_sentence(text, sentence):
  with pytest.raises(errors.ConfigError, match=sentence) as caught:
    cluster.read(text)
  assert '\n' not in str(caught.value)


def test_the_tf_config_of_kubernetes():
  """As the training operator writes it for a TFJob."""
  found = cluster.read(
    json.dumps(
      {
        'cluster': {
          'worker': [f'run-worker-{i}.space.svc:2222' for i in (0, 1)]
        },
        'task': {'type': 'worker', 'index': 1},
        'environment': 'cloud',
      }
    )
  )
  assert found.title(found.index) == 'worker 1 (run-worker-1.space.svc:2222)'


def test_the_tf_config_that_the_page_makes_under_slurm(tmp_path):
  page = (processes.ROOT / 'docs' / 'scale.md').read_text(encoding='utf-8')
  script = re.search(r'(?s)```bash\n(#!.*?)exec python', page)[1]
  (tmp_path / 'scontrol').write_text('#!/bin/sh\nprintf "n1\\nn2\\nn10\\n"\n')
  (tmp_path / 'scontrol').chmod(0o755)
  done = subprocess.run(
    ['bash', '-c', script + 'printenv TF_CONFIG'],
    capture_output=True,
    text=True,
    check=True,
    env={
      'PATH': f'{tmp_path}:{os.environ["PATH"]}',
      'SLURM_JOB_NODELIST': 'n[1-2,10]',
      'SLURM_PROCID': '2',
    },
  )
  found = cluster.read(done.stdout)
  assert list(found.tasks.values()) == ['n1:2222', 'n2:2222', 'n10:2222']
  assert found.index == 2


@pytest.fixture
def ports():
  """Two that are free."""
  return processes.free_ports(2)


def task(ports, index):
  addresses = [f'localhost:{port}' for port in ports]
  return cluster.read(tf_config({'worker': addresses}, index=index))


def test_two_meet(ports, monkeypatch):
  """The first one waits, and says for whom."""
  # Reading what capfd captured empties it, and may lose a line being written.
  said = io.StringIO()
  monkeypatch.setattr(sys, 'stderr', said)
  first = threading.Thread(target=task(ports, 0).meet, args=(60,))
  first.start()
  try:
    while not cluster._answers(f'localhost:{ports[0]}'):
      assert first.is_alive()
      time.sleep(0.01)
    while '\n' not in said.getvalue():
      assert first.is_alive()
      time.sleep(0.01)
    # As TensorFlow does next, on the same port.
    with socket.socket() as server:
      server.bind(('', ports[1]))
      server.listen()
      first.join(60)
  finally:
    first.join(60)
  assert not first.is_alive()
  expected = f'Waiting up to 60 s for worker 1 (localhost:{ports[1]}).\n'
  assert said.getvalue() == expected


def test_a_missing_task_is_reported(ports):
  with pytest.raises(errors.SystemFault) as caught:
    task(ports, 1).meet(0.3)
  assert str(caught.value).startswith(
    f'TF_CONFIG names worker 0 (localhost:{ports[0]}), not reached within 0 s'
  )


def test_a_port_that_is_taken(ports):
  with socket.socket() as taken:
    taken.bind(('', ports[0]))
    taken.listen()
    with pytest.raises(errors.SystemFault, match=f'port {ports[0]} cannot'):
      task(ports, 0).meet(5)


def test_one_task_meets_nobody(ports):
  task(ports[:1], 0).meet(0)
