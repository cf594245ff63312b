"""The prior, and rejection."""

import numpy as np
from absl.testing import parameterized

from lcjax.latent import samplers

CLASSES = np.eye(3, dtype=np.float32)


class PriorTest(parameterized.TestCase):
  def test_is_standard_normal_and_follows_the_seed(self):
    z = samplers.prior(4000, 3, seed=1)
    self.assertEqual((z.shape, z.dtype), ((4000, 3), np.float32))
    np.testing.assert_allclose(z.mean(axis=0), np.zeros(3), atol=0.1)
    np.testing.assert_allclose(np.cov(z.T), np.eye(3), atol=0.1)
    np.testing.assert_array_equal(z, samplers.prior(4000, 3, seed=1))
    self.assertTrue(np.any(z != samplers.prior(4000, 3, seed=2)))


class KeepAcceptedTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.y = CLASSES[np.arange(30) % 3]
    self.calls = []

  def draw(self, y, rows, number):
    self.calls.append((len(y), number))
    values = [np.random.default_rng((number, row)).uniform() for row in rows]
    # The class stands in the latent, so that mixed-up rows would show.
    return np.stack([values, y.argmax(axis=1)], axis=1)

  def test_every_row_is_accepted_in_the_end(self):
    def accept(z, y):
      np.testing.assert_array_equal(z[:, 1], y.argmax(axis=1))
      return z[:, 0] < 0.3

    z = samplers.keep_accepted(self.draw, accept, self.y)
    self.assertTrue(np.all(z[:, 0] < 0.3))
    np.testing.assert_array_equal(z[:, 1], self.y.argmax(axis=1))
    sizes, numbers = zip(*self.calls, strict=True)
    self.assertEqual(sizes[0], 30)
    self.assertEqual(list(sizes), sorted(sizes, reverse=True))
    self.assertLess(sizes[1], 30)  # only the refused are drawn again
    self.assertEqual(list(numbers), list(range(len(numbers))))
    again = samplers.keep_accepted(self.draw, accept, self.y)
    np.testing.assert_array_equal(z, again)

  def test_a_row_does_not_depend_on_the_others(self):
    def keep(rows):
      return samplers.keep_accepted(
        self.draw, lambda z, y: z[:, 0] < 0.3, self.y[rows], rows=rows
      )

    whole = keep(np.arange(30))
    order = np.random.default_rng(0).permutation(30)
    np.testing.assert_array_equal(keep(order), whole[order])
    np.testing.assert_array_equal(keep(order[:7]), whole[order[:7]])

  def test_accepted_rows_keep_their_first_draw(self):
    first = self.draw(self.y, np.arange(30), 0)
    z = samplers.keep_accepted(self.draw, lambda z, y: z[:, 0] < 0.5, self.y)
    kept = first[:, 0] < 0.5
    np.testing.assert_array_equal(z[kept], first[kept])
    self.assertTrue(np.all(z[~kept] != first[~kept], axis=0)[0])

  def test_the_impossible_ends(self):
    z = samplers.keep_accepted(
      self.draw, lambda z, y: y[:, 0] == 0, self.y, max_rounds=4
    )
    self.assertEqual(z.shape, (30, 2))
    self.assertEqual([size for size, _ in self.calls], [30, 10, 10, 10])

  def test_nothing_refused_draws_once(self):
    samplers.keep_accepted(
      self.draw, lambda z, y: np.ones(len(z), bool), self.y
    )
    self.assertLen(self.calls, 1)


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
