"""Batch t depends on (seed, t) only, so a resumed run gets the same batches."""

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
  """Row indices of batch `step` in an endless sequence of shuffled epochs.

  Every epoch is a new permutation keyed by (seed, epoch). A batch may span
  several epochs, so no row is ever dropped.

  Args:
    seed: seed of the order: the run's seed, then a number that distinguishes
      the orders within the run.
    step: number of the batch, from 0.
    batch_size: rows in a batch; may exceed `num_rows`.
    num_rows: rows in the data set.

  Returns:
    [batch_size] row indices.
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
  """[num_batches, batch_size] row indices of the batches from `step` on."""
  return np.stack(
    [
      batch_indices(seed, step + i, batch_size, num_rows)
      for i in range(num_batches)
    ]
  )
