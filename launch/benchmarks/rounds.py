"""Interleaved rounds: contenders take turns, so that all see the same load.

Other work on the machine slows down whatever is being timed. So nothing is
timed in isolation: every contender has a turn in every round, and a ratio
compares two turns of the same round. A result is the median of these ratios,
with its spread. Seconds are stored as well, but mean little on a shared
machine.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np


class Contender(NamedTuple):
  """One way to do the work.

  Attributes:
    advance: does the given number of further units of work, and waits for them.
    unit: `advance` only takes multiples of this number.
  """

  advance: Callable[[int], None]
  unit: int = 1


class Measurement(NamedTuple):
  """One quantity, measured in every round, and its target.

  Attributes:
    what: description, unique within the workload.
    values: one per round.
    bar: the target; None: none, shown for information.
    at_least: whether the bar is a lower bound.
    details: further numbers, by name with unit.
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
  """The units of work that take about `seconds`, a multiple of `unit`.

  The first unit compiles, the second warms up caches, the third is timed.
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

  Every second round is in reverse order, so that no contender always goes
  first.

  Args:
    contenders: by name.
    num_rounds: after the warm-up.
    seconds: approximate duration of a turn.

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
  """How many times as long `slower` takes as `faster`, per round."""
  return tuple(a / b for a, b in zip(slower, faster, strict=True))


def against(
  taken: Mapping[str, Sequence[float]],
  bars: Mapping[str, float | None],
  best_bar: float | None = None,
  ours: str = 'ours',
  case: str = '',
) -> list[Measurement]:
  """How many times as fast as each peer our contender is.

  Args:
    taken: seconds per unit by contender, as returned by `interleave`.
    bars: by peer name; peers without a contender in `taken` are ignored.
    best_bar: if given, adds a measurement against the peer with the smallest
      median.
    ours: name of our contender.
    case: what distinguishes these contenders, such as 'batch 128'.

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
