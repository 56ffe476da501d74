"""The finished arms of a recipe and their costs: results.csv, study.json."""

import csv
import io
import json
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from deeplab_contrast.studies import stages
from deeplab_contrast.utils import files, provenance, results, run_files

# What an entry of study.json has besides the columns of results.csv.
_NOT_COLUMNS = ('model_dir', 'stages')


class Ledger:
  """The finished arms of a recipe, and what they cost.

  Times are those of the processes, including start-up and evaluation. Each is
  stored as soon as its process ends, whether it succeeded or not, so that an
  interrupted stage costs the sum. Only when the recipe itself is killed, the
  time of the running stage is lost.

  Args:
    model_dir: the recipe's folder.
    jobs: all jobs, in their order.
  """

  def __init__(self, model_dir: str, jobs: Sequence[stages.Job]):
    self._model_dir = model_dir
    self._jobs = jobs
    self._commit = provenance.commit()

  def timer(self, job: stages.Job) -> Callable[[float], None]:
    """Returns a function to call with the seconds of a job's process."""

    def done(seconds: float) -> None:
      line = [os.path.basename(job.model_dir), seconds, self._commit]
      path = os.path.join(self._model_dir, run_files.STUDY_TIMES)
      with open(path, 'a', encoding='utf-8') as file:
        file.write(json.dumps(line) + '\n')
      if job.stage.arm is not None and results.is_done(job.model_dir):
        self.write()

    return done

  def write(self) -> None:
    """Writes both files, each of them atomically."""
    times = self._times()
    done = [
      self._entry(job, times)
      for job in self._jobs
      if job.stage.arm is not None and results.is_done(job.model_dir)
    ]
    if not done:
      return
    files.write_text(
      os.path.join(self._model_dir, run_files.STUDY_TABLE), table(done)
    )
    study = {
      'dataset': done[0]['dataset'],
      'commit': done[-1]['commit'],
      'planned': sum(job.stage.arm is not None for job in self._jobs),
      'entries': done,
    }
    files.write_json(os.path.join(self._model_dir, run_files.STUDY), study)

  def _entry(self, job, times):
    """One finished arm: a row of `results.csv` and of the report's runs."""
    result = results.read(job.model_dir)
    steps = [self._stage(part, times) for part in stages.chain(job, self._jobs)]
    return {
      'dataset': result['dataset'],
      'arm': job.stage.arm,
      'labels': self._labels(job),
      'seed': job.seed,
      'init': self._origin(stages.chain(job, self._jobs)),
      'steps': sum(stage['steps'] for stage in steps),
      'minutes': round(sum(stage['minutes'] for stage in steps), 2),
      'miou': result['miou'],
      'pixel_accuracy': result.get('pixel_accuracy'),
      'commit': times.get(os.path.basename(job.model_dir), (0, 'unknown'))[1],
      'model_dir': os.path.relpath(job.model_dir, self._model_dir),
      'stages': steps,
    }

  def _stage(self, job, times):
    folder = os.path.relpath(job.model_dir, self._model_dir)
    seconds = times.get(os.path.basename(job.model_dir), (0.0, ''))[0]
    is_training = job.stage.command == 'train'
    return {
      'name': job.stage.name,
      'command': job.stage.command,
      'model_dir': folder,
      'steps': results.steps_of(job.model_dir) if is_training else 0,
      'minutes': round(seconds / 60, 2),
    }

  def _origin(self, jobs):
    """The pretrained weights that an arm starts from, or 'random'."""
    for job in jobs:
      path = os.path.join(job.model_dir, run_files.ORIGIN)
      if os.path.exists(path):
        return next(iter(files.read_json(path, dict).values()), 'unknown')
    return 'random'

  def _labels(self, job):
    """The number of labelled images of the arm."""
    if job.stage.labels is not None:
      return job.stage.labels
    path = os.path.join(job.model_dir, run_files.DATA)
    with files.as_expected(path):
      return files.read_json(path, dict)['train']['examples']

  def _times(self):
    """{stage: (seconds of all its processes, commit of the last)}."""
    path = os.path.join(self._model_dir, run_files.STUDY_TIMES)
    found: dict[str, tuple[float, str]] = {}
    if os.path.exists(path):
      with open(path, encoding='utf-8') as file:
        for name, seconds, commit in filter(None, map(_line, file)):
          found[name] = found.get(name, (0.0, ''))[0] + seconds, commit
    return found


def table(entries: Sequence[Mapping[str, Any]]) -> str:
  """The text of `results.csv`: a row for each entry of `study.json`."""
  columns = [name for name in entries[0] if name not in _NOT_COLUMNS]
  text = io.StringIO()
  writer = csv.DictWriter(
    text, columns, extrasaction='ignore', lineterminator='\n'
  )
  writer.writeheader()
  writer.writerows(entries)
  return text.getvalue()


def _line(text):
  try:
    name, seconds, commit = json.loads(text)
    return str(name), float(seconds), str(commit)
  except (ValueError, TypeError, OverflowError, RecursionError):
    return None  # A line cut off by a kill.
