"""Edits backtracked along a line whose good part is known."""

import numpy as np

from lcjax.latent import backtrack

START = np.zeros((4, 2), np.float32)
MOVED = np.array([[1, 2], [1, 2], [1, 2], [1, 2]], np.float32)


def test_each_row_goes_back_until_it_fails():
  least = np.array([0.35, 0.0, 1.5, 0.8])  # of the first latent

  def holds(z):
    return z[:, 0] >= least - 1e-6

  z = backtrack.backtrack(holds, START, MOVED, 10)
  np.testing.assert_allclose(z[:, 0], [0.4, 0.0, 1.0, 0.8], atol=1e-6)
  np.testing.assert_allclose(z[:, 1], 2 * z[:, 0], atol=1e-6)
  assert z.dtype == np.float32
  np.testing.assert_array_equal(MOVED[:, 0], 1.0)


def test_a_gap_is_not_leapt_over():
  """Where the attribute fails and holds again, it was lost on the way."""

  def holds(z):
    return (z[:, 0] > 0.65) | (z[:, 0] < 0.35)

  z = backtrack.backtrack(holds, START, MOVED, 10)
  np.testing.assert_allclose(z[:, 0], 0.7, atol=1e-6)
