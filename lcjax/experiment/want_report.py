"""The report of `launch.compare_wants`: a table for each composition."""

from collections.abc import Mapping, Sequence
from typing import Any

from etils import epath

from lcjax.evaluation import glossary, intervals, reports, summary
from lcjax.experiment import files, want_requests, want_rows

_QUALITY = (
  want_requests.FRECHET, 'satisfying_spread', 'satisfying_knn_recall',
  'satisfying_coverage', 'tries', 'latents_per_second',
)  # fmt: skip
_FRECHET = want_requests.FRECHET


def check(found: dict[str, Any]) -> None:
  """Raises ValueError or KeyError unless this is a result of a composition."""
  if not found['rows'] or not all(found['rows'].values()):
    raise ValueError('there are no rows')
  for key in ('chosen', 'judged_by', 'rule_calls'):
    if not isinstance(found[key], dict):
      raise ValueError(f'{key} is no mapping')
  for key in ('satisfying', 'share', 'num_scored', 'share_scored', 'seconds'):
    float(found[key])


def summarise(
  runs: Mapping[str, Sequence[Mapping[str, Any]]], texts: Mapping[str, str]
) -> dict[str, Any]:
  """Means, spreads and sentences of every composition.

  Args:
    runs: results of all seeds, by composition.
    texts: of the compositions.

  Returns:
    'wants': by composition its 'text', 'rows' with mean and std, 'sentences',
    'notes' and the seeds' 'chosen' weights.
  """
  return {'wants': {name: _one(runs[name], texts[name]) for name in runs}}


def _one(runs: Sequence[Mapping[str, Any]], text: str) -> dict[str, Any]:
  tables = [run['rows'] for run in runs]
  rows = summary.summarise(tables)
  return {
    'text': text,
    'share': runs[0]['share'],
    'rows': rows,
    'sentences': _sentences(tables, rows),
    'notes': _notes(runs),
    'chosen': [run['chosen'] for run in runs],
    'seconds': [run['seconds'] for run in runs],
  }


def _notes(runs: Sequence[Mapping[str, Any]]) -> list[str]:
  first = runs[0]
  judged = '; '.join(f'{k} by {v}' for k, v in first['judged_by'].items())
  weights = {
    row: ', '.join(f'{run["chosen"][row]["weight"]:g}' for run in runs)
    for row in first['chosen']
    if all(row in run['chosen'] for run in runs)
  }
  chosen = '; '.join(f'{row} {one}' for row, one in weights.items())
  calls = first['rule_calls']
  learned = (
    'Calls of the rules to learn their critics: '
    + ', '.join(f'{name} {count:,}' for name, count in calls.items())
    + f'; and of each {first["num_scored"]:,} for satisfying_mixture.'
    if calls
    else f'For satisfying_mixture, {first["num_scored"]:,} encodings were '
    'checked.'
  )
  return [
    f'{first["satisfying"]} real images satisfy it, {first["share"]:.1%}; of '
    f'decoded encodings, {first["share_scored"]:.1%}. Judged: {judged}.',
    f'{learned} Weight of the guidance, chosen on validation images by the '
    f'second judge, by seed: {chosen}.',
  ]


def _sentences(
  tables: Sequence[Mapping[str, Mapping[str, Any]]], rows: Mapping[str, Any]
) -> list[str]:
  """Movers beside the baselines that reject until a sample satisfies."""
  baselines = [
    f'{name}{glossary.KEPT}'
    for name in (
      *want_rows.FLOORS,
      want_rows.UNGUIDED,
      want_rows.SATISFYING,
    )
  ]
  walks = want_rows.WALK, want_rows.WALK_FROM, 'actor', 'optimizer'
  found = []
  for name in walks:
    for row in (name, f'{name}{glossary.KEPT}'):
      if row not in rows or _FRECHET not in rows[row]:
        continue
      beside = [
        _beside(tables, row, other) for other in baselines if other in rows
      ]
      met = rows[row][glossary.JOINTLY]['mean']
      found.append(
        f'{row}: satisfied by {met:.3f}; its Frechet distance to real images '
        f'that satisfy it is {"; ".join(beside)}.'
      )
  return found


def _beside(
  tables: Sequence[Mapping[str, Mapping[str, Any]]], row: str, other: str
) -> str:
  own, theirs = (
    [float(table[name][_FRECHET]) for table in tables] for name in (row, other)
  )
  ratio = sum(own) / sum(theirs)
  text = f'{ratio:.2f} times that of {other}'
  if len(own) > 1:
    gaps = [a - b for a, b in zip(own, theirs, strict=True)]
    one = intervals.paired_t(gaps)
    text += f' ({one.difference:+.4f} [{one.low:+.4f}, {one.high:+.4f}])'
  return text


def columns(rows: Mapping[str, Mapping[str, Any]]) -> list[str]:
  """Metrics of a table, in order."""
  present = {name for scores in rows.values() for name in scores}
  terms = [n for n in glossary.of_terms(present) if n != _FRECHET]
  return terms + [name for name in _QUALITY if name in present]


# Columns of the overview: heading, rows of which a composition has the first
# that it has at all, metric.
_OVERVIEW = (
  ('Prior', ('prior',), glossary.JOINTLY),
  ('Mixture', want_rows.FLOORS, glossary.JOINTLY),
  ('Walk', (want_rows.WALK, want_rows.WALK_FROM), glossary.JOINTLY),
  (
    'Walk kept',
    (f'{want_rows.WALK}_kept', f'{want_rows.WALK_FROM}_kept'),
    glossary.JOINTLY,
  ),
  (
    'Tries',
    (f'{want_rows.WALK}_kept', f'{want_rows.WALK_FROM}_kept'),
    'tries',
  ),
  ('Frechet: real', (want_rows.TRAIN_SATISFYING,), _FRECHET),
  (
    'Mixture kept',
    tuple(f'{name}_kept' for name in want_rows.FLOORS),
    _FRECHET,
  ),
  ('Unguided kept', (f'{want_rows.UNGUIDED}_kept',), _FRECHET),
  ('Walk', (want_rows.WALK, want_rows.WALK_FROM), _FRECHET),
  (
    'Walk kept',
    (f'{want_rows.WALK}_kept', f'{want_rows.WALK_FROM}_kept'),
    _FRECHET,
  ),
)


def overview(report: Mapping[str, Any]) -> list[list[str]]:
  """A table of all compositions: a heading, then a line for each.

  Shares that satisfy it, then Frechet distances to real images that do.
  """
  heading = ['', 'Real images', *(label for label, _, _ in _OVERVIEW)]
  lines = [heading]
  for name, one in report['wants'].items():
    rows, cells = one['rows'], []
    for _, names, metric in _OVERVIEW:
      row = next((row for row in names if row in rows), None)
      cells.append(reports.cell(metric, rows[row] if row else {}))
    lines.append([name, f'{one["share"]:.3f}', *cells])
  return lines


def markdown(report: Mapping[str, Any]) -> str:
  """An overview, then a table and its sentences for every composition."""
  first, *lines = overview(report)
  rule = ['---', *('---:' for _ in first[1:])]
  every = [f'| {" | ".join(line)} |' for line in (first, rule, *lines)]
  parts = ['\n'.join(every) + '\n']
  for name, one in report['wants'].items():
    table = reports.markdown_table(one['rows'], columns(one['rows']))
    listed = reports.markdown_list([*one['sentences'], *one['notes']])
    parts.append(f'### {name}: `{one["text"]}`\n\n{table}{listed}')
  return '\n'.join(parts)


def write(folder: epath.Path, report: Mapping[str, Any]) -> None:
  """Writes metrics.json, report.md and report.html."""
  files.write_json(folder / 'metrics.json', reports.plain(report))
  files.write(folder / 'report.md', markdown(report))
  tables = {}
  for name, one in report['wants'].items():
    names, path = columns(one['rows']), folder / f'{name}.png'
    tables[name] = one | {
      'columns': [glossary.metric(column).label for column in names],
      'cells': {
        row: [reports.cell(column, scores) for column in names]
        for row, scores in one['rows'].items()
      },
      'png': path.read_bytes() if path.exists() else None,
    }
  every = dict.fromkeys(
    name for one in report['wants'].values() for name in columns(one['rows'])
  )
  rows = dict.fromkeys(
    row for one in report['wants'].values() for row in one['rows']
  )
  text = reports.template('wants.html.j2').render(
    title=report['title'],
    tables=tables,
    overview=overview(report),
    descriptions=want_rows.describe(rows),
    definitions=[
      (glossary.metric(name).label, glossary.metric(name).definition)
      for name in every
    ],
    spread=reports.spread({}, report['num_seeds'])
    if report['num_seeds'] > 1
    else 'One seed.',
    facts={
      'command': report['command'],
      'samples per row': report['num_samples'],
      'split': report['split'],
      'hardware': report['hardware'],
      'versions': report['versions'],
    },
  )
  files.write(folder / 'report.html', text)
