"""Rounds of a recipe that is disturbed until it is done."""

import json
import pathlib
import shutil

from tools.soaking import comparing, disks, disturbing, lives

_BUSY = 6


class Failed(Exception):
  """A start that was left in peace did not succeed."""


class Soak:
  """A folder in which rounds are run.

  Args:
    folder: holds `soak.jsonl` (all records), `log`, `undisturbed`, `run`.
    recipe: a gin file.
    seed: of the disturbances.

  Attributes:
    records: a list of dicts, each with its own 'what'.
  """

  def __init__(self, folder, recipe, seed):
    self._folder = pathlib.Path(folder).resolve()
    self._recipe = recipe
    self._seed = seed
    self._run = self._folder / 'run'
    self._path = self._folder / 'soak.jsonl'
    self._folder.mkdir(parents=True, exist_ok=True)
    self._disk = disks.Disk(self._run)
    self._life = None
    self._expected = {}
    self.records = []
    if self._path.exists():
      self.records = list(map(json.loads, self._path.read_text().splitlines()))

  def run(self, kills):
    """Runs rounds until there were so many disturbances."""
    if not self._of('undisturbed'):
      self._run_undisturbed()
    while len(self._of('disturbed')) < kills or self._is_open():
      self._round(kills)

  def close(self):
    """Ends what runs; a disk with a round that has not ended stays."""
    if self._life is not None:
      disturbing.end_all(self._life.process.pid)
    self._disk.clear()
    if not self._is_open():
      self._disk.close()

  def _of(self, what):
    return [record for record in self.records if record['what'] == what]

  def _is_open(self):
    """Whether the last round has not ended."""
    return bool(self.records) and self.records[-1]['what'] not in (
      'round',
      'undisturbed',
    )

  def _record(self, what, **values):
    record = {'what': what, **values}
    self.records.append(record)
    with open(self._path, 'a', encoding='utf-8') as file:
      file.write(json.dumps(record) + '\n')
    print(json.dumps(record), flush=True)

  def _start(self):
    command = lives.command(self._recipe, self._run, self._folder / 'data')
    return lives.Life(command, self._run, self._folder / 'log')

  def _run_undisturbed(self):
    """Runs it once to prepare the data, and to measure and keep it."""
    self._clean()
    self._life = life = self._start()
    life.until_progress(1)  # The first start also prepares the data.
    life.until(lambda: lives.progress(self._run) >= 3)
    start = life.seconds
    if life.wait():
      raise Failed(f'The recipe itself fails; see {self._folder}/log.')
    kept = self._folder / 'undisturbed'
    shutil.rmtree(kept, ignore_errors=True)
    shutil.copytree(self._run, kept)
    self._clean()
    seconds = {'seconds': round(life.seconds, 1), 'start': round(start, 1)}
    self._record('undisturbed', **seconds, **comparing.count(kept))

  def _clean(self):
    for path in self._run.iterdir():
      if path.is_dir():
        shutil.rmtree(path)
      else:
        path.unlink()

  def _round(self, kills):
    """Disturbs one recipe until it is done, and compares it."""
    start_seconds = self._of('undisturbed')[0]['start']
    self._life, done = self._start(), False
    while not done:
      number = len(self._of('disturbed'))
      planned = disturbing.plan(self._seed, number)
      if number >= kills or not disturbing.wait(
        planned, self._life, self._run, start_seconds
      ):
        done = self._end_in_peace()
      else:
        self._disturb(planned)
    found = comparing.differences(self._folder / 'undisturbed', self._run)
    if found:  # Kept, to look for the cause.
      shutil.copytree(
        self._run, self._folder / f'different_{len(self._of("round"))}'
      )
    self._record('round', differences=found[:20], different=len(found))
    self._clean()

  def _end_in_peace(self):
    """Waits for an end that nothing causes; False if it has to start again."""
    code = self._life.wait()
    self._see_resumed()
    before = [record['kind'] for record in self._of('disturbed')]
    if code == _BUSY and before[-1:] == [disturbing.ALONE]:
      # The stage, which outlives the recipe, takes long to notice and to save.
      self._life = self._start()
      return False
    if code:
      raise Failed(f'Exit code {code} without a cause; see {self._folder}/log.')
    return True

  def _disturb(self, planned):
    """Disturbs the present life, records what came of it, starts the next."""
    seconds = self._life.seconds
    stage = (lives.stages(self._run) or [self._run])[-1]
    place = (planned, self._life, self._run, self._disk, self._start)
    code, goes_on, damaged = disturbing.disturb(*place)
    self._see_resumed()
    self._record(
      'disturbed',
      number=planned.number,
      kind=planned.kind,
      moment=planned.moment,
      seconds=round(seconds, 1),
      stage=stage.name,
      code=code,
      half_saved=lives.is_saving(self._run),
      damaged=damaged,
    )
    if goes_on:
      return
    self._expect(damaged)
    self._life = self._start()

  def _expect(self, damaged):
    """Notes what the next start must resume from."""
    self._expected = {}
    for stage in lives.stages(self._run):
      steps = lives.saved(stage)
      if damaged and damaged[0] == stage.name:
        steps.remove(damaged[1])
      if steps:
        self._expected[stage.name] = steps[-1], lives.logged(stage)

  def _see_resumed(self):
    """Records what the present life resumed from."""
    for stage, step in lives.resumed(self._life.output()).items():
      saved, logged = self._expected.pop(stage, (None, None))
      if saved is not None:
        self._record(
          'resumed', stage=stage, step=step, saved=saved, logged=logged
        )
