"""Plays the 52 faults of docs/reliability.md by real commands.

  python tools/faults.py                  # some 10 minutes of processor time
  python tools/faults.py --only=13,17     # these

Prints a table of faults, expected and seen exit codes and sentences. The exit
code is 0 only if every fault ended as listed. What no command can show is shown
by tests, which run at the end.
"""

import argparse
import os
import pathlib
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET

# Run as a script, so the repository is not on the path by itself.
ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
os.chdir(ROOT)  # Gin files and tests are named from there.
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
os.environ['CUDA_VISIBLE_DEVICES'] = '-1'

from tools.faulting import data, runs, settings, stage  # noqa: E402

FAULTS = (*runs.FAULTS, *data.FAULTS, *settings.FAULTS)
_WIDTH = 100  # Of a sentence in the table.


def main() -> int:
  """Plays all faults, or those asked for."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument('--only', help='numbers of faults, with commas')
  parser.add_argument(
    '--no_tests', action='store_true', help='without the tests at the end'
  )
  parser.add_argument(
    '--fork',
    action='store_true',
    help='commands are forks of one process, which saves 5 s of imports each',
  )
  parser.add_argument(
    '--folder', help='where to play; its run to compare with is used again'
  )
  arguments = parser.parse_args()
  only = {int(n) for n in (arguments.only or '').split(',') if n}
  chosen = [f for f in FAULTS if not only or f.number in only]
  print('| # | fault | expected | seen | sentence | as listed |')
  print('|---|---|---|---|---|---|', flush=True)
  tests, wrong = {}, {}
  with tempfile.TemporaryDirectory() as temporary:
    place = stage.Stage(
      pathlib.Path(arguments.folder or temporary), arguments.fork
    )
    for fault in chosen:
      if fault.play is not None and (complaint := _play(fault, place)):
        wrong[fault.number] = complaint
  if not arguments.no_tests:
    tests = _run_tests([name for f in chosen for name in f.tests])
  for fault in chosen:
    failed = [name for name in fault.tests if not tests.get(name, True)]
    if fault.play is None:
      said = ', '.join(n.rpartition('::')[2] for n in fault.tests)
      state = 'no' if failed else ('yes' if tests else 'not run')
      print(f'| {fault.number} | {fault.about} | - | - | {said} | {state} |')
    if failed:
      wrong.setdefault(fault.number, f'failed: {", ".join(failed)}')
  for fault in chosen:
    if fault.note:
      print(f'\n{fault.number}: {fault.note}')
  print(f'\n{len(chosen) - len(wrong)} of {len(chosen)} as listed.')
  for number, complaint in wrong.items():
    print(f'\n{number}: {complaint}')
  return int(bool(wrong))


def _play(fault, place):
  """Plays a fault and prints its row; returns what is wrong, or None."""
  complaint, ended = None, []
  try:
    ended = fault.play(place)
    codes = {e.code for e in ended}
    if not codes or not codes <= set(fault.expected):
      complaint = 'sentences: ' + '; '.join(e.sentence for e in ended)
    elif any(e.code and not e.sentence for e in ended):
      complaint = 'no sentence'
  except Exception as error:
    complaint = f'{type(error).__name__}: {error}'
  seen = ', '.join(dict.fromkeys(str(e.code) for e in ended)) or '-'
  last = ended[-1].sentence if ended else complaint or ''
  text = (
    ' '.join(last.split()).replace('|', '\\|').replace(str(place.root), '...')
  )
  if len(text) > _WIDTH:
    text = f'{text[:_WIDTH]} ...'
  expected = ' or '.join(map(str, fault.expected))
  print(
    f'| {fault.number} | {fault.about} | {expected} | {seen} | {text} | '
    f'{"no" if complaint else "yes"} |',
    flush=True,
  )
  return complaint


def _run_tests(names):
  """{name: whether it passed}; one process runs all of them."""
  if not names:
    return {}
  with tempfile.TemporaryDirectory() as folder:
    report = pathlib.Path(folder, 'report.xml')
    flags = ['-q', '-m', 'slow or not slow', f'--junit-xml={report}']
    done = subprocess.run(
      [sys.executable, '-m', 'pytest', *flags, *dict.fromkeys(names)],
      cwd=ROOT,
      capture_output=True,
      text=True,
      check=False,
    )
    if not report.exists():
      raise RuntimeError(done.stdout + done.stderr)
    cases = list(ET.parse(report).getroot().iter('testcase'))
  bad = {
    case.get('classname', '').replace('.', '/')
    + '.py::'
    + str(case.get('name'))
    for case in cases
    if case.find('failure') is not None or case.find('error') is not None
  }
  return {name: not any(b.startswith(name) for b in bad) for name in names}


if __name__ == '__main__':
  sys.exit(main())
