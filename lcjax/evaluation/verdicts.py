"""Which rows of a table are better, in numbers and in sentences.

`rows` is what `summary.summarise` returns: row -> metric -> {'mean', 'std'}.
"""

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, TypedDict

import numpy as np

from lcjax import types
from lcjax.evaluation import glossary, intervals
from lcjax.evaluation.glossary import BASELINE_ROWS, REAL, REFERENCE_ROWS

Scores = Mapping[str, Mapping[str, float | None]]
Rows = Mapping[str, Scores]
# Of one seed: row -> metric -> value; None, as in JSON, if it is not finite.
Table = Mapping[str, Mapping[str, float | None]]
# row -> other row -> metric -> {'difference', 'low', 'high', 'p'}
Differences = Mapping[str, Mapping[str, Mapping[str, Any]]]


class Errors(TypedDict):
  """Standard errors over images of one seed, as JSON stores them.

  None if a value is not finite. `rows`: row -> metric -> that of the value.
  `differences`: row -> other row -> metric -> that of the difference.
  """

  rows: dict[str, dict[str, float | None]]
  differences: dict[str, dict[str, dict[str, float | None]]]


_NAMES = {
  'accuracy': 'accuracy',
  'worst_class_accuracy': 'worst class',
  'macro_f1': 'F1',
  'diversity': 'diversity',
  'knn_recall': 'recall',
}
_MEMORISING_BELOW = 0.93
_MEMORISING_MARGIN = 0.02  # about the difference between seeds
_SAME = 1e-9  # of differences that differ by rounding alone
RULE = (
  'Differences are a row minus its baseline, with 95 % intervals: over seeds, '
  "Student's t of the differences of each seed; with one seed, over images, by "
  'a paired bootstrap. The verdict is on columns that were chosen beforehand: '
  'Frechet, and accuracy or, for independent attributes, F1. What is said of '
  "other columns holds after Holm's correction over them."
)


def standard_errors(
  drawn: Mapping[str, Mapping[str, np.ndarray]], kind: types.Kind | None
) -> Errors:
  """Standard errors of all values and of the differences that are spoken of.

  Args:
    drawn: row -> metric -> array, see `judging.Judged`.
    kind: kind of the labels; None without labels.
  """
  found: dict[str, dict[str, dict[str, float | None]]] = {}
  for row, other, names in _pairs(list(drawn), kind):
    known = {}
    for name in names:
      ours, theirs = (_compared(name, of, drawn) for of in (row, other))
      if ours is not None and theirs is not None:
        known[name] = _finite(intervals.error_of(ours - theirs))
    found.setdefault(row, {})[other] = known
  return {
    'rows': {
      row: {name: _finite(intervals.error_of(v)) for name, v in values.items()}
      for row, values in drawn.items()
    },
    'differences': found,
  }


def differences(
  tables: Sequence[Table],
  errors: Sequence[Errors | None],
  kind: types.Kind | None,
) -> Differences:
  """Intervals of the differences between rows, paired.

  Over seeds that have both rows if they are two or more, else over images; over
  images, too, if all seeds differ by the same, as shares of few images may. A
  value that is not finite, for whatever seed, leaves the metric out.

  Args:
    tables: of each seed.
    errors: of each seed; None for one that was judged by an older version.
    kind: kind of the labels; None without labels.

  Returns:
    row -> other row -> metric -> {'difference', 'low', 'high', 'p'}, without
    correction. Where closer to `real` is better, it is the difference of the
    distances. The last three are None if a standard error is missing.
  """
  rows = list(dict.fromkeys(row for table in tables for row in table))
  found: dict[str, dict[str, dict[str, Any]]] = {}
  for row, other, names in _pairs(rows, kind):
    known: dict[str, Any] = {}
    for name in names:
      gaps, error = [], None
      # Seeds share the real images: what they vary by is not between seeds.
      shared = None if other == REAL else 0.0
      for table, of_seed in zip(tables, errors, strict=True):
        ours, theirs = (_compared(name, of, table) for of in (row, other))
        if ours is None or theirs is None:
          continue
        gaps.append(float(ours - theirs))
        if of_seed is not None:
          error = of_seed['differences'].get(row, {}).get(other, {}).get(name)
          if other == REAL:
            shared = of_seed['rows'].get(REAL, {}).get(name)
      if not gaps or not np.isfinite(gaps).all():
        continue
      gap = float(np.mean(gaps))
      if np.ptp(gaps) > _SAME and shared is not None:
        known[name] = intervals.paired_t(gaps, shared)._asdict()
      elif error is not None:
        known[name] = intervals.of_error(gap, error)._asdict()
      else:
        nothing = dict.fromkeys(('low', 'high', 'p'))
        known[name] = {'difference': gap, **nothing}
    found.setdefault(row, {})[other] = known
  return found


def sentences(
  rows: Rows, differences: Differences, kind: types.Kind | None
) -> list[str]:
  """Compares every mover with its baseline, and scores with `real`.

  See `RULE`. A mover that may memorise is not called better.

  Args:
    rows: means over seeds.
    differences: from `differences`.
    kind: kind of the labels; None without labels.
  """
  found = []
  for mover in (row for row in rows if band(row) == 'Movers'):
    ratio = mean(rows[mover], 'nearest_train_ratio')
    # Blurred images are close to training images whatever they show.
    blurred = mean(rows.get('reconstruction', {}), 'nearest_train_ratio')
    limit = min(_MEMORISING_BELOW, 1.0 if blurred is None else blurred)
    near = ratio is not None and ratio < limit - _MEMORISING_MARGIN
    for baseline in _baselines(mover, rows, kind):
      known = differences.get(mover, {}).get(baseline, {})
      found.append(_sentence(mover, baseline, known, kind, near))
    if ratio is not None and near:
      found.append(
        f'{mover} may memorise: the distance of its images to the nearest '
        f'training image is {glossary.text("nearest_train_ratio", ratio)} '
        'times that of test images.'
      )
  return found + _above_real(differences, kind)


def band(row: str) -> str:
  """The group of rows that a row belongs to."""
  if row in REFERENCE_ROWS:
    return 'References'
  return 'Baselines' if row in BASELINE_ROWS else 'Movers'


def mean(scores: Scores, name: str) -> float | None:
  """The mean of a metric; None if it is missing or not finite."""
  found = scores.get(name, {}).get('mean')
  return found if found is not None and math.isfinite(found) else None


def cost(name: str, scores: Scores, rows: Rows) -> float | None:
  """A number that is lower if a row is better in a metric.

  Args:
    name: name of the metric.
    scores: scores of the row.
    rows: all rows; for metrics where closer to real images is better, the row
      of held-out images gives the target.

  Returns:
    The cost; None if the metric has no direction, or a value is missing.
  """
  value, better = mean(scores, name), glossary.metric(name).better
  if value is None or better is None:
    return None
  if better != 'real':
    return value if better == 'lower' else -value
  real = mean(rows.get(REAL, {}), name)
  return None if real is None else abs(value - real)


def best_costs(rows: Rows, names: Sequence[str]) -> dict[str, float]:
  """The lowest cost of each column in which at least two rows compete."""
  best = {}
  for name in names:
    costs = [
      cost(name, scores, rows)
      for row, scores in rows.items()
      if row not in REFERENCE_ROWS
    ]
    known = [one for one in costs if one is not None]
    if len(known) > 1:
      best[name] = min(known)
  return best


def _pairs(
  rows: Sequence[str], kind: types.Kind | None
) -> Iterator[tuple[str, str, tuple[str, ...]]]:
  """(row, other row, metrics) of every comparison that sentences make."""
  for row in rows:
    group, score = band(row), glossary.score_metric(kind)
    if group == 'Movers':
      first, telling = (
        glossary.verdict_metrics(kind),
        glossary.telling_metrics(kind),
      )
      names = tuple(dict.fromkeys((*first, *telling)))
      for baseline in _baselines(row, rows, kind):
        yield row, baseline, names
    if group != 'References' and REAL in rows and score is not None:
      yield row, REAL, (score,)


def _baselines(
  mover: str, rows: Collection[str], kind: types.Kind | None
) -> list[str]:
  """The baselines with the same tries as the mover: as fitted, and narrow."""
  single = mover.removesuffix(glossary.KEPT)
  found = glossary.baseline(kind)
  if single in glossary.UNLABELLED_ROWS:  # its baseline sees no labels either
    found = glossary.UNLABELLED_BASELINE
  tries = '' if mover == single else glossary.KEPT
  both = f'{found}{tries}', f'{found}{glossary.NARROW}{tries}'
  return [name for name in both if name in rows]


def _compared(name: str, row: str, table: Mapping[str, Any]) -> Any:
  """What is compared of a row: a value, or the distance to that of `real`.

  Args:
    name: name of the metric.
    row: name of the row.
    table: row -> metric -> number, array, or None for NaN.

  Returns:
    The number or array; None if the row has no such metric, or nothing says
    what is better.
  """

  def value(of: str) -> Any:
    known = table.get(of, {})
    if name not in known:
      return None
    return math.nan if known[name] is None else known[name]

  better, found = glossary.metric(name).better, value(row)
  if better is None or found is None:
    return None
  if better != 'real':
    return found
  real = value(REAL)
  return None if real is None else np.abs(found - real)


def _finite(value: float) -> float | None:
  return value if math.isfinite(value) else None


def _sentence(
  mover: str,
  baseline: str,
  known: Mapping[str, Mapping[str, Any]],
  kind: types.Kind | None,
  near: bool,
) -> str:
  """A mover and its baseline: the verdict, then all other columns.

  Args:
    mover: name of the row.
    baseline: name of the other row.
    known: metric -> interval.
    kind: kind of the labels; None without labels.
    near: whether the mover may memorise.
  """
  first = [name for name in glossary.verdict_metrics(kind) if name in known]
  others = [name for name in known if name not in first]
  verdict = _outcomes(known, first, [known[name]['p'] for name in first])
  tested = [name for name in others if known[name]['p'] is not None]
  adjusted = dict(
    zip(tested, intervals.holm([known[n]['p'] for n in tested]), strict=True)
  )
  beside = _outcomes(known, others, [adjusted.get(name) for name in others])
  shown = {
    outcome: ' and '.join(_with_interval(name, known[name]) for name in names)
    for outcome, names in verdict.items()
  }
  won = 'is ahead of {} on {}, but is not called better: it may memorise'
  verbs = {
    'won': won if near else 'beats {} on {}',
    'lost': 'is behind {} on {}',
    'open': 'cannot be told apart from {} on {}',
    'unknown': 'has no interval against {} on {}',
  }
  clauses = [
    verb.format(baseline, shown[outcome])
    for outcome, verb in verbs.items()
    if outcome in shown
  ]
  words = {
    'won': 'ahead on',
    'lost': 'behind on',
    'open': 'not told apart on',
    'unknown': 'no interval on',
  }
  rest = [
    f'{words[outcome]} {", ".join(_name(name) for name in beside[outcome])}'
    for outcome in words
    if outcome in beside
  ]
  if not known:
    return f'{mover} has no metric in common with {baseline}.'
  text = '; '.join(clauses) or f'has no verdict against {baseline}'
  beside_it = f' Other columns: {"; ".join(rest)}.' if rest else ''
  return f'{mover} {text}.{beside_it}'


def _outcomes(
  known: Mapping[str, Mapping[str, Any]],
  names: Sequence[str],
  p: Sequence[float | None],
) -> dict[str, list[str]]:
  """'won', 'lost', 'open' or 'unknown' -> metrics."""
  found: dict[str, list[str]] = {}
  for name, chance in zip(names, p, strict=True):
    higher = glossary.metric(name).better == 'higher'
    if chance is None:
      outcome = 'unknown'
    elif chance >= 1 - intervals.LEVEL:
      outcome = 'open'
    else:
      gain = (known[name]['difference'] > 0) == higher
      outcome = 'won' if gain else 'lost'
    found.setdefault(outcome, []).append(name)
  return found


def _above_real(differences: Differences, kind: types.Kind | None) -> list[str]:
  """One sentence on all rows that meet requests better than real images do."""
  name = glossary.score_metric(kind)
  if name is None:
    return []
  found = []
  for row, others in differences.items():
    known = others.get(REAL, {})  # of this metric alone
    if 'won' in _outcomes(known, list(known), [g['p'] for g in known.values()]):
      found.append(f'{row} ({_interval(name, known[name])})')
  if not found:
    return []
  label = glossary.metric(name).label
  return [
    f'{label} above that of held-out images (row real): {", ".join(found)}. '
    'That is filtering towards what a classifier likes, no sign of better '
    'images.'
  ]


def _name(metric: str) -> str:
  return _NAMES.get(metric, glossary.metric(metric).label)


def _with_interval(name: str, known: Mapping[str, Any]) -> str:
  if known['p'] is None:
    return _name(name)
  return f'{_name(name)} ({_interval(name, known)})'


def _interval(name: str, known: Mapping[str, Any]) -> str:
  """A difference with its interval, as '+0.013 [+0.010, +0.016]'."""
  fmt = f'+z{glossary.metric(name).fmt}'
  difference, low, high = (
    format(known[key], fmt) for key in ('difference', 'low', 'high')
  )
  return f'{difference} [{low}, {high}]'
