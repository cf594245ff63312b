"""Rows of moved or drawn latents: how they are made, timed and counted."""

import functools
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from lcjax.constraints import base as constraints
from lcjax.evaluation import glossary, judging, metrics
from lcjax.movers import base, starts, wrappers

# z [B, Z] -> samples [B, ...] of the shape and dtype of the real ones
Decode = Callable[[np.ndarray], np.ndarray]

CLOCK_SECONDS = 1.0  # that a row is timed for, at least
_PASSES = 5  # at least; a single one shows the noise of the machine as well
_LONG_PASS = 10.0  # seconds; then one pass is enough


class Contender(NamedTuple):
  """What makes a row of the table.

  Attributes:
    mover: (start [N, Z], target, rows [N], key) -> `Moved`, or samples
      [N, ...] of a row without latents.
    scores: known before it is called, such as 'training_seconds'.
    mean_scale: [Z] unit of the distance moved; None for draws.
  """

  mover: Callable[..., Any]
  scores: judging.Scores
  mean_scale: np.ndarray | None = None


class Rejection(NamedTuple):
  """The acceptance test that all rows NAME_kept share.

  Attributes:
    accept: of a moved latent; never a judge.
    tries: of every row, at most.
    seconds: training time of what it asks; None if unknown.
  """

  accept: constraints.Constraint
  tries: int
  seconds: float | None

  def of(self, contender: Contender, draw: starts.Start) -> Contender:
    """The contender with rejection sampling; `draw` draws new starts."""
    mover = wrappers.retry(contender.mover, draw, self.accept, self.tries)
    scores = dict(contender.scores)
    training = scores.pop('training_seconds', None)
    if training is not None and self.seconds is not None:
      scores['training_seconds'] = training + self.seconds
    return contender._replace(mover=mover, scores=scores)


class Timed(NamedTuple):
  """A result, and the seconds of a pass.

  Attributes:
    result: of the call.
    seconds: median over passes.
    spread: half the range of passes over the median; 0 for a single pass.
  """

  result: Any
  seconds: float
  spread: float


def timed(
  fn: Callable[..., Any],
  batch_size: int,
  *arrays: Any,
  clock_seconds: float = CLOCK_SECONDS,
  num_passes: int = _PASSES,
) -> Timed:
  """Times `fn(*arrays)`, without compilation.

  The first `batch_size` rows are computed once before, so that everything is
  compiled when the clock starts. Then there are at least five passes, or a
  single one if it takes more than ten seconds.

  Args:
    fn: of arrays with N rows, or trees of such; always of the same result.
    batch_size: rows of a compiled call.
    *arrays: of `fn`.
    clock_seconds: of all passes, at least; 0: a single pass.
    num_passes: at least.
  """
  fn(*jax.tree.map(lambda leaf: leaf[:batch_size], arrays))
  passes: list[float] = []
  while len(passes) < num_passes or sum(passes) < clock_seconds:
    started = time.perf_counter()
    result = fn(*arrays)
    passes.append(time.perf_counter() - started)
    if passes[0] > _LONG_PASS or not clock_seconds:
      break
  median = float(np.median(passes))
  return Timed(result, median, float(np.ptp(passes) / 2.0 / median))


def make_row(
  contender: Contender,
  decode: Decode,
  start: np.ndarray,
  target: constraints.Target,
  requested: np.ndarray | None,
  key: jax.Array,
  batch_size: int,
  clock_seconds: float,
) -> tuple[judging.Row, base.Moved | np.ndarray]:
  """Calls and times a contender.

  Args:
    contender: whose row it is.
    decode: of the model.
    start: [N, Z] the same for all contenders.
    target: arrays of N rows by name.
    requested: [N, Y] labels that the row is judged by; None for none.
    key: of all noise.
    batch_size: rows of a compiled call.
    clock_seconds: see `timed`.

  Returns:
    The row with its scores, and what the contender returned.
  """
  found, seconds, spread = timed(
    functools.partial(contender.mover, key=key),
    batch_size,
    start,
    dict(target),
    np.arange(len(start)),
    clock_seconds=clock_seconds,
  )
  scores = contender.scores | {
    'latents_per_second': len(start) / seconds,
    'speed_spread': spread,
  }
  if not isinstance(found, base.Moved):
    return judging.Row(found, requested, None, scores), found
  if found.satisfied is not None:
    scores['satisfied'] = float(np.mean(found.satisfied))
    if found.tries is not None:
      accepted = max(1, int(np.sum(found.satisfied)))
      scores['tries'] = float(np.sum(found.tries) / accepted)
  if found.steps is not None:
    scores['steps_mean'] = float(np.mean(found.steps))
  for name, counts in (found.evaluations or {}).items():
    scores[f'{glossary.EVALUATIONS}{name}'] = float(np.mean(counts))
  if contender.mean_scale is not None:
    scores['z_distance'] = metrics.z_distance(
      found.z, found.start, contender.mean_scale
    )
  return judging.Row(decode(found.z), requested, found.z, scores), found
