"""Noise belongs to (key, row), whoever computes it."""

import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import parameterized

from lcjax.latent import noise

KEY = jax.random.key(7)


class NoiseTest(parameterized.TestCase):
  @parameterized.named_parameters(
    ('normal', lambda key, rows: noise.normal(key, rows, 3)),
    ('uniform', noise.uniform),
  )
  def test_belongs_to_the_row(self, draw):
    draw = jax.jit(draw)
    whole = np.array(draw(KEY, jnp.arange(8)))
    for rows in ([5], [7, 0, 3], [2, 2, 1], [6, 4, 0, 7, 3, 5, 2, 1]):
      np.testing.assert_array_equal(draw(KEY, jnp.array(rows)), whole[rows])
    self.assertLen(np.unique(whole), whole.size)  # rows differ
    other = draw(jax.random.key(8), jnp.arange(8))
    self.assertTrue(np.all(other != whole))

  def test_moments(self):
    z = noise.normal(KEY, jnp.arange(2000), 5)
    np.testing.assert_allclose(z.mean(axis=0), np.zeros(5), atol=0.1)
    np.testing.assert_allclose(np.cov(z.T), np.eye(5), atol=0.15)
    u = noise.uniform(KEY, jnp.arange(2000))
    self.assertGreaterEqual(u.min(), 0.0)
    self.assertLess(u.max(), 1.0)
    self.assertAlmostEqual(u.mean(), 0.5, delta=0.03)
    self.assertAlmostEqual(u.std(), 12**-0.5, delta=0.02)
