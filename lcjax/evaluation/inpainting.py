"""Images of which only the upper rows are known, and scores of answers."""

import numpy as np


def num_known(height: int, share: float) -> int:
  """Known rows: a share of the height, at least one, and not all."""
  return int(np.clip(round(share * height), 1, height - 1))


def known_mask(shape: tuple[int, ...], num_rows: int) -> np.ndarray:
  """[H, W, C] float32, 1 in the first `num_rows` rows, else 0."""
  mask = np.zeros(shape, np.float32)
  mask[:num_rows] = 1.0
  return mask


def nearest(
  images: np.ndarray, pool: np.ndarray, num_rows: int, num_parts: int
) -> np.ndarray:
  """In each part of a pool, the image that agrees best with what is known.

  Args:
    images: [N, H, W, C] uint8.
    pool: [num_parts * P, H, W, C] uint8.
    num_rows: known rows.
    num_parts: equal parts, one after the other: as many different answers.

  Returns:
    [N, num_parts] indices into the pool.
  """

  def known(x: np.ndarray) -> np.ndarray:
    return x[:, :num_rows].reshape(len(x), -1).astype(np.float32) / 255.0

  flat, others = known(images), known(pool)
  # Of squared distances, what depends on the pool.
  gaps = np.square(others).sum(axis=1) - 2.0 * flat @ others.T
  parts = gaps.reshape(len(images), num_parts, -1)
  size = len(pool) // num_parts
  return parts.argmin(axis=2) + size * np.arange(num_parts)


def spread(answers: np.ndarray, num_rows: int) -> float:
  """Mean unbiased pixel variance over answers, where nothing is known.

  Args:
    answers: [N, A, H, W, C] uint8: A answers to each of N images.
    num_rows: known rows.

  Returns:
    Of pixels in [0, 1].
  """
  unknown = answers[:, :, num_rows:] / np.float32(255.0)
  return float(unknown.var(axis=1, ddof=1, dtype=np.float64).mean())
