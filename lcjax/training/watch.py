"""Watches adversarial trainings: what is measured, and a name for how it goes.

For any training of a mover, which may be a generator, against a critic. Steps
log 'generator_score', 'discriminator_score', 'critic_grad_norm' and
'mover_grad_norm', evaluations what `measure` finds; `judge` reads both.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

HEALTHY = 'healthy'
CRITIC_DOMINATES = 'critic dominates'
MOVER_DOMINATES = 'mover dominates'
COLLAPSE = 'collapse'
OSCILLATION = 'oscillation'
UNKNOWN = 'too short to tell'

# A state is that of the second half of a training. With fewer values than this
# it is not told.
_LEAST_VALUES = 3
# The discriminator score is the mean probability with which the critic is
# right. Trainings that work end between .5 and .7; one that hardly moves its
# mover ends above .85. Five to one on the right side is certainty.
_CERTAIN = 0.8
# Below this the critic tells little more than a coin.
_AT_CHANCE = 0.6
# Moved rows have less than half the standard deviation of real ones. Those of
# an actor without a distance penalty, narrow but of use, are above .4.
_NARROW = 0.25
# The means of moved and real rows of one label are more than half a standard
# deviation apart. Trainings that work stay below .1.
_APART = 0.25
# Swings of a score, and of a ratio as its logarithm, that are no noise: of the
# former in trainings that work it is below .05 from one record to the next.
_SWING, _RATIO_SWING = 0.15, 0.7
# Back and forth, twice.
_LEAST_TURNS = 4


def measure(
  moved: np.ndarray,
  real: np.ndarray,
  of_moved: np.ndarray,
  of_real: np.ndarray,
  labels: np.ndarray | None = None,
  unit: np.ndarray | float = 1.0,
) -> dict[str, float]:
  """What tells how a training goes, of held-out rows: validation metrics.

  Args:
    moved: [N, ...] moved or generated rows.
    real: [N, ...] real rows.
    of_moved: [N] outputs of the critic.
    of_real: [N] of real rows, with the same labels.
    labels: [N, Y] of both, if any.
    unit: [...] that distances are measured in, such as the encoder's mean
      scale: a latent that means nothing should not count.

  Returns:
    'diversity': mean squared distance of moved rows from their mean, 1 for that
    of real rows. 'label_diversity': the same within rows of one label, so that
    a mover that knows one answer to each request is not varied. 'gap': mean
    squared distance between the means of moved and of real rows of one label,
    where 1 is that of a real row from the mean; without what chance adds, and
    at least 0. 'real_above_moved': share of pairs in which the critic scores
    the real row above the moved one, 1/2 if it cannot tell; unlike the two
    scores, it means the same for outputs of any scale, and noisy labels do not
    bound it.
  """
  size = len(moved)
  z, x = (
    (np.asarray(rows, np.float64) / unit).reshape(size, -1)
    for rows in (moved, real)
  )
  of_moved, of_real = np.asarray(of_moved), np.asarray(of_real)
  whole = groups = np.zeros(size, int)
  if labels is not None:
    found = np.unique(labels, axis=0, return_inverse=True)[1]
    groups = np.asarray(found, int).ravel()
    if groups.max() + 1 > size / 2:  # most labels are of one row
      groups = whole
  means_of_moved, inner = _within(z, groups)
  means, own = _within(x, groups)
  counts = np.bincount(groups)
  squares = np.mean(np.square(means_of_moved - means), axis=1)
  apart = float(np.sum(counts * squares)) - len(counts) * (inner + own)
  return {
    'diversity': _ratio(_within(z, whole)[1], _within(x, whole)[1]),
    'label_diversity': _ratio(inner, own),
    'gap': max(apart / size / own, 0.0) if own > 0 else 0.0,
    'real_above_moved': float(
      np.mean((of_real > of_moved) + 0.5 * (of_real == of_moved))
    ),
  }


def _within(z: np.ndarray, groups: np.ndarray) -> tuple[np.ndarray, float]:
  """Means of groups [G, D], and the variance within, averaged over D."""
  sums = np.zeros((groups.max() + 1, z.shape[1]))
  np.add.at(sums, groups, z)
  means = sums / np.bincount(groups)[:, None]
  squares = np.sum(np.mean(np.square(z - means[groups]), axis=1))
  return means, float(squares) / max(len(z) - len(means), 1)


def _ratio(moved: float, real: float) -> float:
  """1 if real rows do not differ: there is nothing to lose."""
  return moved / real if real > 0 else 1.0


class Verdict(NamedTuple):
  """How an adversarial training goes.

  Attributes:
    state: one of the names above.
    evidence: the numbers that say so, in one sentence.
  """

  state: str
  evidence: str


def judge(records: Sequence[Mapping[str, Any]]) -> Verdict | None:
  """Names the state of a training by its log.

  Args:
    records: of metrics.jsonl, in order: 'step' and values by 'train/NAME' or
      'validation/NAME'.

  Returns:
    The verdict; None if this is no adversarial training, or one whose log has
    no diversity.
  """
  scores = curve(records, 'discriminator_score')
  won = curve(records, 'generator_score')
  name = 'label_diversity'
  varied = curve(records, name)
  if not varied:
    name = 'diversity'
    varied = curve(records, name)
  if not scores or not won or not varied:
    return None
  count = min(len(_late(scores)), len(_late(varied)))
  if count < _LEAST_VALUES:
    return Verdict(
      UNKNOWN,
      f'its second half has {count} evaluations, and {_LEAST_VALUES} are '
      'needed: evaluate more often.',
    )
  right, fooled = np.mean(_late(scores)), np.mean(_late(won))
  diversity = np.mean(_late(varied))
  gap = curve(records, 'gap')
  apart = np.mean(_late(gap)) if gap else 0.0
  within = ' of the same label' if name == 'label_diversity' else ''
  by_scores = (
    f'discriminator score {right:.2f}, generator score {fooled:.2f}'
    + _norms(records)
  )
  by_rows = (
    f'variance of moved rows{within} {diversity:.2f} of that of real ones'
  )
  far = (
    f'means of moved and real rows{within} are {np.sqrt(apart):.2f} standard '
    'deviations apart'
  )
  if right > _CERTAIN:
    known = f'; {far}' if gap else ''
    return Verdict(
      CRITIC_DOMINATES, f'{by_scores}: it is certain of moved rows{known}.'
    )
  if diversity < _NARROW:
    return Verdict(COLLAPSE, f'{by_rows}; {by_scores}.')
  for what, series, least, floor in (
    ('the generator score', won, _SWING, None),
    ('the diversity', varied, _RATIO_SWING, 1e-6),
    # Scores are means over the steps of a record, which a fast swing leaves as
    # they are; the gap is that of one step. Well below _APART it is noise.
    ('the gap of means', gap, _RATIO_SWING, _APART / 2),
  ):
    if not series:
      continue
    values = _late(series)
    # None: no ratio.
    shown = values if floor is None else np.log(np.maximum(values, floor))
    turned = turns(shown, least)
    if turned >= _LEAST_TURNS:
      return Verdict(
        OSCILLATION,
        f'{what} turns {turned} times between {min(values):.2f} and '
        f'{max(values):.2f}; {by_scores}.',
      )
  if apart > _APART and right < _AT_CHANCE:
    return Verdict(
      MOVER_DOMINATES, f'{by_scores}: the critic cannot tell, though {far}.'
    )
  if apart > _APART:  # noise or a penalty may bound the scores of such a critic
    return Verdict(
      CRITIC_DOMINATES, f'{by_scores}: the critic can tell, and still {far}.'
    )
  return Verdict(HEALTHY, f'{by_scores}; {by_rows}.')


def turns(values: Sequence[float] | np.ndarray, least: float) -> int:
  """How often a curve turns, after moves of at least `least`.

  Args:
    values: of the curve.
    least: smaller moves, back and forth, are noise.
  """
  found, direction = 0, 0
  low = high = values[0]
  for value in values:
    low, high = min(low, value), max(high, value)
    if direction >= 0 and high - value >= least:
      found += direction > 0
      direction, low = -1, value
    elif direction <= 0 and value - low >= least:
      found += direction < 0
      direction, high = 1, value
  return found


def curve(
  records: Sequence[Mapping[str, Any]], name: str
) -> list[tuple[int, float]]:
  """(step, value) of a metric that `judge` reads; empty if it is not logged.

  Scores and norms are those of training rows, with the networks of every step,
  if they are logged, or else those of validation rows; all others the other
  way round.
  """
  groups = ['validation', 'train']
  if name.endswith(('_score', '_norm')):
    groups.reverse()
  for group in groups:
    key = f'{group}/{name}'
    found = [(one['step'], one[key]) for one in records if key in one]
    if found:
      return found
  return []


def _late(series: Sequence[tuple[int, float]]) -> list[float]:
  """The values of the second half of a training."""
  last = series[-1][0]
  return [value for step, value in series if step > last / 2]


def _norms(records: Sequence[Mapping[str, Any]]) -> str:
  """The gradients' norms, as a part of a sentence."""
  texts = []
  for name in ('critic', 'mover'):
    found = curve(records, f'{name}_grad_norm')
    if found:
      texts.append(f'{name} {np.mean(_late(found)):.2g}')
  return f', gradient norms {", ".join(texts)}' if texts else ''
