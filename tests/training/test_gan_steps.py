"""The steps of a GAN, of networks with one number, by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from lcjax.losses import divergences
from lcjax.training import gan_steps, latent_steps
from lcjax.training import state as state_lib

KEY = jax.random.key(0)
RATE = 0.1
PIXELS = 4  # of an image of 2x2


def softplus(v):
  return np.log1p(np.exp(v))


def sigmoid(v):
  return 1 / (1 + np.exp(-v))


def flat(params, z, y):
  """A generator of the same grey image from every latent."""
  del y
  return jnp.full((len(z), 2, 2, 1), params['w'])


def noisy(params, z, y):
  """A generator whose pixels are its latent, moved."""
  return z.reshape(-1, 2, 2, 1) + params['w'] + 0.0 * jnp.sum(y)


def linear(params, x, y):
  """A discriminator that sums pixels, and knows that labels are in order."""
  return params['v'] * jnp.sum(x, axis=(1, 2, 3)) + y @ jnp.arange(y.shape[-1])


def make(generator_fn=flat, weights=None, decay=0.5, **arguments):
  tx = optax.sgd(RATE)
  weights = {
    'moved': 1.0, 'prior': 0.0, 'mismatched': 0.0, 'gradient_penalty': 0.0,
  } | (weights or {})  # fmt: skip
  step = gan_steps.make_gan_step(
    generator_fn,
    linear,
    latent_size=PIXELS,
    generator_tx=tx,
    discriminator_tx=tx,
    weights=latent_steps.CriticWeights(**weights),
    average_decay=decay,
    **{'divergence': divergences.GAN} | arguments,
  )
  state = state_lib.create(
    {
      'generator': state_lib.create_network(
        {'w': jnp.float32(0.3)}, tx, decay > 0
      ),
      'discriminator': state_lib.create_network(
        {'v': jnp.float32(0.7)}, tx, False
      ),
    }
  )
  return jax.jit(step), state


def batch_of(*greys, **further):
  """Images of one grey each, in [0, 1]."""
  levels = np.round(255 * np.array(greys)).astype(np.uint8)
  images = np.tile(levels[:, None, None, None], (1, 2, 2, 1))
  return {'image': images, 'row': np.arange(len(greys))} | further


def values(state):
  return (
    float(state['generator'].params['w']),
    float(state['discriminator'].params['v']),
  )


def test_a_step_of_the_non_saturating_loss_with_penalties_by_hand():
  step, state = make(weights={'r1': 2.0, 'r2': 0.5})
  new, metrics = step(state, batch_of(0.2, 0.8), KEY)
  v, w, real = 0.7, 0.3, np.array([0.2, 0.8]) * PIXELS
  fake = w * PIXELS
  # The gradient by each of the four pixels is v, so |grad|^2 / 2 = 2 v^2.
  penalty = (2.0 + 0.5) * 0.5 * PIXELS * v**2
  loss = softplus(-v * real).mean() + softplus(v * fake) + penalty
  np.testing.assert_allclose(metrics['critic_loss'], loss, rtol=1e-5)
  gradient = (
    -np.mean(sigmoid(-v * real) * real)
    + sigmoid(v * fake) * fake
    + 2.5 * PIXELS * v
  )
  np.testing.assert_allclose(metrics['critic_grad_norm'], gradient, rtol=1e-5)
  np.testing.assert_allclose(
    metrics['generator_score'], sigmoid(v * fake), rtol=1e-5
  )
  np.testing.assert_allclose(
    metrics['discriminator_score'],
    (sigmoid(v * real).mean() + 1 - sigmoid(v * fake)) / 2,
    rtol=1e-5,
  )
  v -= RATE * gradient
  # The generator sees the updated discriminator.
  np.testing.assert_allclose(
    metrics['generator_loss'], softplus(-v * fake), rtol=1e-5
  )
  gradient = -sigmoid(-v * fake) * v * PIXELS
  np.testing.assert_allclose(
    metrics['mover_grad_norm'], abs(gradient), rtol=1e-5
  )
  np.testing.assert_allclose(values(new), (w - RATE * gradient, v), rtol=1e-5)
  assert float(metrics['diversity']) == 0.0


def test_pairs_are_compared_with_the_real_row_of_their_place():
  step, state = make(divergence=divergences.PAIRING)
  new, metrics = step(state, batch_of(0.2, 0.8), KEY)
  w, real = 0.3, np.array([0.2, 0.8]) * PIXELS
  gap = w * PIXELS - real
  v = 0.7 - RATE * np.mean(sigmoid(0.7 * gap) * gap)
  np.testing.assert_allclose(
    metrics['critic_loss'], softplus(0.7 * gap).mean(), rtol=1e-5
  )
  np.testing.assert_allclose(
    metrics['generator_loss'], softplus(-v * gap).mean(), rtol=1e-5
  )
  w += RATE * np.mean(sigmoid(-v * gap)) * v * PIXELS
  np.testing.assert_allclose(values(new), (w, v), rtol=1e-5)


def test_real_images_with_labels_of_other_rows_are_fakes():
  y, other = np.eye(3, dtype=np.float32)[[1, 2]], np.eye(3)[[1, 0]]
  batch = batch_of(
    0.5, 0.5, attributes=y, other_attributes=other.astype(np.float32)
  )
  step, state = make(weights={'moved': 0.0, 'mismatched': 3.0})
  _, metrics = step(state, batch, KEY)
  v = 0.7 * 0.5 * PIXELS
  # The first row's other label is its own, so it is no mismatch.
  loss = (softplus(-(v + 1)) + softplus(-(v + 2))) / 2 + 3 * softplus(v) / 2
  np.testing.assert_allclose(metrics['critic_loss'], loss, rtol=5e-3)


def test_fakes_are_made_for_the_labels_of_their_rows():
  def by_label(params, z, y):
    del z
    grey = params['w'] * (y @ jnp.arange(3.0))
    return jnp.broadcast_to(grey[:, None, None, None], (len(y), 2, 2, 1))

  y, other = np.eye(3, dtype=np.float32)[[1, 2]], np.eye(3)[[0, 1]]
  batch = batch_of(
    0.5, 0.5, attributes=y, other_attributes=other.astype(np.float32)
  )
  step, state = make(by_label)
  _, metrics = step(state, batch, KEY)
  order = np.array([1.0, 2.0])
  real, fake = 0.7 * 0.5 * PIXELS + order, 0.7 * 0.3 * PIXELS * order + order
  loss = (softplus(-real) + softplus(fake)).mean()
  np.testing.assert_allclose(metrics['critic_loss'], loss, rtol=5e-3)


def test_noise_depends_on_the_row_and_the_step_alone():
  step, state = make(noisy)
  batch = batch_of(0.2, 0.8, 0.4)
  first, metrics = step(state, batch, KEY)
  again, same = step(state, batch, KEY)
  assert values(first) == values(again)
  assert float(metrics['generator_loss']) == float(same['generator_loss'])
  turned = {name: array[::-1] for name, array in batch.items()}
  other, _ = step(state, turned, KEY)
  np.testing.assert_allclose(values(other), values(first), rtol=1e-5)
  later = state_lib.TrainState(state.step + 1, state.networks)
  _, moved = step(later, batch, KEY)
  assert float(moved['critic_loss']) != float(metrics['critic_loss'])


def test_the_generator_learns_from_other_noise_than_the_discriminator():
  seen = []

  def spy(params, z, y):
    seen.append(z)
    return noisy(params, z, y)

  step, state = make(spy)
  with jax.disable_jit():
    step(state, batch_of(0.2, 0.8), KEY)
  assert len(seen) == 2
  first, second = (np.asarray(jax.device_get(z)) for z in seen)
  assert first.shape == second.shape == (2, PIXELS)
  assert not np.isclose(first, second).any()


def test_diversity_is_the_ratio_of_variances():
  rng = np.random.default_rng(0)
  real = rng.normal(size=(2000, 2, 2, 1))
  assert float(gan_steps.diversity(real[:1000], real[1000:])) == pytest.approx(
    1.0, abs=0.1
  )
  assert float(gan_steps.diversity(0.5 * real, real)) == pytest.approx(0.25)
  assert float(gan_steps.diversity(real[:1], real)) == 0.0


def test_the_generators_parameters_are_averaged():
  step, state = make()
  batch, seen = batch_of(0.2, 0.8), []
  for _ in range(2):
    state, _ = step(state, batch, KEY)
    seen.append(float(state['generator'].params['w']))
  # Debiased: weights 1/3 and 2/3 after two steps of decay 1/2.
  np.testing.assert_allclose(
    state_lib.averaged(state['generator'], 0.5)['w'],
    (seen[0] + 2 * seen[1]) / 3,
    rtol=1e-5,
  )
  assert state['discriminator'].average is None


def test_some_steps_update_the_discriminator_alone():
  step, state = make(discriminator_steps_per_generator_step=2)
  batch = batch_of(0.2, 0.8)
  first, metrics = step(state, batch, KEY)
  assert values(first)[0] == pytest.approx(0.3)
  assert values(first)[1] != pytest.approx(0.7)
  assert float(metrics['mover_grad_norm']) == 0.0
  second, metrics = step(first, batch, KEY)
  assert values(second)[0] != pytest.approx(0.3)
  assert float(metrics['mover_grad_norm']) > 0.0
