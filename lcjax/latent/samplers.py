"""Sampling from the prior, and the best of several tries."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np


def prior(num_rows: int, size: int, seed: int) -> np.ndarray:
  """Z ~ N(0, I): [num_rows, size] float32."""
  rng = np.random.default_rng(seed)
  return rng.standard_normal((num_rows, size), dtype=np.float32)


class Tried(NamedTuple):
  """One try of B rows.

  Attributes:
    found: the result, a tree of arrays with B rows.
    accepted: [B] whether the row is accepted.
    cost: [B]; of two accepted tries, or two rejected ones, the one with lower
      cost is kept, and the first one if costs are equal.
  """

  found: Any
  accepted: np.ndarray
  cost: np.ndarray


def retry(
  attempt: Callable[[np.ndarray, int], Tried],
  num_rows: int,
  max_tries: int,
  only_refused: bool = True,
) -> Tried:
  """Tries every row several times and keeps its best try.

  Args:
    attempt: `(rows [B], number of the try) -> Tried`; row i of the result may
      depend on rows[i] and the number only, not on the other rows.
    num_rows: N; the rows are 0 to N - 1.
    max_tries: maximum number of tries per row.
    only_refused: whether only rejected rows are tried again; otherwise every
      row gets `max_tries` tries.

  Returns:
    The best try of every row, as numpy arrays.
  """
  rows = np.arange(num_rows)
  best = jax.tree.map(np.array, attempt(rows, 0))  # writable copies
  for number in range(1, max_tries):
    if only_refused:
      rows = np.flatnonzero(~best.accepted)
    if not rows.size:
      break
    again = jax.tree.map(np.asarray, attempt(rows, number))
    before, cost = best.accepted[rows], best.cost[rows]
    better = again.accepted & ~before
    better |= (again.accepted == before) & (again.cost < cost)
    for old, new in zip(
      jax.tree.leaves(best), jax.tree.leaves(again), strict=True
    ):
      old[rows[better]] = new[better]
  return best
