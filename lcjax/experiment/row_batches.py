"""Batches of rows in the order of a seed, as trainings of images see them."""

from collections.abc import Callable, Mapping

import numpy as np

from lcjax.data import batches, dataset
from lcjax.training import parallel


def of_arrays(
  arrays: Mapping[str, np.ndarray], seed: int, batch_size: int
) -> Callable[[int, int], dict[str, np.ndarray]]:
  """Builds: (first step, K) -> arrays [K, B, ...] of rows, with their 'row'.

  Of the rows of this process; 'row' is a row's number in the whole batch.

  Args:
    arrays: [N, ...] each, by name.
    seed: of the order.
    batch_size: B, of all processes.
  """
  count = len(next(iter(arrays.values())))

  def make(step: int, steps: int) -> dict[str, np.ndarray]:
    rows, numbers = parallel.local_rows(
      batches.stacked_indices((seed, 0), step, steps, batch_size, count)
    )
    return {name: a[rows] for name, a in arrays.items()} | {'row': numbers}

  return make


def of_images(
  data: dataset.Dataset, seed: int, batch_size: int, labelled: bool = False
) -> Callable[[int, int], dict[str, np.ndarray]]:
  """As `of_arrays`, of a split's 'image' and, if asked for, 'attributes'."""
  arrays = {'image': data.images}
  if labelled:
    arrays['attributes'] = data.attributes
  return of_arrays(arrays, seed, batch_size)
