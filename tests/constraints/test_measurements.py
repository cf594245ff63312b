"""Known values and linear measurements of samples that a matrix decodes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import lcjax
from lcjax import errors
from lcjax.latent import denoise, mixtures
from lcjax.movers import denoiser

KEY = jax.random.key(0)
ROWS = np.arange(60)
BASIS = np.random.default_rng(0).normal(size=(4, 6)).astype(np.float32)


def decode(params, z):
  return (z @ params).reshape(-1, 2, 3)


MODEL = lcjax.latent_model(BASIS, decode, 4)
MASK = np.array([[1, 1, 0], [0, 0, 0]], np.float32)
TRUE = MODEL.decode(np.random.default_rng(1).normal(size=(60, 4)))


def test_the_loss_is_the_likelihood_of_what_is_known_alone():
  known = lcjax.known_pixels(MODEL, MASK, noise=0.5, tolerance=0.3)
  x = decode(BASIS, np.ones((1, 4), np.float32))[0]
  target = np.where(MASK > 0, x + np.array([[0.2, -0.6, 0], [0] * 3]), np.nan)
  found = known(jnp.ones(4), {'pixels': jnp.asarray(target)})
  np.testing.assert_allclose(found.loss, 0.4 / (2 * 0.25), rtol=1e-4)
  assert found.met  # the mean of two squares is .2
  assert not known.replace(tolerance=known.tolerance / 2)(
    jnp.ones(4), {'pixels': jnp.asarray(target)}
  ).met
  grad = jax.grad(lambda z: known(z, {'pixels': jnp.asarray(target)}).loss)
  assert np.isfinite(grad(jnp.ones(4))).all()  # what is not known may be NaN


def test_a_measurement_is_the_product_with_the_flat_sample():
  matrix = np.random.default_rng(2).normal(size=(2, 6)).astype(np.float32)
  measured = lcjax.linear_measurement(MODEL, matrix, noise=2.0, tolerance=1.0)
  x = decode(BASIS, np.ones((1, 4), np.float32))[0]
  values = matrix @ x.ravel() + np.array([0.5, 1.0])
  found = measured(jnp.ones(4), {'measurement': jnp.asarray(values)})
  np.testing.assert_allclose(found.loss, 1.25 / 8.0, rtol=1e-4)
  assert found.met
  # A mask is a measurement, too.
  rows = np.eye(6, dtype=np.float32)[:2]
  same = lcjax.linear_measurement(MODEL, rows)(
    jnp.ones(4), {'measurement': TRUE[0].ravel()[:2]}
  )
  known = lcjax.known_pixels(MODEL, MASK)(jnp.ones(4), {'pixels': TRUE[0]})
  np.testing.assert_allclose(same.loss, known.loss, rtol=1e-4)


def answers(mover):
  """Three answers for each of 20 samples: errors of known values, spreads."""
  target = {'pixels': np.repeat(TRUE[:20], 3, axis=0)}
  start = lcjax.prior_start(MODEL)({}, ROWS, KEY)
  x = MODEL.decode(mover(start, target, ROWS, KEY).z)
  gaps = np.square(x - target['pixels'])
  return (
    gaps[:, MASK > 0].mean(),
    x.reshape(20, 3, 2, 3).std(axis=1)[:, MASK == 0].mean(),
    np.square(MODEL.decode(start) - target['pixels'])[:, MASK > 0].mean(),
  )


def test_optimizer_g_gives_several_answers_that_agree_with_what_is_known():
  known = lcjax.known_pixels(MODEL, MASK, tolerance=1e-3)
  error, spread, before = answers(
    lcjax.optimizer(known, lcjax.adam(0.05), max_steps=300)
  )
  assert before > 1.0
  assert error < 2e-3
  assert spread > 0.3


def test_the_guided_denoiser_does_so_as_likely():
  """With the exact score of N(0, I): the spread is that of the posterior."""
  normal = mixtures.Mixture(
    np.ones(1), np.zeros((1, 4)), np.eye(4)[None], np.zeros((1, 0))
  )
  known = lcjax.known_pixels(MODEL, MASK, noise=1.0)
  prepared = mixtures.prepare(normal, np.zeros(4), np.ones(4))
  guided = denoiser.Denoiser(
    jnp.zeros(4),
    jnp.ones(4),
    (
      denoiser.Phase(
        denoiser.MixtureVelocity(prepared),
        known,
        1.0,
        denoise.make_schedule(200),
        1.0,
      ),
    ),
    noised=False,
  )
  error, spread, before = answers(guided)
  assert before > 1.0
  # z has the precision I + A' A for the known rows A. Three draws have, on
  # average, .72 of the true standard deviation.
  seen = BASIS.T.reshape(2, 3, 4)[MASK > 0]
  cov = np.linalg.inv(np.eye(4) + seen.T @ seen)
  rest = BASIS.T.reshape(2, 3, 4)[MASK == 0]
  expected = np.sqrt(np.einsum('pi,ij,pj->p', rest, cov, rest)).mean()
  assert error < 0.5 * before
  np.testing.assert_allclose(spread, 0.72 * expected, rtol=0.25)


@pytest.mark.parametrize(
  'make, said',
  [
    (
      lambda: lcjax.known_pixels(MODEL, np.ones(6)),
      r'mask: the shape is \(6,\)',
    ),
    (lambda: lcjax.known_pixels(MODEL, 0 * MASK), 'mask: it must be 1 where'),
    (lambda: lcjax.known_pixels(MODEL, 2 * MASK), 'mask: it must be 1 where'),
    (lambda: lcjax.known_pixels(MODEL, MASK, noise=0.0), 'noise=0.0 must be'),
    (
      lambda: lcjax.known_pixels(MODEL, MASK, tolerance=-1.0),
      'tolerance=-1.0 must be',
    ),
    (
      lambda: lcjax.linear_measurement(MODEL, np.ones((2, 5))),
      r'the shape is \(2, 5\), it must be \(M, 6\)',
    ),
    (
      lambda: lcjax.linear_measurement(MODEL, np.full((1, 6), np.nan)),
      'matrix: a value is NaN',
    ),
  ],
)
def test_what_does_not_fit_is_one_line(make, said):
  with pytest.raises(errors.UserError, match=said) as caught:
    make()
  assert '\n' not in str(caught.value)


def test_another_mask_compiles_nothing_and_has_no_opposite():
  one = lcjax.known_pixels(MODEL, MASK)
  other = lcjax.known_pixels(MODEL, 1 - MASK, tolerance=0.5)
  assert jax.tree.structure(one) == jax.tree.structure(other)
  with pytest.raises(errors.UserError, match='no opposite without a margin'):
    lcjax.negate(one)
