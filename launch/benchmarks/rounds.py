"""Interleaved rounds: contenders take turns, so that they share a machine.

What else runs on a machine slows all that run beside it. So nothing here is
timed alone: in every round each contender has its turn, and a ratio is one of
two turns of the same round. A result is the median of such ratios, with its
spread; seconds are kept beside it, but mean little on a machine that is shared.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np


class Contender(NamedTuple):
  """One way to do the work.

  Attributes:
    advance: does so many units of work more, and waits until they are done.
    unit: it only takes multiples of this.
  """

  advance: Callable[[int], None]
  unit: int = 1


class Measurement(NamedTuple):
  """One quantity in every round, and what it is to reach.

  Attributes:
    what: in words, within its workload.
    values: one of each round.
    bar: the target; None: shown for information.
    at_least: whether the bar is a lower bound.
    details: further numbers behind it, by name with unit.
  """

  what: str
  values: tuple[float, ...]
  bar: float | None
  at_least: bool = True
  details: Mapping[str, Any] = {}


def quartiles(values: Sequence[float]) -> tuple[float, float, float]:
  """Lower quartile, median and upper quartile."""
  low, middle, high = np.quantile(np.asarray(values, float), [0.25, 0.5, 0.75])
  return float(low), float(middle), float(high)


def median(values: Sequence[float]) -> float:
  """The middle one, or the mean of the middle two."""
  return quartiles(values)[1]


def meets(measurement: Measurement) -> bool | None:
  """Whether the median reaches the bar; None without a bar."""
  if measurement.bar is None:
    return None
  middle = median(measurement.values)
  if measurement.at_least:
    return middle >= measurement.bar
  return middle <= measurement.bar


def units_for(contender: Contender, seconds: float) -> int:
  """So many units, a multiple of its own, as take about `seconds`.

  The first unit compiles, the second finds caches warm, the third is timed.
  """
  for _ in range(2):
    contender.advance(contender.unit)
  started = time.perf_counter()
  contender.advance(contender.unit)
  taken = time.perf_counter() - started
  return contender.unit * max(1, math.ceil(seconds / max(taken, 1e-9)))


def interleave(
  contenders: Mapping[str, Contender], num_rounds: int, seconds: float
) -> dict[str, list[float]]:
  """Seconds per unit of work of every contender in every round.

  Every second round goes backwards: who comes first has no advantage.

  Args:
    contenders: by name.
    num_rounds: after the warm-up.
    seconds: that one turn is to take, about.

  Returns:
    `num_rounds` values for each name.
  """
  counts = {name: units_for(c, seconds) for name, c in contenders.items()}
  taken: dict[str, list[float]] = {name: [] for name in contenders}
  for number in range(num_rounds):
    for name in sorted(contenders, reverse=number % 2 == 1):
      started = time.perf_counter()
      contenders[name].advance(counts[name])
      elapsed = time.perf_counter() - started
      taken[name].append(elapsed / counts[name])
  return taken


def ratios(
  slower: Sequence[float], faster: Sequence[float]
) -> tuple[float, ...]:
  """How many times as long the first takes, round by round."""
  return tuple(a / b for a, b in zip(slower, faster, strict=True))


def against(
  taken: Mapping[str, Sequence[float]],
  bars: Mapping[str, float | None],
  best_bar: float | None = None,
  ours: str = 'ours',
  case: str = '',
) -> list[Measurement]:
  """How many times as fast as each peer ours is.

  Args:
    taken: seconds per unit by contender, as `interleave` gives them.
    bars: of peers by name; a peer that is not there has been left out.
    best_bar: where given, one more measurement against the peer that has the
      least median.
    ours: name of our contender.
    case: what distinguishes these contenders, as 'batch 128'.

  Returns:
    A measurement for each peer, with seconds per unit as details.
  """
  peers = [name for name in taken if name in bars]
  details = {
    f'{name}_seconds': median(seconds) for name, seconds in taken.items()
  }
  prefix = f'{case}, ' if case else ''
  found = [
    Measurement(
      f'{prefix}times as fast as {name}',
      ratios(taken[name], taken[ours]),
      bars[name],
      details=details,
    )
    for name in peers
  ]
  if best_bar is not None:
    best = min(peers, key=lambda name: median(taken[name]))
    found.append(
      Measurement(
        f'{prefix}times as fast as its best setting ({best})',
        ratios(taken[best], taken[ours]),
        best_bar,
        details=details,
      )
    )
  return found
