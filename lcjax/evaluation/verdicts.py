"""Which rows of a table are better, in numbers and in sentences.

`rows` is what `summary.summarise` returns: row -> metric -> {'mean', 'std'}.
"""

import math
from collections.abc import Mapping, Sequence

from lcjax import types
from lcjax.evaluation import glossary
from lcjax.evaluation.glossary import BASELINE_ROWS, REAL, REFERENCE_ROWS

Scores = Mapping[str, Mapping[str, float | None]]
Rows = Mapping[str, Scores]

_NAMES = {
  'accuracy': 'accuracy',
  'worst_class_accuracy': 'worst class',
  'macro_f1': 'F1',
  'frechet': 'Frechet',
  'diversity': 'diversity',
  'knn_recall': 'recall',
}
_MEMORISING_BELOW = 0.93
_MEMORISING_MARGIN = 0.02  # about the difference between seeds


def sentences(rows: Rows, kind: types.Kind | None) -> list[str]:
  """Compares every mover with its baseline, in sentences.

  Means that differ by no more than the larger of the two standard deviations
  over seeds are called too close to call. With one seed, the limit is 0.01, and
  a tenth of the baseline's value for the Frechet distance.
  """
  found = []
  for mover in (row for row in rows if band(row) == 'Movers'):
    baseline = glossary.baseline(kind)
    if mover in glossary.UNLABELLED_ROWS:  # its baseline sees no labels either
      baseline = glossary.UNLABELLED_BASELINE
    if baseline in rows:
      outcomes: dict[str, list[str]] = {'won': [], 'lost': [], 'close': []}
      for metric in glossary.telling_metrics(kind):
        outcome = _compare(metric, mover, baseline, rows)
        if outcome is not None:
          outcomes[outcome].append(_NAMES[metric])
      found.append(_sentence(mover, baseline, **outcomes))
    ratio = mean(rows[mover], 'nearest_train_ratio')
    # Blurred images are close to training images whatever they show.
    blurred = mean(rows.get('reconstruction', {}), 'nearest_train_ratio')
    limit = min(_MEMORISING_BELOW, 1.0 if blurred is None else blurred)
    if ratio is not None and ratio < limit - _MEMORISING_MARGIN:
      found.append(
        f'{mover} may memorise: the distance of its images to the nearest '
        f'training image is {glossary.text("nearest_train_ratio", ratio)} '
        'times that of test images.'
      )
  return found


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


def _compare(metric: str, mover: str, baseline: str, rows: Rows) -> str | None:
  ours, theirs = (cost(metric, rows[row], rows) for row in (mover, baseline))
  if ours is None or theirs is None:
    return None
  spreads = [rows[row][metric].get('std') for row in (mover, baseline)]
  known = [spread for spread in spreads if spread is not None]
  # One seed has no spread; a guess avoids treating noise as a difference.
  spread = max(known) if known else _guess_spread(metric, theirs)
  gain = theirs - ours
  if abs(gain) <= spread:
    return 'close'
  return 'won' if gain > 0 else 'lost'


def _guess_spread(metric: str, value: float) -> float:
  return 0.1 * abs(value) if metric == 'frechet' else 0.01


def _sentence(
  mover: str,
  baseline: str,
  won: Sequence[str],
  lost: Sequence[str],
  close: Sequence[str],
) -> str:
  clauses = []
  if won:
    clauses.append(f'beats {baseline} on {", ".join(won)}')
  if lost:
    verb = 'does not' if won else f'does not beat {baseline}'
    clauses.append(f'{verb} on {", ".join(lost)}')
  if close:
    object_ = '' if clauses else f' with {baseline}'
    clauses.append(f'is too close to call{object_} on {", ".join(close)}')
  nothing = f'has no metric in common with {baseline}'
  return f'{mover} {"; ".join(clauses) or nothing}.'
