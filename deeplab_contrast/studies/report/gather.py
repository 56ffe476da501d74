"""Gathers the results of a study or a recipe."""

import ast
import collections
import dataclasses
import json
import os

from deeplab_contrast.studies.report import files
from deeplab_contrast.studies.report.study import Entry, Stage, Study
from deeplab_contrast.utils import errors, results, run_files

# mIoU as a share; larger differences between the table and a run are reported.
_TOLERANCE = 0.0006
# What an entry of study.json has that says nothing in a table of runs.
_NOT_COLUMNS = ('dataset', 'model_dir', 'stages')


def read(folder: str) -> Study:
  """Reads `study.json`, or else the `results.json` of a recipe.

  Args:
    folder: folder of the study.

  Returns:
    A study with at least one entry.

  Raises:
    DataError: the folder does not exist, nothing is finished, or a file is
      damaged.
  """
  if not os.path.isdir(folder):
    raise errors.DataError(
      f'There is no folder {folder}; give the --model_dir of a study or recipe.'
    )
  path = os.path.join(folder, run_files.STUDY)
  if os.path.exists(path):
    study = _of_study(folder, path)
  elif os.path.exists(os.path.join(folder, run_files.STUDY_RESULTS)):
    study = _of_recipe(folder, os.path.join(folder, run_files.STUDY_RESULTS))
  else:
    raise errors.DataError(
      f'{folder} has neither {run_files.STUDY} nor {run_files.STUDY_RESULTS}, '
      'so nothing is finished there; run its study or recipe first.'
    )
  if not study.entries:
    raise errors.DataError(
      f'{path} names no finished run yet (0 of {study.planned}); resume the '
      'study first.'
    )
  _check_classes(study)
  return dataclasses.replace(study, notes=_notes(study))


def _of_study(folder, path):
  stored = files.read_json(path)
  listed = files.get(stored, 'entries', list, path)
  entries = tuple(
    _entry(folder, value, f'{path}, entry {number}')
    for number, value in enumerate(listed, start=1)
  )
  return Study(
    folder=folder,
    dataset=files.get(stored, 'dataset', str, path),
    commit=str(stored.get('commit') or 'unknown'),
    command=str(stored.get('command') or ''),
    equal_steps=stored.get('equal_steps', _have_equal_steps(entries)),
    planned=files.optional(stored, 'planned', int, path) or len(entries),
    entries=entries,
  )


def _have_equal_steps(entries):
  """Whether arms trained equally long at each budget; None if unknown."""
  steps: dict[int | None, set[int | None]] = {}
  for entry in entries:
    steps.setdefault(entry.labels, set()).add(entry.steps)
  if any(None in found for found in steps.values()):
    return None
  return all(len(found) == 1 for found in steps.values())


def _entry(folder, value, where):
  if not isinstance(value, dict):
    raise files.damaged(where, f'it is {value!r}')
  model_dir = os.path.join(folder, files.get(value, 'model_dir', str, where))
  stages = [
    Stage(
      name=files.get(stage, 'name', str, where),
      command=files.get(stage, 'command', str, where),
      model_dir=os.path.join(folder, files.get(stage, 'model_dir', str, where)),
      steps=files.optional(stage, 'steps', int, where),
      minutes=files.optional(stage, 'minutes', (int, float), where),
    )
    for stage in files.get(value, 'stages', list, where)
  ]
  return Entry(
    arm=files.get(value, 'arm', str, where),
    labels=files.optional(value, 'labels', int, where),
    seed=files.get(value, 'seed', int, where),
    model_dir=model_dir,
    stages=tuple(stages) or (_last_stage(model_dir),),
    steps=files.optional(value, 'steps', int, where),
    minutes=files.optional(value, 'minutes', (int, float), where),
    result=files.result(model_dir, where),
    columns={k: v for k, v in value.items() if k not in _NOT_COLUMNS},
  )


def _of_recipe(folder, path):
  arms = files.get(files.read_json(path), 'arms', list, path)
  entries = [
    _recipe_entry(folder, arm, seed, path)
    for arm in arms
    for seed in files.get(arm, 'seeds', list, path)
  ]
  return Study(
    folder=folder,
    dataset=entries[0].result['dataset'] if entries else '',
    commit='unknown',
    command='',
    equal_steps=_have_equal_steps(entries),
    planned=len(entries),
    entries=tuple(entries),
  )


def _recipe_entry(folder, arm, value, path):
  name = files.get(arm, 'arm', str, path)
  where = f'{path}, arm {name!r}'
  model_dir = _moved(folder, files.get(value, 'model_dir', str, where))
  stages = _stages_before(folder, model_dir)
  known = [stage.steps for stage in stages]
  return Entry(
    arm=name,
    labels=files.optional(arm, 'labels', int, where)
    or _number_of_labels(model_dir),
    seed=files.get(value, 'seed', int, where),
    model_dir=model_dir,
    stages=stages,
    steps=None if None in known else sum(known),
    minutes=None,
    result=files.result(model_dir, where),
  )


def _moved(folder, model_dir):
  """A run's path, which may be relative to a different working folder."""
  inside = os.path.join(folder, os.path.basename(os.path.normpath(model_dir)))
  return inside if os.path.isdir(inside) else model_dir


def _stages_before(folder, model_dir):
  """The stages of a recipe's arm: its run, and those it starts from."""
  stages = [_last_stage(model_dir)]
  while start := files.macros(files.config(stages[0].model_dir)).get('INIT'):
    try:
      before = _moved(folder, str(ast.literal_eval(start)))
    except (ValueError, SyntaxError):
      break
    seen = [os.path.realpath(stage.model_dir) for stage in stages]
    if not os.path.isdir(before) or os.path.realpath(before) in seen:
      break
    stages.insert(0, _last_stage(before))
  return tuple(stages)


def _last_stage(model_dir):
  name = os.path.basename(os.path.normpath(model_dir))
  return Stage(name, 'train', model_dir, _steps(model_dir))


def _steps(model_dir):
  """The number of steps in DONE; None where there is none."""
  path = os.path.join(model_dir, run_files.DONE)
  try:
    # Anything else may never end.
    return results.steps_of(model_dir) if os.path.isfile(path) else None
  except (OSError, ValueError):
    return None


def _number_of_labels(model_dir):
  path = os.path.join(model_dir, run_files.DATA)
  if not os.path.exists(path):
    return None
  train = files.get(files.read_json(path), 'train', dict, path)
  return files.get(train, 'examples', int, path)


def _check_classes(study):
  first, *rest = study.entries
  for entry in rest:
    if list(entry.result['iou']) != list(first.result['iou']):
      raise errors.DataError(
        f'{entry.model_dir} and {first.model_dir} were evaluated on different '
        'classes; they cannot be in one report.'
      )


def _notes(study):
  """Notes for the reader on what is missing or not comparable."""
  notes = []
  if study.planned > len(study.entries):
    notes.append(
      f'The study is not finished: {len(study.entries)} of {study.planned} '
      'runs are shown.'
    )
  different = _evaluated_differently(study)
  if different:
    notes.append(
      f'{", ".join(different)}: evaluated differently from the rest (judged_by '
      f'in {run_files.RESULTS}), so their numbers are not comparable.'
    )
  wrong = _other_numbers(study)
  if wrong:
    notes.append(
      f'{run_files.STUDY_TABLE} differs from the evaluations of '
      f'{", ".join(wrong)} in mIoU; this page shows the evaluations.'
    )
  return tuple(notes)


def _evaluated_differently(study: Study) -> list[str]:
  """Entries whose split, scales and so on differ from those of most."""
  ways = [
    json.dumps(entry.result.get('judged_by'), sort_keys=True)
    for entry in study.entries
  ]
  usual = collections.Counter(ways).most_common(1)[0][0]
  return [
    _title(entry)
    for entry, way in zip(study.entries, ways, strict=True)
    if way != usual
  ]


def _title(entry):
  return f'{entry.arm} with {entry.labels} labels, seed {entry.seed}'


def _other_numbers(study):
  """Entries whose mIoU in results.csv differs from their evaluation."""
  path = os.path.join(study.folder, run_files.STUDY_TABLE)
  if not os.path.exists(path):
    return []
  table = files.table(path)
  return [
    _title(e)
    for e in study.entries
    if (listed := table.get((e.arm, e.labels, e.seed))) is not None
    and e.result['miou'] is not None
    and abs(listed - e.result['miou']) > _TOLERANCE
  ]
