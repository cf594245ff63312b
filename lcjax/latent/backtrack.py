"""An edit backtracked towards its start, as far as the attribute allows."""

from collections.abc import Callable

import numpy as np


def backtrack(
  holds_fn: Callable[[np.ndarray], np.ndarray],
  start: np.ndarray,
  moved: np.ndarray,
  num_points: int,
) -> np.ndarray:
  """Goes back along the straight line from `moved` while `holds_fn` says so.

  An actor moves as far as it has learnt to, whatever the row needs. On the line
  back the attribute fades gradually, so each row keeps only the part of its
  move that the attribute takes.

  Args:
    holds_fn: z [B, Z] -> [B] booleans; row i depends on row i alone.
    start: [B, Z] where the rows came from.
    moved: [B, Z] where they are; a row that may go back nowhere stays.
    num_points: tried on the line, evenly spaced, the last of them the start.

  Returns:
    [B, Z]: of each row the last point before the first that fails.
  """
  z, going = moved.copy(), np.ones(len(moved), bool)
  for fraction in np.linspace(1.0, 0.0, num_points + 1)[1:]:
    tried = (start + fraction * (moved - start)).astype(moved.dtype)
    going &= np.asarray(holds_fn(tried))
    z[going] = tried[going]
  return z
