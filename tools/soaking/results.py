"""What came of all disturbances: faults, and a table."""

from deeplab_contrast.utils import tables
from tools.soaking import disturbing


def faults(records):
  """The number of rounds that differ, lost saves and wrong exit codes."""
  return sum(
    record.get('different', 0) > 0
    or _is_lost(record)
    or ('code' in record and not _is_right(record))
    for record in records
  )


def table(records):
  """The text table of all disturbances: a row for each kind, and their sum."""
  kinds = [k for k in disturbing.KINDS if _of(k, records)]
  same = _identical(records)
  rows = [_row(kind, _of(kind, records), records, same) for kind in kinds]
  rows.append(_row('all', _of(None, records), records, same))
  head = ['kind', 'times', *disturbing.MOMENTS, 'half a save left']
  head += ['exit codes', 'steps repeated', 'saves lost', 'identical']
  return tables.table(head, rows)


def _row(kind, found, records, same):
  back = list(_resumed(found, records))
  moments = [r['moment'] for r in found]
  codes = ' '.join(map(str, sorted({r['code'] for r in found})))
  known = [same[r['number']] for r in found if r['number'] in same]
  cells = [
    len(found),
    *(moments.count(moment) for moment in disturbing.MOMENTS),
    sum(r['half_saved'] for r in found),
    codes if kind != 'all' else '',
    f'at most {max([0, *(r["logged"] - r["step"] for r in back)])}',
    sum(map(_is_lost, back)),
    f'{sum(known)} of {len(known)}',
  ]
  return [kind, *map(str, cells)]


def _of(kind, records):
  """The disturbances of a kind; None: of all."""
  return [
    r
    for r in records
    if r['what'] == 'disturbed' and (kind is None or r['kind'] == kind)
  ]


def _is_right(record):
  return record['code'] in disturbing.KINDS[record['kind']]


def _is_lost(record):
  """Whether a start resumed from less than the newest intact checkpoint."""
  return record.get('step', 0) < record.get('saved', 0)


def _identical(records):
  """{number of a disturbance: whether its round ended as undisturbed}."""
  found, waiting = {}, []
  for record in records:
    if record['what'] == 'disturbed':
      waiting.append(record['number'])
    elif record['what'] == 'round':
      found.update(dict.fromkeys(waiting, not record['different']))
      waiting = []
  return found


def _resumed(disturbances, records):
  """The resumptions that some disturbances caused."""
  numbers = {r['number'] for r in disturbances}
  last = None
  for record in records:
    if record['what'] == 'disturbed':
      last = record['number']
    elif record['what'] == 'resumed' and last in numbers:
      yield record
