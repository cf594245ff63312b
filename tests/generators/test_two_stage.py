"""A second VAE of latents: its loss, and what it draws, encodes and decodes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lcjax.generators import latent_model, two_stage
from lcjax.latent import noise
from lcjax.models import apply, second_vae
from lcjax.training import fit, objectives, optimizer_spec

Z = 3
MODULE = second_vae.SecondVae(Z, (16,), 'silu')
MEAN, STD = np.array([1.0, -2.0, 0.5]), np.array([0.5, 2.0, 1.0])


def decode_first(params, z):
  return params * z


def encode_first(params, x):
  return x / params, jnp.full_like(x, 0.1)


@pytest.fixture(scope='module')
def model():
  params = MODULE.init(jax.random.key(0), jnp.zeros((1, Z)))
  params['params']['log_gamma'] = jnp.log(0.3)
  first = latent_model.LatentModel(2.0, decode_first, Z, encode_first)
  return two_stage.of_two_stage(first, MODULE, params, MEAN, STD)


def test_the_mean_of_an_encoding_decodes_to_the_image(model):
  x = np.random.default_rng(0).normal(size=(50, Z)).astype(np.float32)
  mean, scale = model.encode(x)
  assert mean.shape == scale.shape == (50, 2 * Z)
  np.testing.assert_allclose(model.decode(mean), x, rtol=1e-4, atol=1e-4)
  # That of e is the first encoder's, in units of its noise.
  np.testing.assert_allclose(
    scale[:, Z:], np.broadcast_to(0.1 / STD / 0.3, (50, Z)), rtol=1e-5
  )


def test_a_draw_has_the_noise_of_the_second_decoder(model):
  rows = np.arange(4000)
  own = model.draw_prior(rows, jax.random.key(1))
  own[:, :Z] = 0.0  # the same u for all: only the noise is left
  z = model.decode(own) / 2.0
  np.testing.assert_allclose(z.std(axis=0), 0.3 * STD, rtol=0.05)


def make_loss():
  return objectives.make_second_vae_loss(
    apply.Apply(MODULE, 'encode'), apply.Apply(MODULE, 'decode')
  )


def test_the_loss_is_the_bound_with_the_log_of_gamma():
  params = MODULE.init(jax.random.key(2), jnp.zeros((1, Z)))
  key, rows = jax.random.key(3), jnp.arange(8)
  z = np.random.default_rng(1).normal(size=(8, Z)).astype(np.float32)
  batch = {'mean': z, 'scale': np.zeros_like(z), 'row': rows}

  def at(gamma):
    own = jax.tree.map(lambda leaf: leaf, params)
    own['params']['log_gamma'] = jnp.log(gamma)
    return own, float(make_loss()(own, batch, key)[0])

  own, loss = at(0.5)
  mean, scale = MODULE.apply(own, z, method='encode')
  eps = noise.normal(jax.random.split(key)[1], rows, Z)
  found, _ = MODULE.apply(own, mean + scale * eps, method='decode')
  squares = np.sum(np.square(z - found), axis=1)
  kl = 0.5 * np.sum(mean**2 + scale**2 - 1.0 - 2.0 * np.log(scale), axis=1)
  by_hand = (
    squares / 2 / 0.25 + Z * (np.log(0.5) + 0.5 * np.log(2 * np.pi)) + kl
  )
  assert loss == pytest.approx(float(np.mean(by_hand)), rel=1e-5)
  # Of all gammas, the best is the error that there is.
  best = float(np.sqrt(np.mean(squares) / Z))
  assert at(best)[1] < min(at(0.8 * best)[1], at(1.25 * best)[1])


def test_draws_have_the_shape_of_the_latents():
  """Two clusters, which a Gaussian fitted to them would fill between."""
  rng = np.random.default_rng(2)
  sign = rng.choice([-1.0, 1.0], size=(4000, 1))
  z = np.concatenate(
    [sign + 0.1 * rng.normal(size=(4000, 1)), rng.normal(size=(4000, 2))], 1
  ).astype(np.float32)

  def make_batches(step, count):
    rows = np.random.default_rng(step).integers(4000, size=(count, 128))
    numbers = np.broadcast_to(np.arange(128), rows.shape)
    zeros = np.zeros((count, 128, Z), np.float32)
    return {'mean': z[rows], 'scale': zeros, 'row': numbers}

  params = fit.fit_network(
    'second',
    make_loss(),
    MODULE.init(jax.random.key(0), jnp.zeros((1, Z))),
    optimizer_spec.adam(3e-3),
    make_batches,
    jax.random.key(4),
    2000,
    progress=False,
  )
  first = latent_model.LatentModel(1.0, decode_first, Z, encode_first)
  model = two_stage.of_two_stage(first, MODULE, params, np.zeros(Z), np.ones(Z))
  drawn = model.decode(model.draw_prior(np.arange(2000), jax.random.key(5)))
  between = np.mean(np.abs(drawn[:, 0]) < 0.5)
  assert between < 0.12  # of a Gaussian, .38
  assert np.mean(drawn[:, 0] > 0) == pytest.approx(0.5, abs=0.1)
  np.testing.assert_allclose(drawn[:, 1:].std(axis=0), 1.0, atol=0.15)
