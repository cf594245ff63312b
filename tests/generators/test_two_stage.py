"""Two stages as one model: its map of latents, and a gamma that is learned."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from lcjax.generators import latent_model, two_stage
from lcjax.latent import noise
from lcjax.models import apply, second_vae
from lcjax.training import objectives, steps
from lcjax.training import state as state_lib

SIZE = 3
MODULE = second_vae.SecondVae(SIZE, (8, 6), 'tanh')
MEAN = np.array([1.0, -2.0, 0.5], np.float32)
STD = np.array([0.5, 2.0, 1.0], np.float32)


def decode(params, z):
  return params * z


def encode(params, x):
  """The mean is exact, and the scale grows with x."""
  return x / params, 0.1 + 0.01 * jnp.abs(x)


FIRST = latent_model.latent_model(jnp.float32(2.0), decode, SIZE, encode)


GAMMA = np.array([0.5, 0.2, 0.4], np.float32)


def make():
  params = MODULE.init(jax.random.key(0), np.zeros((1, SIZE), np.float32))
  params['params']['log_gamma'] = jnp.log(GAMMA)
  units = jnp.asarray(MEAN), jnp.asarray(STD)
  model = two_stage.of_two_stages(FIRST, MODULE, params, *units)
  return model, params


def test_a_draw_of_the_prior_is_one_of_both_stages():
  model, params = make()
  assert model.latent_size == 2 * SIZE
  latents = model.draw_prior(np.arange(4), jax.random.key(1))
  u, e = latents[:, :SIZE], latents[:, SIZE:]
  unit = MODULE.apply(params, u, method='decode') + GAMMA * e
  unit = np.asarray(unit)
  np.testing.assert_allclose(
    model.decode(latents), 2.0 * (MEAN + STD * unit), rtol=1e-5
  )


def test_decoded_means_are_what_the_first_model_reconstructs():
  model, params = make()
  x = np.random.default_rng(0).normal(size=(6, SIZE)).astype(np.float32)
  mean, scale = model.encode(x)
  # The first model's mean is exact, so x comes back.
  np.testing.assert_allclose(model.decode(mean), x, rtol=1e-4, atol=1e-5)
  z, z_scale = (np.asarray(part) for part in encode(2.0, x))
  u, u_scale = MODULE.apply(params, (z - MEAN) / STD, method='encode')
  np.testing.assert_allclose(mean[:, :SIZE], u, rtol=1e-4, atol=1e-5)
  np.testing.assert_allclose(scale[:, :SIZE], u_scale, rtol=1e-4)
  # Where u is known, z has the scale of q(z|x).
  back = np.asarray(scale)[:, SIZE:] * GAMMA * STD
  np.testing.assert_allclose(back, z_scale, rtol=1e-4)


def linear_encode(params, z):
  """q(u|z) of a scalar u: what the closed form needs."""
  mean = z @ params['encoder']
  return mean, jax.nn.softplus(params['raw']) * jnp.ones_like(mean)


def linear_decode(params, u):
  return u @ params['decoder']


def gamma_of(params):
  return jnp.exp(params['log_gamma'])


def test_gamma_becomes_the_spread_of_what_is_left():
  # z = u w + gamma e is a factor analysis with one factor of three dimensions:
  # the maximum of the evidence has w up to its sign, and gamma.
  rng = np.random.default_rng(0)
  w = np.array([[1.5, -1.0, 0.5]], np.float32)
  z = rng.normal(size=(4000, 1)) @ w + GAMMA * rng.normal(size=(4000, 3))
  loss = objectives.make_second_vae_loss(linear_encode, linear_decode, gamma_of)
  params = {
    'encoder': jnp.array([[0.1], [-0.1], [0.1]]),
    'raw': jnp.zeros(()),
    'decoder': jnp.array([[0.3, -0.2, 0.1]]),
    'log_gamma': jnp.zeros(3),
  }
  tx = optax.adam(optax.cosine_decay_schedule(0.02, 1500))
  network = state_lib.create_network(params, tx, False)
  step = jax.jit(steps.make_update(loss, tx))
  batch = {
    'mean': jnp.asarray(z, jnp.float32),
    'scale': jnp.zeros_like(z, jnp.float32),
    'row': jnp.arange(len(z)),
  }
  for _ in range(1500):
    network, metrics = step(network, batch, jax.random.key(0))
  gamma = np.exp(network.params['log_gamma'])
  np.testing.assert_allclose(gamma, GAMMA, rtol=0.1)
  np.testing.assert_allclose(
    metrics['gamma'], np.cbrt(np.prod(gamma)), rtol=0.01
  )
  found = np.asarray(network.params['decoder'])
  np.testing.assert_allclose(np.abs(found), np.abs(w), atol=0.06)
  # The bound is tight here: the evidence of N(0, w w' + diag(gamma^2)).
  covariance = w.T @ w + np.diag(GAMMA**2)
  sign, logdet = np.linalg.slogdet(covariance)
  squared = np.einsum('ni,ij,nj->n', z, np.linalg.inv(covariance), z).mean()
  evidence = -0.5 * (squared + sign * logdet + 3 * np.log(2 * np.pi))
  np.testing.assert_allclose(metrics['elbo_nats'], evidence, atol=0.03)


def test_the_loss_keeps_the_logarithm_of_gamma():
  loss = objectives.make_second_vae_loss(linear_encode, linear_decode, gamma_of)
  z = jnp.array([[1.0, 2.0, -1.0]])
  batch = {'mean': z, 'scale': 0.5 * jnp.ones_like(z), 'row': jnp.array([4])}
  key = jax.random.key(9)
  params = {
    'encoder': jnp.ones((3, 1)),
    'raw': jnp.zeros(()),
    'decoder': jnp.ones((1, 3)),
    'log_gamma': jnp.log(jnp.array([0.4, 0.2, 0.8])),
  }
  found, metrics = loss(params, batch, key)
  z_key, u_key = jax.random.split(key)
  drawn = z + 0.5 * noise.normal(z_key, batch['row'], 3)
  mean, scale = linear_encode(params, drawn)
  u = mean + scale * noise.normal(u_key, batch['row'], 1)
  gamma = np.array([0.4, 0.2, 0.8])
  squared = float(np.sum(np.square(np.asarray(drawn - u) / gamma)))
  log_likelihood = (
    -0.5 * squared - np.log(gamma).sum() - 1.5 * np.log(2 * np.pi)
  )
  s = float(np.log(2.0))
  kl = 0.5 * (float(mean[0, 0]) ** 2 + s**2 - 1) - np.log(s)
  np.testing.assert_allclose(found, kl - log_likelihood, rtol=1e-5)
  np.testing.assert_allclose(metrics['gamma'], 0.4, rtol=1e-5)
  assert apply.Apply(MODULE) == apply.Apply(
    second_vae.SecondVae(SIZE, (8, 6), 'tanh')
  )
