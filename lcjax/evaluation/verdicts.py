"""Which rows of a table are better, and what that is in sentences.

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
_MEMORISING_MARGIN = 0.02  # about what seeds differ by


def sentences(rows: Rows, kind: types.Kind) -> list[str]:
  """Says which movers are worth more than a simple baseline.

  Means that differ by no more than the larger of the two spreads over seeds
  are called too close to tell; with one seed, by no more than .01 (a tenth, for
  the Frechet distance).
  """
  found = []
  for mover in (row for row in rows if band(row) == 'Movers'):
    baseline = glossary.baseline(kind)
    if mover in glossary.UNLABELLED_ROWS:  # beside what saw no label either
      baseline = glossary.UNLABELLED_BASELINE
    if baseline in rows:
      outcomes: dict[str, list[str]] = {'won': [], 'lost': [], 'close': []}
      for metric in glossary.telling_metrics(kind):
        outcome = _compare(metric, mover, baseline, rows)
        if outcome is not None:
          outcomes[outcome].append(_NAMES[metric])
      found.append(_sentence(mover, baseline, **outcomes))
    ratio = mean(rows[mover], 'nearest_train_ratio')
    # Blurred reconstructions lie near training images whatever they show.
    blurred = mean(rows.get('reconstruction', {}), 'nearest_train_ratio')
    limit = min(_MEMORISING_BELOW, 1.0 if blurred is None else blurred)
    if ratio is not None and ratio < limit - _MEMORISING_MARGIN:
      found.append(
        f'{mover} may memorise: its images lie at '
        f'{glossary.text("nearest_train_ratio", ratio)} of the distance '
        'that test images have to the nearest training image.'
      )
  return found


def band(row: str) -> str:
  """The group of rows that a row stands in."""
  if row in REFERENCE_ROWS:
    return 'References'
  return 'Baselines' if row in BASELINE_ROWS else 'Movers'


def mean(scores: Scores, name: str) -> float | None:
  """The mean of a metric, None where it is absent or not finite."""
  found = scores.get(name, {}).get('mean')
  return found if found is not None and math.isfinite(found) else None


def cost(name: str, scores: Scores, rows: Rows) -> float | None:
  """A number that is the lower, the better a row is in a metric.

  Args:
    name: of the metric.
    scores: of the row.
    rows: of the table; what should be as real images have it is measured by the
      row of held-out images.

  Returns:
    None where the metric has no better or worse, or lacks what that needs.
  """
  value, better = mean(scores, name), glossary.metric(name).better
  if value is None or better is None:
    return None
  if better != 'real':
    return value if better == 'lower' else -value
  real = mean(rows.get(REAL, {}), name)
  return None if real is None else abs(value - real)


def best_costs(rows: Rows, names: Sequence[str]) -> dict[str, float]:
  """The best cost of each column that has a direction and a competition."""
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
  # One seed has no spread: then a guess stands in, so that noise is not called.
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
  return f'{mover} {"; ".join(clauses) or f"is not measured as {baseline} is"}.'
