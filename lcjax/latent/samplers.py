"""Latents without a trained mover: the prior, and rejection."""

from collections.abc import Callable

import numpy as np

from lcjax.latent import mixtures


def prior(num_rows: int, size: int, seed: int) -> np.ndarray:
  """Z ~ N(0, I): [num_rows, size] float32."""
  rng = np.random.default_rng(seed)
  return rng.standard_normal((num_rows, size), dtype=np.float32)


def keep_accepted(
  sample: mixtures.Sampler,
  accept: Callable[[np.ndarray, np.ndarray], np.ndarray],
  y: np.ndarray,
  seed: int,
  max_rounds: int = 50,
) -> np.ndarray:
  """Rejection: draws again until every row is accepted.

  Args:
    sample: `(y, seed) -> z`.
    accept: `(z [B, Z], y [B, Y]) -> [B]` booleans.
    y: [B, Y] requested attributes.
    seed: of the first round; the others count on from it.
    max_rounds: rows still refused then keep their last draw.

  Returns:
    [B, Z].
  """
  z = np.array(sample(y, seed))  # ours to change
  rows = np.flatnonzero(~accept(z, y))
  for number in range(1, max_rounds):
    if not rows.size:
      break
    z[rows] = sample(y[rows], seed + 1000 * number)
    rows = rows[~accept(z[rows], y[rows])]
  return z
