"""Runs commands on damaged, odd and hostile input, and reports what breaks.

  python tools/fuzz.py                        # all quotas, some 10 CPU minutes
  python tools/fuzz.py --kind=images --examples=100 --seed=3

Every command must succeed, or end with one sentence and a documented exit code,
in bounded time and memory, and must write nothing outside its folders. Cases
that once broke are tried first. Exit code 1: something was found; the printed
case belongs into tools/fuzzing/found.py.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile

# Run as a script, so the repository is not on the path by itself.
ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
os.environ['CUDA_VISIBLE_DEVICES'] = '-1'
sys.dont_write_bytecode = True

from tools.fuzzing import found, harness  # noqa: E402

NAMES = (
  *('images', 'masks', 'exports', 'gin', 'weights', 'archives', 'lists'),
)
# A crash of the interpreter ends a process; the rest is tried by another one.
_MOST_CRASHES = 5


def kinds() -> dict[str, harness.Kind]:
  """{name: kind} of all kinds of input."""
  from tools.fuzzing import folders, gins, pictures, runs, weights

  modules = (pictures, folders, gins, weights, runs)
  return {kind.name: kind for module in modules for kind in module.kinds()}


def main() -> int:
  """Tries all or one kind, each in its own process."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument('--kind', choices=NAMES, action='append')
  parser.add_argument('--examples', type=int, help='default: the quota')
  parser.add_argument('--seed', type=int, default=0)
  parser.add_argument('--here', help=argparse.SUPPRESS)
  arguments = parser.parse_args()
  if arguments.here:
    return _try(arguments)
  results = {
    name: _in_processes(name, arguments) for name in arguments.kind or NAMES
  }
  print('| input | examples | findings | slowest, CPU s | most MB | through |')
  print('|---|---|---|---|---|---|')
  for name, r in results.items():
    print(
      f'| {name} | {r["examples"]} | {len(r["findings"])} | '
      f'{r["seconds"]:.1f} | {r["mb"]:.0f} | {r["through"]} |'
    )
  for name, r in results.items():
    for text, case in r['findings'].items():
      print(f'\n{name}: {text}\n  {case}')
  return int(any(r['findings'] for r in results.values()))


def _in_processes(name, arguments):
  """Tries a kind; another process continues after a crash."""
  total = {'examples': 0, 'findings': {}, 'seconds': 0.0, 'mb': 0.0}
  wanted, seed = arguments.examples, arguments.seed
  for attempt in range(_MOST_CRASHES):
    with tempfile.TemporaryDirectory() as folder:
      command = [sys.executable, __file__, f'--kind={name}', f'--here={folder}']
      command += [f'--seed={seed + 1000 * attempt}']
      command += [f'--examples={wanted}'] if wanted is not None else []
      code = subprocess.run(command, check=False).returncode
      result = pathlib.Path(folder, 'result.json')
      if result.exists():
        found_now = json.loads(result.read_text(encoding='utf-8'))
        total['findings'] |= found_now.pop('findings')
        total['examples'] += found_now.pop('examples')
        return total | found_now
      case = pathlib.Path(folder, 'work', 'last_case.txt')
      text = case.read_text(encoding='utf-8') if case.exists() else 'no case'
      total['findings'][f'the process ended with {code}'] = text
  return total | {'through': 'crashed'}


def _try(arguments):
  """Tries one kind here; writes the result to the folder `here`."""
  (name,) = arguments.kind
  kind, folder = kinds()[name], pathlib.Path(arguments.here)
  base = folder / 'work'
  again = _again(kind, base)
  examples = kind.quota if arguments.examples is None else arguments.examples
  result = harness.explore(kind, examples, arguments.seed, base)
  result['findings'] |= again
  result['through'] = kind.through
  (folder / 'result.json').write_text(json.dumps(result), encoding='utf-8')
  return 0


def _again(kind, base):
  """Tries what was found earlier: {what happened: case}."""
  result = {}
  for case in found.CASES.get(kind.name, ()):
    try:
      harness.play(kind, case, base)
    except harness.Finding as error:
      result[str(error)] = repr(case)
  return result


if __name__ == '__main__':
  sys.exit(main())
