"""The distance penalty against NumPy."""

import chex
import numpy as np

from lcjax.losses import distance


class DistanceTest(chex.TestCase):
  def setUp(self):
    super().setUp()
    rng = np.random.default_rng(0)
    self.z, self.start = rng.normal(size=(2, 4, 3)).astype(np.float32)
    self.mean_scale = np.array([0.1, 0.5, 2.0], np.float32)

  @chex.variants(with_jit=True, without_jit=True)
  def test_agrees_with_numpy(self):
    found = self.variant(distance.distance_penalty)(
      self.z, self.start, self.mean_scale
    )
    weighted = np.log(1 + (self.z - self.start) ** 2) / self.mean_scale**2
    np.testing.assert_allclose(found, weighted.mean(axis=1), rtol=1e-5)

  def test_takes_a_single_latent(self):
    rows = distance.distance_penalty(self.z, self.start, self.mean_scale)
    row = distance.distance_penalty(self.z[1], self.start[1], self.mean_scale)
    np.testing.assert_allclose(row, rows[1], rtol=1e-6)

  def test_is_a_mean_over_latents(self):
    once = distance.distance_penalty(self.z, self.start, self.mean_scale)
    tiled = distance.distance_penalty(
      np.tile(self.z, 5), np.tile(self.start, 5), np.tile(self.mean_scale, 5)
    )
    np.testing.assert_allclose(tiled, once, rtol=1e-5)

  def test_is_zero_at_the_start_only(self):
    found = distance.distance_penalty(self.z, self.z, self.mean_scale)
    np.testing.assert_array_equal(found, np.zeros(4))

  def test_counts_the_square_of_the_inverse_scale(self):
    once = distance.distance_penalty(self.z, self.start, self.mean_scale)
    half = distance.distance_penalty(self.z, self.start, self.mean_scale / 2)
    np.testing.assert_allclose(half, 4 * once, rtol=1e-5)
