"""Batch t as a function of (seed, t): a resumed run sees what it would have."""

import functools

import numpy as np


@functools.lru_cache(maxsize=8)
def _permutation(
  seed: tuple[int, ...], epoch: int, num_rows: int
) -> np.ndarray:
  rng = np.random.default_rng((*seed, epoch))
  return rng.permutation(num_rows)


def batch_indices(
  seed: tuple[int, ...], step: int, batch_size: int, num_rows: int
) -> np.ndarray:
  """Rows of batch `step`: consecutive pieces of an endless row of shuffles.

  Every epoch is a fresh permutation keyed by (seed, epoch); a batch may span
  two epochs, so no row is ever dropped.

  Args:
    seed: of the order: a run's seed, and a number for each order in it.
    step: which batch, from 0.
    batch_size: rows in a batch; may exceed `num_rows`.
    num_rows: rows in the data set.

  Returns:
    [batch_size] indices.
  """
  positions = step * batch_size + np.arange(batch_size)
  epochs, offsets = np.divmod(positions, num_rows)
  pieces = [
    _permutation(seed, int(epoch), num_rows)[offsets[epochs == epoch]]
    for epoch in np.unique(epochs)
  ]
  return np.concatenate(pieces)


def stacked_indices(
  seed: tuple[int, ...],
  step: int,
  num_batches: int,
  batch_size: int,
  num_rows: int,
) -> np.ndarray:
  """[num_batches, batch_size] rows of the batches from `step` on."""
  return np.stack(
    [
      batch_indices(seed, step + i, batch_size, num_rows)
      for i in range(num_batches)
    ]
  )
