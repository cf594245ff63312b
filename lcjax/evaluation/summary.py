"""Combines tables of several seeds: means, spreads, non-finite values."""

from collections.abc import Mapping, Sequence
from typing import TypedDict

import numpy as np

Statistics = dict[str, dict[str, dict[str, float | None]]]


class NotFinite(TypedDict):
  """Metrics of a row that are not finite for one seed."""

  seed: int
  row: str
  metrics: list[str]


def summarise(
  runs: Sequence[Mapping[str, Mapping[str, float | None]]],
) -> Statistics:
  """Mean and standard deviation over seeds of every value of a table.

  Args:
    runs: for each seed, row -> metric -> value. None, as in JSON, stands for a
      value that is not finite. Seeds that lack a metric are left out of its
      mean.

  Returns:
    row -> metric -> {'mean', 'std'}, in order of first appearance. `std` is
    the sample standard deviation, None if only one seed has the metric. Both
    are NaN if a value is not finite: a mean of the other seeds would hide that
    one diverged. `not_finite` lists these values.
  """
  values: dict[str, dict[str, list[float]]] = {}
  for run in runs:
    for row, scores in run.items():
      values.setdefault(row, {})
      for name, value in scores.items():
        number = float('nan') if value is None else float(value)
        values[row].setdefault(name, []).append(number)
  return {
    row: {name: _mean_and_std(found) for name, found in scores.items()}
    for row, scores in values.items()
  }


def not_finite(
  runs: Sequence[Mapping[str, Mapping[str, float | None]]],
  seeds: Sequence[int],
) -> list[NotFinite]:
  """Lists the values that are not finite, as JSON.

  Args:
    runs: tables, as in `summarise`.
    seeds: seeds of the tables.

  Returns:
    {'seed', 'row', 'metrics'} for each seed and row with such values.
  """
  return [
    {'seed': seed, 'row': row, 'metrics': names}
    for seed, run in zip(seeds, runs, strict=True)
    for row, scores in run.items()
    if (
      names := [
        name
        for name, value in scores.items()
        if value is None or not np.isfinite(value)
      ]
    )
  ]


def _mean_and_std(values: Sequence[float]) -> dict[str, float | None]:
  if not np.isfinite(values).all():
    values = [float('nan')] * len(values)  # infinities have no spread
  std = float(np.std(values, ddof=1)) if len(values) > 1 else None
  return {'mean': float(np.mean(values)), 'std': std}
