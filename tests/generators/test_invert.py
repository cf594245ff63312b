"""Inversion: latents of given samples by a decoder alone."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import lcjax
from lcjax import errors

KEY = jax.random.key(0)
TURN = np.linalg.qr(np.random.default_rng(0).normal(size=(5, 5)))[0][:2]


def linear(params, z):
  return z @ params


def two_sided(params, z):
  """Nearly the same for z and -z: one of them is a bad local minimum."""
  del params
  return jnp.concatenate([z**2, 0.1 * jnp.tanh(3.0 * z)], axis=1)


MODEL = lcjax.latent_model(TURN.astype(np.float32), linear, 2)


def test_a_linear_decoder_is_inverted_by_its_least_squares():
  rng = np.random.default_rng(1)
  samples = rng.normal(size=(7, 5)).astype(np.float32)
  found = lcjax.invert(
    MODEL, samples, KEY, prior_weight=0.0, max_steps=400, tries=1
  )
  best = samples @ TURN.T  # its rows are orthonormal
  np.testing.assert_allclose(found.z, best, atol=1e-3)
  errors_ = np.square(samples - best @ TURN).mean(axis=1)
  np.testing.assert_allclose(found.error, errors_, atol=1e-4)
  assert (found.steps == 400).all()


def test_the_prior_shrinks_latents_as_ridge_regression_does():
  samples = np.random.default_rng(1).normal(size=(7, 5)).astype(np.float32)
  found = lcjax.invert(
    MODEL, samples, KEY, prior_weight=0.2, max_steps=400, tries=1
  )
  # d/dz of |x - z W|^2 / 5 + .2 |z|^2 / 2 is 0 at z = x W^T / (1 + .5).
  np.testing.assert_allclose(found.z, samples @ TURN.T / 1.5, atol=1e-3)
  # The error is of the samples alone.
  decoded = np.asarray(found.z) @ TURN
  np.testing.assert_allclose(
    found.error, np.square(samples - decoded).mean(axis=1), rtol=1e-4
  )


def test_of_several_tries_the_best_is_kept():
  model = lcjax.latent_model((), two_sided, 1)
  z = np.linspace(0.5, 1.5, 40, dtype=np.float32)[:, None]
  samples = np.asarray(two_sided((), jnp.asarray(z)))
  once, more = (
    lcjax.invert(model, samples, KEY, tries=tries, prior_weight=0.0)
    for tries in (1, 4)
  )
  wrong = np.mean(once.z < 0)
  assert 0.3 < wrong < 0.7
  assert np.mean(more.z < 0) < wrong / 3
  assert (more.error <= once.error + 1e-7).all()
  assert (more.steps > once.steps).all()


def test_a_row_stops_at_its_tolerance_and_depends_on_nothing_else():
  samples = np.random.default_rng(1).normal(size=(7, 5)).astype(np.float32)
  easy = samples @ TURN.T @ TURN  # the decoder can make these
  found = lcjax.invert(MODEL, easy, KEY, tolerance=0.01, prior_weight=0.0)
  assert (found.error <= 0.01).all() and (found.steps < 900).all()
  some = lcjax.invert(
    MODEL, easy[:3], KEY, tolerance=0.01, prior_weight=0.0, batch_size=2
  )
  np.testing.assert_allclose(some.z, found.z[:3], atol=1e-5)


@pytest.mark.parametrize(
  'samples, settings, said',
  [
    (
      np.zeros((2, 4)),
      {},
      r'the shape is \(2, 4\), it must be \(N, 5',
    ),
    (np.zeros((0, 5)), {}, 'with N at least 1'),
    (np.full((3, 5), np.nan), {}, 'row 0: the decoder or its gradient'),
    (np.zeros((2, 5)), {'tries': 0}, 'tries=0'),
  ],
)
def test_what_cannot_be_inverted_is_named(samples, settings, said):
  with pytest.raises(errors.UserError, match=said):
    lcjax.invert(MODEL, samples, KEY, max_steps=3, **settings)
