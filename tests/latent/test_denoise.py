"""Sampling latents from noise, against Gaussians whose score is known."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lcjax.latent import denoise

MEAN, STD = 1.5, 0.5  # of the data
SEEN, BLUR = 2.5, 0.7  # an observation of z, and its standard deviation
NUM_ROWS = 4000


def posterior(z, t):
  """Mean and variance of the clean latent given z_t, for Gaussian data."""
  signal, sigma = (scale[:, None] for scale in denoise.scales(t))
  total = (signal * STD) ** 2 + sigma**2
  mean = MEAN + signal * STD**2 / total * (z - signal * MEAN)
  return mean, STD**2 * sigma**2 / total


def velocity_fn(z, t):
  """What a perfect denoiser of N(MEAN, STD^2) predicts."""
  signal, sigma = (scale[:, None] for scale in denoise.scales(t))
  clean, _ = posterior(z, t)
  return signal * (z - signal * clean) / sigma - sigma * clean


def no_energy(z, t, target):
  return jnp.zeros(len(z))


def observed(z, t, target):
  """-log p(target | z_t), exactly: the target is z seen with noise BLUR."""
  mean, variance = posterior(z, t)
  total = variance + BLUR**2
  return jnp.sum(0.5 * (target - mean) ** 2 / total + jnp.log(total) / 2, -1)


@functools.partial(jax.jit, static_argnums=(0, 4))
def sample(energy_fn, start, target, rows, schedule):
  return denoise.guided_denoise(
    velocity_fn, energy_fn, start, target, rows, jax.random.key(1), schedule
  )


def start_of(rows):
  return jax.random.normal(jax.random.key(0), (len(rows), 2))


def test_scales_turn_from_signal_to_noise():
  t = jnp.linspace(0.0, 1.0, 11)
  signal, sigma = denoise.scales(t)
  np.testing.assert_allclose(signal**2 + sigma**2, 1.0, rtol=1e-6)
  assert (signal[0], sigma[0]) == (1.0, 0.0)
  assert 0.0 < signal[-1] < 0.05
  assert np.all(np.diff(signal) < 0)


def test_latent_and_noise_follow_from_the_velocity():
  z, eps = np.random.default_rng(0).normal(size=(2, 5, 3)).astype(np.float32)
  t = jnp.linspace(0.0, 1.0, 5)
  noised = denoise.add_noise(z, t, eps)
  v = denoise.velocity(z, t, eps)
  signal, sigma = (scale[:, None] for scale in denoise.scales(t))
  np.testing.assert_allclose(signal * noised - sigma * v, z, atol=1e-5)
  np.testing.assert_allclose(sigma * noised + signal * v, eps, atol=1e-5)


@pytest.mark.parametrize('eta', [0.0, 0.5, 1.0])
def test_noise_becomes_data(eta):
  rows = jnp.arange(NUM_ROWS)
  schedule = denoise.Schedule(100, 1.0, eta)
  z = sample(no_energy, start_of(rows), None, rows, schedule)
  np.testing.assert_allclose(z.mean(0), MEAN, atol=0.04)
  np.testing.assert_allclose(z.std(0), STD, atol=0.03)


@pytest.mark.parametrize('eta', [0.0, 1.0])
def test_guidance_samples_the_posterior(eta):
  """Bayes' rule for Gaussians: precision-weighted mean, summed precision."""
  rows = jnp.arange(NUM_ROWS)
  target = jnp.full((NUM_ROWS, 2), SEEN)
  schedule = denoise.Schedule(200, 1.0, eta)
  z = sample(observed, start_of(rows), target, rows, schedule)
  precision = 1 / STD**2 + 1 / BLUR**2
  mean = (MEAN / STD**2 + SEEN / BLUR**2) / precision
  np.testing.assert_allclose(z.mean(0), mean, atol=0.04)
  np.testing.assert_allclose(z.std(0), precision**-0.5, atol=0.03)


def test_a_row_depends_on_itself_alone():
  rows = jnp.arange(8)
  schedule = denoise.Schedule(5, 1.0, 1.0)
  start = start_of(rows)
  target = jnp.arange(8.0)[:, None] * jnp.ones((1, 2))
  whole = sample(observed, start, target, rows, schedule)
  order = jnp.array([6, 1, 3])
  some = sample(observed, start[order], target[order], order, schedule)
  np.testing.assert_allclose(some, whole[order], rtol=1e-5)


def test_a_partly_noised_start_stays_near():
  """The less noise sampling starts from, the less it moves a latent."""
  rows = jnp.arange(500)
  z = MEAN + STD * start_of(rows)
  eps = jax.random.normal(jax.random.key(2), z.shape)
  moved = []
  for time in (0.1, 0.4, 1.0):
    noised = denoise.add_noise(z, jnp.full(len(z), time), eps)
    end = sample(no_energy, noised, None, rows, denoise.Schedule(20, time, 0.0))
    moved.append(float(jnp.mean((end - z) ** 2)))
  assert moved[0] < 0.1 * moved[2]
  assert moved[0] < moved[1] < moved[2]


def test_sampling_may_be_split():
  """Ended on the way and gone on from there: the same steps, the same end."""
  rows = jnp.arange(50)
  start = start_of(rows)
  whole = sample(no_energy, start, None, rows, denoise.Schedule(10, 1.0, 0.0))
  half = sample(
    no_energy, start, None, rows, denoise.Schedule(5, 1.0, 0.0, 0.5)
  )
  ended = sample(no_energy, half, None, rows, denoise.Schedule(5, 0.5, 0.0))
  assert not np.allclose(half, whole, atol=0.1)
  np.testing.assert_allclose(ended, whole, atol=1e-4)


@pytest.mark.parametrize('dtype', [np.float32, np.float64])
def test_times_follow_the_latents_dtype(dtype):
  schedule = denoise.Schedule(4, 1.0, 0.5)
  with jax.enable_x64(True):
    start = jnp.ones((3, 2), dtype)
    found = sample(no_energy, start, None, jnp.arange(3), schedule)
  assert found.dtype == dtype
