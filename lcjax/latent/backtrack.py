"""Backtracks an edit towards its start while the attribute still holds."""

from collections.abc import Callable

import numpy as np


def backtrack(
  holds_fn: Callable[[np.ndarray], np.ndarray],
  start: np.ndarray,
  moved: np.ndarray,
  num_points: int,
) -> np.ndarray:
  """Steps back on the line from `moved` to `start` while `holds_fn` is true.

  An actor often moves a row further than its attribute needs. The attribute
  fades gradually on the way back, so each row can keep just the part of its
  move that the attribute needs.

  Args:
    holds_fn: z [B, Z] -> [B] booleans; result i may depend on row i only.
    start: [B, Z] latents before the edit.
    moved: [B, Z] edited latents. A row stays here if the first point fails.
    num_points: number of points to try, evenly spaced; the last is the start.

  Returns:
    [B, Z]: the last point of each row before the first one that fails.
  """
  z, going = moved.copy(), np.ones(len(moved), bool)
  for fraction in np.linspace(1.0, 0.0, num_points + 1)[1:]:
    tried = (start + fraction * (moved - start)).astype(moved.dtype)
    going &= np.asarray(holds_fn(tried))
    z[going] = tried[going]
  return z
