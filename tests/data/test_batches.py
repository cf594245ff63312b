"""Batch t is a function of (seed, t), and no row is dropped."""

import numpy as np
from absl.testing import parameterized

from lcjax.data import batches

SEED = (3, 0)


def draw(seed, first, last, batch_size, num_rows):
  return [
    batches.batch_indices(seed, step, batch_size, num_rows)
    for step in range(first, last)
  ]


class BatchesTest(parameterized.TestCase):
  @parameterized.named_parameters(
    ('divides', 4, 12),
    ('does_not_divide', 5, 12),
    ('nearly_all_rows', 11, 12),
    ('more_than_all_rows', 29, 12),
    ('one_row', 3, 1),
  )
  def test_every_row_once_in_each_epoch(self, batch_size, num_rows):
    drawn = draw(SEED, 0, 3 * num_rows, batch_size, num_rows)
    for batch in drawn:
      self.assertEqual(batch.shape, (batch_size,))
    epochs = np.concatenate(drawn).reshape(-1, num_rows)
    np.testing.assert_array_equal(
      np.sort(epochs, axis=1), np.tile(np.arange(num_rows), (len(epochs), 1))
    )

  def test_a_batch_does_not_know_the_ones_before(self):
    forward = draw(SEED, 0, 40, 5, 12)
    batches._permutation.cache_clear()
    for step in (33, 7, 39, 0):
      np.testing.assert_array_equal(
        batches.batch_indices(SEED, step, 5, 12), forward[step]
      )

  def test_a_callers_changes_do_not_come_back(self):
    first = batches.batch_indices(SEED, 0, 12, 12)
    kept = first.copy()
    first[:] = 0
    np.testing.assert_array_equal(batches.batch_indices(SEED, 0, 12, 12), kept)

  def test_epochs_and_seeds_differ(self):
    orders = [
      tuple(batches.batch_indices(seed, epoch, 50, 50))
      for seed in ((0, 0), (0, 1), (1, 0))
      for epoch in range(3)
    ]
    self.assertLen(set(orders), 9)
    self.assertNotIn(tuple(range(50)), orders)

  def test_stacked(self):
    stacked = batches.stacked_indices(SEED, 2, 3, 5, 12)
    np.testing.assert_array_equal(stacked, draw(SEED, 2, 5, 5, 12))
