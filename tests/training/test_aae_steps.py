"""An adversarial autoencoder of numbers: q(z) follows each prior."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from lcjax.latent import noise, priors
from lcjax.losses import divergences, mmd
from lcjax.models import apply, critic, networks
from lcjax.training import aae_steps, latent_steps, steps
from lcjax.training import state as state_lib

SIZE, ROWS = 2, 128
ENCODER, DECODER = (
  nn.Sequential([networks.Mlp((32, 32), 'silu'), nn.Dense(size)])
  for size in (SIZE, 4)
)
CRITIC = critic.Critic(0, (32, 32), 'silu')
KEY = jax.random.key(0)


def encode(params, images):
  """Of four pixels; a fixed scale."""
  flat = (images.reshape(len(images), -1) - 0.5) * 3.5
  mean = apply.Apply(ENCODER)(params['encoder'], flat)
  return mean, 0.05 * jnp.ones_like(mean)


def decode(params, z):
  flat = apply.Apply(DECODER)(params['decoder'], z)
  return jax.nn.sigmoid(flat).reshape(-1, 2, 2, 1)


def batches(count):
  rng = np.random.default_rng(0)
  for _ in range(count):
    yield {
      'image': rng.integers(0, 256, (ROWS, 2, 2, 1)).astype(np.uint8),
      'row': np.arange(ROWS),
    }


def autoencoder(prior, match_weight=10.0):
  return aae_steps.Autoencoder(encode, decode, prior, 0.3, match_weight)


def begin(tx):
  one, two, three = jax.random.split(KEY, 3)
  params = {
    'encoder': ENCODER.init(one, jnp.zeros((1, 4))),
    'decoder': DECODER.init(two, jnp.zeros((1, SIZE))),
  }
  return state_lib.create(
    {
      'autoencoder': state_lib.create_network(params, tx, False),
      'critic': state_lib.create_network(
        CRITIC.init(three, jnp.zeros((1, SIZE))), tx, False
      ),
    }
  )


def adversarial(of, tx, **weights):
  return aae_steps.make_aae_step(
    of,
    apply.Apply(CRITIC),
    tx,
    tx,
    latent_steps.CriticWeights(1.0, 0.0, 0.0, 0.0, **weights),
    divergences.GAN,
    0.0,
  )


def encodings(params):
  images = next(batches(1))['image'] / 255.0
  mean, scale = encode(params, jnp.asarray(images))
  return mean + scale * noise.normal(KEY, jnp.arange(ROWS), SIZE)


def distance(params, prior):
  p = prior(None, KEY, jnp.arange(ROWS))
  size = 2.0 * float(jnp.sum(prior.std**2))
  return float(mmd.mmd(encodings(params), p, size))


@pytest.mark.parametrize('name', ['gaussian', 'uniform', 'mixture'])
@pytest.mark.parametrize('kind', ['critic', 'mmd'])
def test_encodings_follow_the_prior(name, kind):
  prior = priors.PRIORS[name](SIZE)
  tx = optax.adam(3e-3, b1=0.5)
  state, of = begin(tx), autoencoder(prior)
  before = distance(state['autoencoder'].params, prior)
  if kind == 'critic':
    step = jax.jit(adversarial(of, tx, r1=0.1, r2=0.1))
  else:
    update = steps.make_update(aae_steps.make_mmd_loss(of), tx)
    step = jax.jit(steps.make_train_step({'autoencoder': update}))
  errors = []
  for batch in batches(600):
    state, metrics = step(state, batch, KEY)
    errors.append(float(metrics['pixel_mse']))
  params = state['autoencoder'].params
  z = encodings(params)
  assert distance(params, prior) < 0.15 * before
  np.testing.assert_allclose(z.std(axis=0), prior.std, rtol=0.35)
  if name == 'uniform':
    assert np.mean(np.abs(z) > 1.1) < 0.1
  # It is an autoencoder still: uniform pixels have a variance of 1 / 12.
  assert errors[-1] < 0.75 / 12.0 < errors[0]


def test_the_prior_is_what_is_real_to_the_critic():
  prior = priors.Uniform(SIZE)
  tx = optax.sgd(0.1)
  state, of = begin(tx), autoencoder(prior, match_weight=7.0)
  (batch,) = batches(1)
  new, metrics = jax.jit(adversarial(of, tx))(state, batch, KEY)
  key = jax.random.fold_in(KEY, 0)
  draw_key, prior_key, _, own_key = jax.random.split(key, 4)
  images = jnp.asarray(batch['image']) / 255.0
  rows = jnp.arange(ROWS)
  critic_fn = apply.Apply(CRITIC)
  p = critic_fn(state['critic'].params, prior(None, prior_key, rows))
  old = state['autoencoder'].params
  q = critic_fn(state['critic'].params, of.sample(old, images, rows, draw_key))
  loss = jnp.mean(jax.nn.softplus(-p)) + jnp.mean(jax.nn.softplus(q))
  np.testing.assert_allclose(metrics['critic_loss'], loss, rtol=1e-4)
  np.testing.assert_allclose(
    metrics['generator_score'], jnp.mean(jax.nn.sigmoid(q)), rtol=1e-4
  )
  # The encoder is moved against the critic after its update, on other draws.
  moved = critic_fn(new['critic'].params, of.sample(old, images, rows, own_key))
  match = jnp.mean(jax.nn.softplus(-moved))
  np.testing.assert_allclose(metrics['match'], match, rtol=1e-4)
  np.testing.assert_allclose(
    metrics['loss'], 7.0 * match - metrics['reconstruction_nats'], rtol=1e-4
  )
  assert {'critic_grad_norm', 'mover_grad_norm', 'diversity'} <= set(metrics)


def test_the_mmd_counts_times_the_rows():
  prior = priors.Mixture(SIZE)
  of = autoencoder(prior, match_weight=2.0)
  params = begin(optax.sgd(0.1))['autoencoder'].params
  (batch,) = batches(1)
  loss, metrics = aae_steps.make_mmd_loss(of)(params, batch, KEY)
  own_key, prior_key = jax.random.split(KEY)
  rows = jnp.arange(ROWS)
  z = of.sample(params, jnp.asarray(batch['image']) / 255.0, rows, own_key)
  size = 2.0 * float(jnp.sum(prior.std**2))
  expected = ROWS * mmd.mmd(z, prior(None, prior_key, rows), size)
  np.testing.assert_allclose(metrics['match'], expected, rtol=1e-3)
  np.testing.assert_allclose(
    loss, 2.0 * expected - metrics['reconstruction_nats'], rtol=1e-3
  )
