"""The prior, and tries."""

import numpy as np
from absl.testing import parameterized

from lcjax.latent import samplers


class PriorTest(parameterized.TestCase):
  def test_is_standard_normal_and_follows_the_seed(self):
    z = samplers.prior(4000, 3, seed=1)
    self.assertEqual((z.shape, z.dtype), ((4000, 3), np.float32))
    np.testing.assert_allclose(z.mean(axis=0), np.zeros(3), atol=0.1)
    np.testing.assert_allclose(np.cov(z.T), np.eye(3), atol=0.1)
    np.testing.assert_array_equal(z, samplers.prior(4000, 3, seed=1))
    self.assertTrue(np.any(z != samplers.prior(4000, 3, seed=2)))


class RetryTest(parameterized.TestCase):
  # By try, then by row.
  COST = np.array([[3.0, 1.0, 2.0], [2.0, 5.0, 1.0], [2.0, 0.5, 9.0]])
  ACCEPTED = np.array([[0, 0, 1], [0, 1, 1], [0, 0, 1]], bool)

  def run_tries(self, max_tries, **kwargs):
    asked = []

    def attempt(rows, number):
      asked.append(rows.tolist())
      found = {'try': np.full(len(rows), number), 'row': rows}
      return samplers.Tried(
        found, self.ACCEPTED[number][rows], self.COST[number][rows]
      )

    return samplers.retry(attempt, 3, max_tries, **kwargs), asked

  @parameterized.parameters(
    (1, [0, 0, 0], [3.0, 1.0, 2.0]),
    # Cheaper of two that are refused; accepted though dearer; cheaper of two
    # that are accepted.
    (2, [1, 1, 1], [2.0, 5.0, 1.0]),
    # Of equal costs the first.
    (3, [1, 1, 1], [2.0, 5.0, 1.0]),
  )
  def test_best_of_all_tries(self, max_tries, chosen, cost):
    best, asked = self.run_tries(max_tries, only_refused=False)
    np.testing.assert_array_equal(best.found['try'], chosen)
    np.testing.assert_array_equal(best.found['row'], [0, 1, 2])
    np.testing.assert_array_equal(best.cost, cost)
    self.assertEqual(asked, [[0, 1, 2]] * max_tries)

  def test_accepted_rows_are_left_alone(self):
    best, asked = self.run_tries(3)
    self.assertEqual(asked, [[0, 1, 2], [0, 1], [0]])
    np.testing.assert_array_equal(best.found['try'], [1, 1, 0])
    np.testing.assert_array_equal(best.accepted, [False, True, True])
