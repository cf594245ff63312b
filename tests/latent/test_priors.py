"""Priors: their moments, and that a draw depends on its row and key alone."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lcjax.latent import priors

KEY = jax.random.key(3)
SIZE = 5


def draws(prior, rows=20_000):
  return np.asarray(jax.jit(prior)(None, KEY, jnp.arange(rows)))


@pytest.mark.parametrize('name', priors.PRIORS)
def test_moments_and_independent_rows(name):
  prior = priors.PRIORS[name](SIZE)
  z = draws(prior)
  mean = prior.means.mean(axis=0) if name == 'mixture' else np.zeros(SIZE)
  np.testing.assert_allclose(z.mean(axis=0), mean, atol=0.05)
  np.testing.assert_allclose(z.std(axis=0), prior.std, rtol=0.03)
  some = prior(None, KEY, jnp.array([7, 2]))
  np.testing.assert_allclose(some, z[[7, 2]], rtol=1e-5, atol=1e-6)
  other = np.asarray(prior(None, jax.random.key(4), jnp.array([7])))
  assert (other != z[7]).all()
  assert hash(prior) == hash(priors.PRIORS[name](SIZE))


def test_the_uniform_prior_fills_its_cube_and_no_more():
  z = draws(priors.Uniform(SIZE))
  assert np.abs(z).max() <= 1.0
  quartiles = np.quantile(z, [0.25, 0.5, 0.75], axis=0)
  expected = np.array([[-0.5], [0.0], [0.5]]) * np.ones(SIZE)
  np.testing.assert_allclose(quartiles, expected, atol=0.03)


def test_the_mixture_has_equal_parts_around_means_of_one_length():
  prior = priors.Mixture(SIZE, count=4, radius=6.0, scale=0.25)
  means = np.asarray(prior.means)
  np.testing.assert_allclose(np.linalg.norm(means, axis=-1), 6.0, rtol=1e-5)
  z = draws(prior)
  nearest = np.argmin(((z[:, None] - means) ** 2).sum(axis=-1), axis=-1)
  np.testing.assert_allclose(np.bincount(nearest) / len(z), 0.25, atol=0.02)
  np.testing.assert_allclose((z - means[nearest]).std(axis=0), 0.25, rtol=0.05)
