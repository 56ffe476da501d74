import threading

import numpy as np
import pytest
import tensorflow as tf

from deeplab_contrast.distributed import cluster, workers
from deeplab_contrast.utils import errors, signals

TASKS = {'worker 0': 'a:1', 'worker 1': 'b:2', 'worker 2': 'c:3'}


def together(function):
  """What each of three processes gets from `function` of its `Team`.

  They are threads; the sum over them replaces TensorFlow's.
  """
  barrier = threading.Barrier(len(TASKS), timeout=60)
  given, results = [None] * len(TASKS), [None] * len(TASKS)

  def run(index):
    def total(table):
      given[index] = table
      barrier.wait()
      result = np.sum(given, axis=0)
      barrier.wait()
      return result

    team = workers.Team(cluster.Cluster(TASKS, index), total)
    try:
      results[index] = function(team, index)
    except errors.UserError as error:
      results[index] = error

  threads = [threading.Thread(target=run, args=(i,)) for i in range(len(TASKS))]
  for thread in threads:
    thread.start()
  for thread in threads:
    thread.join()
  return results


def test_workers_that_agree_continue():
  same = {'configuration': 'a = 1', 'data': 'x'}
  assert together(lambda team, _: team.agree(same, '')) == [None] * 3


def test_all_say_who_differs_and_in_what():
  parts = [
    {'configuration': 'a = 1', 'data': 'x'},
    {'configuration': 'a = 1', 'data': 'y'},
    {'configuration': 'a = 2', 'data': 'y'},
  ]
  said = together(lambda team, i: team.agree(parts[i], 'fix it.'))
  assert {type(error) for error in said} == {errors.ConfigError}
  assert {str(error) for error in said} == {
    'Workers differ from worker 0 (a:1): worker 2 (c:3) in the '
    'configuration; worker 1 (b:2), worker 2 (c:3) in the data; fix it.'
  }


def test_the_loudest_is_heard_by_all():
  assert together(lambda team, i: team.largest([0, 15, 2][i])) == [15] * 3
  assert together(lambda team, i: team.largest(0)) == [0] * 3


def test_a_signal_to_one_stops_all():
  def steps(team, index):
    stop = signals.StopRequest(team.largest)
    seen = [stop.came()]
    if index == 1:
      stop.signal = 15
    seen.append(stop.came())
    with pytest.raises(errors.Preempted, match='SIGTERM'):
      stop.poll()
    return seen

  assert together(steps) == [[False, True]] * 3


def test_a_signal_that_comes_while_they_agree_is_not_forgotten():
  stop = signals.StopRequest(lambda number: number)
  stop._agree = lambda number: setattr(stop, 'signal', 2) or number
  assert not stop.came()
  assert stop.came()


def test_the_first_is_the_chief():
  assert together(lambda team, _: team.is_chief) == [True, False, False]


@pytest.mark.parametrize(
  ('message', 'who'),
  [
    (
      'Collective ops is aborted by: Error reported from /job:worker/task:1: '
      'The following tasks are unhealthy (stopped sending heartbeats):\n'
      '/job:worker/replica:0/task:1\nThe tasks have crashed.',
      'worker 1 (b:2)',
    ),
    (
      'Collective ops is aborted by: recvmsg:Connection reset by peer\nfrom '
      'remote target /job:worker/replica:0/task:2 while calling from '
      '/job:worker/replica:0/task:0',
      'worker 2 (c:3)',
    ),
    ('Collective ops is aborted by: a storm', 'another worker'),
  ],
)
def test_a_worker_that_is_lost_is_one_sentence(message, who):
  def fail(team):
    with team.explained():
      raise tf.errors.UnavailableError(None, None, message)

  error = together(lambda team, _: fail(team))[0]
  assert type(error) is errors.WorkerLost and error.exit_code == 143
  assert str(error) == (
    f'Lost {who} (its own output has the reason); start all workers again to '
    'resume from the last checkpoint.'
  )


def test_a_worker_that_is_lost_while_variables_are_made(monkeypatch):
  team = workers.Team(cluster.Cluster(TASKS, 0), None)
  monkeypatch.setattr(workers, 'of', lambda _: team)
  strategy = tf.distribute.get_strategy()
  with pytest.raises(errors.WorkerLost), workers.scope(strategy):
    raise tf.errors.UnavailableError(None, None, 'Collective ops is aborted')


def test_other_faults_stay_what_they_are():
  team = workers.Team(cluster.Cluster(TASKS, 0), None)
  with pytest.raises(tf.errors.NotFoundError), team.explained():
    raise tf.errors.NotFoundError(None, None, 'no such file')
  with pytest.raises(errors.DataError), team.explained():
    raise errors.DataError('A mask is missing.')


def test_one_process_agrees_with_itself():
  for alone in (workers.of(None), workers.of(tf.distribute.get_strategy())):
    assert alone.is_chief and alone.count == 1
    alone.agree({'data': 'x'}, '')
    alone.leave()
    assert alone.largest(15) == 15
    with pytest.raises(tf.errors.UnavailableError), alone.explained():
      raise tf.errors.UnavailableError(None, None, 'Collective ops is aborted')
