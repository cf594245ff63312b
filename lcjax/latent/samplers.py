"""Latents without a trained mover: the prior, and rejection."""

from collections.abc import Callable

import numpy as np


def prior(num_rows: int, size: int, seed: int) -> np.ndarray:
  """Z ~ N(0, I): [num_rows, size] float32."""
  rng = np.random.default_rng(seed)
  return rng.standard_normal((num_rows, size), dtype=np.float32)


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
  rows = np.arange(len(y)) if rows is None else rows
  z = np.array(draw(y, rows, 0))  # ours to change
  refused = np.flatnonzero(~accept(z, y))
  for number in range(1, max_rounds):
    if not refused.size:
      break
    z[refused] = draw(y[refused], rows[refused], number)
    refused = refused[~accept(z[refused], y[refused])]
  return z
