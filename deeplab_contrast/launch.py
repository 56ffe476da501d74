"""The edge of every command: flags, configuration, strategy, exit codes.

A command is a function of one `Launch`, and ends with

    if __name__ == '__main__':
      launch.run(main)

Nothing here imports TensorFlow before the command line is known to be right.
"""

import contextlib
import dataclasses
import functools
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from absl import app, flags, logging

from deeplab_contrast.config import build, run_folder
from deeplab_contrast.distributed import cluster, distribution, workers
from deeplab_contrast.utils import (
  checks,
  errors,
  heartbeat,
  locking,
  parents,
  quiet,
  results,
  run_files,
  signals,
)

# Builds the root of an experiment without flags, for recipes and tests.
parse = build.parse

_GIN_FILE = flags.DEFINE_multi_string(
  'gin_file',
  [],
  'Experiment: a path, or a shipped one (gin_configs/...); may be'
  ' repeated, later files override earlier ones. Default: the config.gin of'
  ' --model_dir. A gin file runs code: read it before you run it',
)
_GIN_BINDINGS = flags.DEFINE_multi_string(
  'gin_bindings',
  [],
  'Bindings that override the gin files, such as "STEPS = 10"; may be repeated',
)
_MODEL_DIR = flags.DEFINE_string('model_dir', None, "The run's folder.")
_DATA_DIR = flags.DEFINE_string(
  'data_dir', None, "Folder of prepared datasets. Default: TFDS's."
)
_STRATEGY = flags.DEFINE_enum(
  'strategy', 'one', distribution.NAMES, 'How to use several devices.'
)
_SEED = flags.DEFINE_integer(
  'seed', None, 'Seed of everything random.', lower_bound=0
)
_WEIGHTS = flags.DEFINE_enum(
  'weights',
  None,
  ['teacher', 'student'],
  'Weights to evaluate, predict and export with: the moving averages, where a'
  ' run keeps them (default), or the trained ones.',
)
_PRINT_CONFIG = flags.DEFINE_boolean(
  'print_config', False, 'Print the resolved configuration and exit.'
)
_ALLOW_CONFIG_CHANGE = flags.DEFINE_boolean(
  'allow_config_change',
  False,
  'Continue in a model_dir with a different configuration or number of'
  ' replicas.',
)
_STUCK_MINUTES = flags.DEFINE_float(
  'stuck_minutes',
  heartbeat.MINUTES,
  'End with code 142 if no batch is read or computed for this many minutes;'
  ' 0: never.',
  lower_bound=0,
)
_ALLOW_IMPORT = flags.DEFINE_multi_string(
  'allow_import', [], 'Package that gin files may import; may be repeated'
)
# So that --help of a command shows these flags: see `run`.
flags.disclaim_key_flags()


@dataclasses.dataclass(frozen=True)
class Launch:
  """The inputs of a command.

  Attributes:
    experiment: the root object of the configuration; None if the command does
      not need one and none is given.
    strategy: the `tf.distribute.Strategy`; None for a command without one.
    model_dir: the run's folder, or None.
    config: the operative configuration, as a gin file.
    gin_bindings: all bindings of the command line.
    unused_bindings: those that the root does not use: {left side: a sentence
      that says so}; empty unless the command tolerates them.
    data_dir: the flag.
    seed: the flag.
    strategy_name: the flag.
    allow_config_change: the flag.
    allow_imports: the flag.
    stuck_minutes: the flag.
    arguments: the command line without its flags.
  """

  experiment: Any
  strategy: Any
  model_dir: str | None
  config: str
  gin_bindings: Sequence[str] = ()
  unused_bindings: Mapping[str, str] = dataclasses.field(default_factory=dict)
  data_dir: str | None = None
  seed: int | None = None
  strategy_name: str = 'one'
  allow_config_change: bool = False
  allow_imports: Sequence[str] = ()
  stuck_minutes: float = heartbeat.MINUTES
  arguments: Sequence[str] = ()

  @property
  def workers(self) -> workers.Alone | workers.Team:
    """The processes that run this command together."""
    return workers.of(self.strategy)


def run(
  main: Callable[[Launch], int | None],
  root: str = build.EXPERIMENT,
  *,
  distribute: bool = True,
  needs_experiment: bool = True,
  needs_model_dir: bool = False,
  takes_experiment: bool = True,
  tolerate_unused_bindings: bool = False,
  not_needed: Sequence[str] = (),
  takes_arguments: bool = False,
  takes_workers: bool = False,
  settings: Callable[[], Mapping[str, Any]] = dict,
) -> None:
  """Runs a command and ends the process.

  Every `errors.user_error` becomes one line on stderr and its exit code (with
  `--verbosity=1`, its traceback too); any other exception is a bug and keeps
  its traceback. A wrong command line exits with 2.

  Args:
    main: the command; may return an exit code.
    root: full name of the class at the root of the configuration; by default
      that of an experiment.
    distribute: whether the command itself computes, by --strategy.
    needs_experiment: whether it needs a configuration.
    needs_model_dir: whether it works on a run.
    takes_experiment: whether it can use a configuration; if not, none is built,
      and --gin_file and --gin_bindings are refused.
    tolerate_unused_bindings: whether it passes on bindings it does not use.
    not_needed: macros that may stay unset.
    takes_arguments: whether the command line may hold more than flags.
    takes_workers: whether several processes may share its work; if not, a
      cluster of more than one task is refused.
    settings: gives parameters of the root by name, once flags are parsed.
  """
  _set_up()

  def start(arguments):
    if _MODEL_DIR.value:
      checks.place(_MODEL_DIR.value)
    if needs_model_dir and not _MODEL_DIR.value:
      raise errors.ConfigError('Give --model_dir, the folder of a run.')
    _check_workers(takes_workers)
    if not takes_experiment:
      _refuse_gin()
      return main(_launch(None, None))
    if not (needs_experiment or _GIN_FILE.value or _MODEL_DIR.value):
      return main(_launch(None, None, arguments))
    launch = _configured(
      root, distribute, tolerate_unused_bindings, not_needed, settings()
    )
    if _PRINT_CONFIG.value:
      _print_config(launch)
      return 0
    return main(dataclasses.replace(launch, arguments=arguments))

  parse_flags = functools.partial(_parse_flags, takes_arguments=takes_arguments)
  app.run(functools.partial(_command, start), flags_parser=parse_flags)


def _set_up():
  """Prepares this process for flags and signals."""
  # TensorFlow reports the absence of a GPU as an error.
  os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
  if parents.follow():
    locking.wait_for_others()
  flags.adopt_module_key_flags(sys.modules[__name__])
  signals.end_at_once()


def _command(start, argv):
  """Runs a command and ends the process."""
  heartbeat.limit(_STUCK_MINUTES.value, traces=logging.level_debug())
  code = _exit_code(start, tuple(argv[1:]))
  heartbeat.stop()
  _end(code or 0)


def _end(code):
  """Ends the process at once.

  The interpreter's own end may hang: it waits for readers of a dropped
  dataset, which wait for Python; and a cluster's TensorFlow waits up to 40 s
  for tasks that have already ended.
  """
  for stream in (sys.stdout, sys.stderr):
    with contextlib.suppress(OSError, ValueError):
      stream.flush()
  os._exit(code)


def _exit_code(start, arguments):
  """Runs a command; turns a UserError into one line and its exit code."""
  if not flags.FLAGS['verbosity'].present:
    quiet.warnings_only()
  try:
    code = start(arguments)
    sys.stdout.flush()
    return code
  except Exception as error:
    known = errors.user_error(error)
    if isinstance(error, BrokenPipeError):
      # Otherwise flushing stdout fails once more at the end of the process.
      os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if known is None:
      traceback.print_exc()
      return 1
    logging.debug('%s', traceback.format_exc())
    print(f'error: {known}', file=sys.stderr)
    return known.exit_code


@contextlib.contextmanager
def prepare_model_dir(launch: Launch) -> Iterator[str]:
  """Reserves the model_dir for this training while inside.

  Checks that the folder is new or holds this experiment, stores the
  configuration and the number of replicas there, and locks it. Of several
  workers only the chief does so, once all agree on what to train; all must then
  see what it has written.

  Yields:
    The model_dir.

  Raises:
    BusyError: another process trains there.
    ConfigError: no model_dir, it holds something else, or the workers differ.
    SystemFault: the folder cannot be made or written.
    WorkerLost: while inside, another worker ended.
  """
  if launch.model_dir is None:
    raise errors.ConfigError('Give --model_dir, the folder to train in.')
  team, folder = launch.workers, launch.model_dir
  with team.explained():
    if team.count > 1:
      team.agree(
        {
          'configuration': run_folder.common(launch.config),
          f'file {run_files.DONE} of model_dir': str(results.is_done(folder)),
        },
        'start all of them with the same command.',
      )
    claim = run_folder.prepare(
      folder,
      launch.config,
      launch.allow_config_change,
      replicas=launch.strategy and launch.strategy.num_replicas_in_sync,
    )
    with claim if team.is_chief else contextlib.nullcontext():
      if team.count > 1:
        _check_same_folder(team, folder)
      yield folder
      _leave(team, folder)


def _leave(team, model_dir):
  """Ends all workers together: none succeeds if the chief does not."""
  try:
    with team.explained():
      team.leave()
  except errors.WorkerLost:
    if not results.is_done(model_dir):
      raise


def _check_same_folder(team, model_dir):
  """Refuses workers that do not see what the chief has written."""
  team.largest(0)  # Waits for the chief.
  team.agree(
    {f'file {run_files.CONFIG} of model_dir': run_folder.seen(model_dir)},
    'all must see one folder: give a --model_dir that they share.',
  )


def _configured(
  root, distribute, tolerate_unused_bindings, not_needed, settings
):
  """Builds the experiment that the flags describe."""
  strategy = functools.partial(distribution.strategy, _STRATEGY.value)
  flagged = {'seed': _SEED.value, 'data_dir': _DATA_DIR.value}
  flagged |= {'weights': _WEIGHTS.value, **settings}
  built = build.parse(
    _gin_files(),
    _GIN_BINDINGS.value,
    root,
    settings={k: v for k, v in flagged.items() if v is not None},
    scope=(lambda: workers.scope(strategy())) if distribute else None,
    allow_imports=_ALLOW_IMPORT.value,
    tolerate_unused_bindings=tolerate_unused_bindings,
    not_needed=not_needed,
    model_dirs=[_MODEL_DIR.value] if _MODEL_DIR.value else [],
  )
  return _launch(built, strategy() if distribute else None)


def _print_config(launch):
  print(launch.config)
  if note := getattr(launch.experiment, 'weights_note', None):
    print(f'# {note}')


def _launch(built, strategy, arguments=()):
  return Launch(
    experiment=built and built.root,
    strategy=strategy,
    model_dir=_MODEL_DIR.value,
    config=built.config if built else '',
    gin_bindings=tuple(_GIN_BINDINGS.value),
    unused_bindings=built.unused if built else {},
    data_dir=_DATA_DIR.value,
    seed=_SEED.value,
    strategy_name=_STRATEGY.value,
    allow_config_change=_ALLOW_CONFIG_CHANGE.value,
    allow_imports=tuple(_ALLOW_IMPORT.value),
    stuck_minutes=_STUCK_MINUTES.value,
    arguments=tuple(arguments),
  )


def _check_workers(takes_workers):
  """Refuses a wrong TF_CONFIG, and several workers for other commands."""
  if _STRATEGY.value != 'multi_worker':
    return
  count = len(cluster.here().tasks)
  if count > 1 and not takes_workers:
    raise errors.ConfigError(
      f'TF_CONFIG names {count} tasks, but only the command train works with '
      'several; start this one in one process, with another --strategy.'
    )


def _refuse_gin():
  if _GIN_FILE.value or _GIN_BINDINGS.value or _PRINT_CONFIG.value:
    raise errors.ConfigError(
      'This command takes no configuration; leave out --gin_file, '
      '--gin_bindings and --print_config.'
    )


def _gin_files():
  """The gin files of the command line, or the one of the model_dir."""
  if _GIN_FILE.value:
    return _GIN_FILE.value
  if _MODEL_DIR.value:
    return [run_folder.config_file(_MODEL_DIR.value)]
  raise errors.ConfigError(
    'Give --gin_file, an experiment, or --model_dir, a folder with one.'
  )


def _parse_flags(argv, takes_arguments=False):
  """Parses the command line; absl alone would end with 1, even for --help."""
  try:
    rest = flags.FLAGS(argv)
  except flags.Error as error:
    _refuse(str(error))
  except SystemExit:  # Of --help and similar flags.
    sys.exit(0)
  if rest[1:] and not takes_arguments:
    _refuse(f'Unexpected argument {rest[1]!r}; everything here is a --flag.')
  return rest


def _refuse(sentence):
  """Ends the process: the command line is wrong."""
  print(f'error: {sentence}', file=sys.stderr)
  sys.exit(errors.ConfigError.exit_code)
