"""Latents without a trained mover: the prior, and trying again."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np


def prior(num_rows: int, size: int, seed: int) -> np.ndarray:
  """Z ~ N(0, I): [num_rows, size] float32."""
  rng = np.random.default_rng(seed)
  return rng.standard_normal((num_rows, size), dtype=np.float32)


class Tried(NamedTuple):
  """One try of some rows.

  Attributes:
    found: a tree of arrays with B rows.
    accepted: [B] whether it may stay.
    cost: [B]; of two tries that are accepted, or two that are not, the one of
      lower cost is kept, and the first of equal ones.
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
  """Tries rows again and keeps the best try of each.

  Args:
    attempt: `(rows [B], number of the try) -> Tried`; row i of the result must
      follow from row i and the number alone, whichever rows are beside it.
    num_rows: rows 0, 1, ... are asked for.
    max_tries: of each row.
    only_refused: whether a row that is accepted is left alone; else every row
      takes all its tries.

  Returns:
    The best try of all rows, on the host.
  """
  rows = np.arange(num_rows)
  best = jax.tree.map(np.array, attempt(rows, 0))  # ours to change
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


def keep_accepted(
  draw: Callable[[np.ndarray, np.ndarray, int], np.ndarray],
  accept: Callable[[np.ndarray, np.ndarray], np.ndarray],
  y: np.ndarray,
  max_rounds: int = 50,
  rows: np.ndarray | None = None,
) -> np.ndarray:
  """Rejection: draws again until every row is accepted.

  A row's draws follow from its number and the round, so which other rows are
  refused changes nothing for it.

  Args:
    draw: `(y [B, Y], rows [B], round) -> z [B, Z]`; row i of the result must
      follow from row i of y, its number and the round alone.
    accept: `(z [B, Z], y [B, Y]) -> [B]` booleans.
    y: [N, Y] requested attributes.
    max_rounds: rows still refused then keep their last draw.
    rows: [N] global row numbers; 0, 1, ... if None.

  Returns:
    [N, Z].
  """
  numbers = np.arange(len(y)) if rows is None else rows

  def attempt(asked: np.ndarray, number: int) -> Tried:
    z = draw(y[asked], numbers[asked], number)
    # Of refused draws the last one is kept.
    return Tried(z, accept(z, y[asked]), np.full(len(asked), -float(number)))

  return retry(attempt, len(y), max_rounds).found
