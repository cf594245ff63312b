"""Sampling latents from noise, against Gaussians whose score is known."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lcjax import errors
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


def no_energy(z, t, velocity, target):
  return jnp.zeros(len(z))


def observed(z, t, velocity, target):
  """-log p(target | z_t), exactly: the target is z seen with noise BLUR."""
  mean, variance = posterior(z, t)
  total = variance + BLUR**2
  return jnp.sum(0.5 * (target - mean) ** 2 / total + jnp.log(total) / 2, -1)


@functools.partial(jax.jit, static_argnames=('energy_fn', 'eta'))
def sample(energy_fn, start, target, rows, schedule, eta=0.0):
  return denoise.guided_denoise(
    velocity_fn,
    energy_fn,
    start,
    target,
    rows,
    jax.random.key(1),
    schedule,
    eta,
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
@pytest.mark.parametrize(
  ('order', 'spacing', 'num_steps'),
  [
    (1, 'uniform', 100),
    (2, 'uniform', 20),
    (2, 'quadratic', 40),
    (2, 'log_snr', 40),
  ],
)
def test_noise_becomes_data(eta, order, spacing, num_steps):
  rows = jnp.arange(NUM_ROWS)
  schedule = denoise.make_schedule(num_steps, order=order, spacing=spacing)
  z = sample(no_energy, start_of(rows), None, rows, schedule, eta)
  np.testing.assert_allclose(z.mean(0), MEAN, atol=0.04)
  np.testing.assert_allclose(z.std(0), STD, atol=0.03)


@pytest.mark.parametrize('eta', [0.0, 1.0])
@pytest.mark.parametrize(('order', 'num_steps'), [(1, 200), (2, 30)])
def test_guidance_samples_the_posterior(eta, order, num_steps):
  """Bayes' rule for Gaussians: precision-weighted mean, summed precision."""
  rows = jnp.arange(NUM_ROWS)
  target = jnp.full((NUM_ROWS, 2), SEEN)
  schedule = denoise.make_schedule(num_steps, order=order)
  z = sample(observed, start_of(rows), target, rows, schedule, eta)
  precision = 1 / STD**2 + 1 / BLUR**2
  mean = (MEAN / STD**2 + SEEN / BLUR**2) / precision
  np.testing.assert_allclose(z.mean(0), mean, atol=0.04)
  np.testing.assert_allclose(z.std(0), precision**-0.5, atol=0.03)


def test_a_row_depends_on_itself_alone():
  rows = jnp.arange(8)
  schedule = denoise.make_schedule(5)
  start = start_of(rows)
  target = jnp.arange(8.0)[:, None] * jnp.ones((1, 2))
  whole = sample(observed, start, target, rows, schedule, 1.0)
  order = jnp.array([6, 1, 3])
  some = sample(observed, start[order], target[order], order, schedule, 1.0)
  np.testing.assert_allclose(some, whole[order], rtol=1e-5)


def test_a_partly_noised_start_stays_near():
  """The less noise sampling starts from, the less it moves a latent."""
  rows = jnp.arange(500)
  z = MEAN + STD * start_of(rows)
  eps = jax.random.normal(jax.random.key(2), z.shape)
  moved = []
  for time in (0.1, 0.4, 1.0):
    noised = denoise.add_noise(z, jnp.full(len(z), time), eps)
    end = sample(no_energy, noised, None, rows, denoise.make_schedule(20, time))
    moved.append(float(jnp.mean((end - z) ** 2)))
  assert moved[0] < 0.1 * moved[2]
  assert moved[0] < moved[1] < moved[2]


def test_sampling_may_be_split():
  """Ended on the way and gone on from there: the same steps, the same end."""
  rows = jnp.arange(50)
  start = start_of(rows)
  whole, first, second = (
    denoise.make_schedule(*arguments)
    for arguments in ((10,), (5, 1.0, 0.5), (5, 0.5))
  )
  whole = sample(no_energy, start, None, rows, whole)
  half = sample(no_energy, start, None, rows, first)
  ended = sample(no_energy, half, None, rows, second)
  assert not np.allclose(half, whole, atol=0.1)
  np.testing.assert_allclose(ended, whole, atol=1e-4)


@pytest.mark.parametrize('dtype', [np.float32, np.float64])
def test_times_follow_the_latents_dtype(dtype):
  schedule = denoise.make_schedule(4)
  with jax.enable_x64(True):
    start = jnp.ones((3, 2), dtype)
    found = sample(no_energy, start, None, jnp.arange(3), schedule, 0.5)
  assert found.dtype == dtype


# Weights, means and standard deviations, each [1, K].
GAUSSIAN = np.array([[[1.0]], [[1.5]], [[0.4]]])
BIMODAL = np.array([[[0.3, 0.7]], [[-1.0, 1.2]], [[0.3, 0.5]]])


def exact_velocity(parts, z, t):
  """Of a mixture of one-dimensional Gaussians."""
  weights, means, stds = parts
  signal, sigma = (scale[:, None] for scale in denoise.scales(t))
  totals = (signal * stds) ** 2 + sigma**2
  deviations = z - signal * means
  shares = jax.nn.softmax(
    jnp.log(weights) - 0.5 * deviations**2 / totals - 0.5 * jnp.log(totals)
  )
  score = -jnp.sum(shares * deviations / totals, axis=1, keepdims=True)
  return -sigma * (score + z) / signal


@jax.jit
def compiled_walk(parts, z, schedule):
  return denoise.guided_denoise(
    functools.partial(exact_velocity, parts),
    no_energy,
    z,
    None,
    jnp.arange(len(z)),
    jax.random.key(0),
    schedule,
  )


def walk(parts, z, schedule):
  """Unguided, in float64; one program for all schedules of a length."""
  with jax.enable_x64(True):
    wide = jax.tree.map(np.float64, schedule)
    return np.asarray(
      compiled_walk(parts, z, wide._replace(guided=schedule.guided))
    )


def flow(parts, z, start, end):
  """Where a latent of one Gaussian flows, in closed form."""
  _, mean, std = parts.ravel()
  angles = np.array([start, end]) * np.arccos(0.02)
  signals, sigmas = np.cos(angles), np.sin(angles)
  spreads = np.sqrt((signals * std) ** 2 + sigmas**2)
  return signals[1] * mean + spreads[1] / spreads[0] * (z - signals[0] * mean)


@pytest.mark.parametrize('spacing', denoise.SPACINGS)
@pytest.mark.parametrize('parts', [GAUSSIAN, BIMODAL], ids=['one', 'two'])
def test_orders_of_the_solvers(parts, spacing):
  """Errors fall as the first and as the second power of the step."""
  start, end = 0.9, 0.1
  z = np.linspace(-2.0, 2.0, 41)[:, None]
  if parts is GAUSSIAN:
    expected = flow(parts, z, start, end)
  else:
    fine = denoise.make_schedule(2000, start, end, order=2, spacing=spacing)
    expected = walk(parts, z, fine)
  slopes, counts = [], (50, 100, 200, 400)
  for order in (1, 2):
    found = [
      np.abs(
        walk(
          parts,
          z,
          denoise.make_schedule(
            count, start, end, order=order, spacing=spacing
          ),
        )
        - expected
      ).max()
      for count in counts
    ]
    slopes.append(-np.polyfit(np.log(counts), np.log(found), 1)[0])
  assert 0.8 < slopes[0] < 1.3
  assert slopes[1] > 1.8


def test_second_order_by_hand():
  """DPM-Solver++ 2M on an irregular grid, with a velocity of z = 1 + t."""
  angle = np.arccos(0.02)
  times = np.array([0.8, 0.65, 0.3, 0.2])
  signal, sigma = np.cos(times * angle), np.sin(times * angle)
  log_snr = np.log(signal / sigma)
  h = np.diff(log_snr)
  clean = 1.0 + times
  z = 0.5
  for i in range(3):
    ahead = clean[i]
    if i:
      r = h[i - 1] / h[i]
      ahead = (1 + 0.5 / r) * clean[i] - 0.5 / r * clean[i - 1]
    z = sigma[i + 1] / sigma[i] * z
    z -= signal[i + 1] * (np.exp(-h[i]) - 1) * ahead

  def velocity_fn(z, t):
    signal, sigma = (scale[:, None] for scale in denoise.scales(t))
    return (signal * z - (1.0 + t[:, None])) / sigma

  weights = np.array([0.0, 0.5 * h[1] / h[0], 0.5 * h[2] / h[1]])
  found = denoise.guided_denoise(
    velocity_fn,
    no_energy,
    jnp.full((1, 1), 0.5),
    None,
    jnp.arange(1),
    jax.random.key(0),
    denoise.Schedule(times, weights, np.zeros(3, bool)),
  )
  np.testing.assert_allclose(found[0, 0], z, rtol=1e-5)


class TestSchedule:
  def test_first_order_where_clean_latents_do_not_belong_together(self):
    found = denoise.make_schedule(6, order=2, guided=(0.4, 0.7))
    np.testing.assert_allclose(found.times, np.linspace(1, 0, 7), atol=1e-6)
    assert list(found.guided) == [False, False, True, True, False, False]
    assert [w > 0 for w in found.extrapolation] == [
      False, True, False, True, False, False,
    ]  # fmt: skip
    assert not denoise.make_schedule(6).extrapolation.any()

  @pytest.mark.parametrize('spacing', denoise.SPACINGS)
  @pytest.mark.parametrize('end', [0.0, 0.2])
  @pytest.mark.parametrize('count', [1, 2, 7])
  def test_spacings(self, spacing, end, count):
    found = denoise.make_schedule(count, 0.6, end, spacing=spacing).times
    assert len(found) == count + 1
    assert (found[0], found[-1]) == (np.float32(0.6), np.float32(end))
    assert np.all(np.diff(found) < 0)
    if spacing == 'log_snr' and end:
      signal, sigma = denoise.scales(found)
      steps = np.diff(np.log(signal / sigma))
      np.testing.assert_allclose(steps, steps[0], rtol=1e-4)

  @pytest.mark.parametrize(
    ('arguments', 'settings', 'said'),
    [
      ((0,), {}, 'num_steps=0'),
      ((2, 1.5), {}, 'start_time=1.5'),
      ((2, 0.3, 0.3), {}, 'end_time=0.3'),
      ((2,), {'order': 3}, 'order=3'),
      ((2,), {'spacing': 'cubic'}, "spacing='cubic'"),
      ((2,), {'guided': (0.5, 0.2)}, 'guided='),
    ],
  )
  def test_out_of_range(self, arguments, settings, said):
    with pytest.raises(errors.UserError, match=said):
      denoise.make_schedule(*arguments, **settings)


def test_guidance_only_between_its_times():
  """Guided nowhere it is unguided; in a part of the way it differs."""
  rows = jnp.arange(20)
  target = jnp.full((20, 2), SEEN)
  ends = [
    sample(
      energy,
      start_of(rows),
      target,
      rows,
      denoise.make_schedule(10, guided=guided),
    )
    for energy, guided in (
      (no_energy, (0.0, 1.0)),
      (observed, (0.95, 0.97)),  # between two steps
      (observed, (0.3, 0.7)),
      (observed, (0.0, 1.0)),
    )
  ]
  np.testing.assert_array_equal(ends[0], ends[1])
  away = [float(jnp.abs(end - ends[0]).mean()) for end in ends[2:]]
  assert 0.05 < away[0] < 0.9 * away[1]


@pytest.mark.parametrize(
  ('sampling', 'middle', 'low'),
  # Shares of times in [.4, .6] and below .1: of a uniform number, and of
  # sigmoid(n), where |n| < log(.6 / .4) and n < -log(9).
  [('uniform', 0.2, 0.1), ('logit_normal', 0.3149, 0.0140)],
)
def test_noise_times_of_training(sampling, middle, low):
  times = denoise.draw_times(jax.random.key(0), jnp.arange(40_000), sampling)
  assert times.shape == (40_000,)
  inside = jnp.mean((times > 0.4) & (times < 0.6))
  assert float(inside) == pytest.approx(middle, abs=0.01)
  assert float(jnp.mean(times < 0.1)) == pytest.approx(low, abs=0.005)
  other = denoise.draw_times(jax.random.key(0), jnp.arange(3, 9), sampling)
  np.testing.assert_array_equal(other, times[3:9])


def test_an_unknown_sampling_of_noise_times():
  with pytest.raises(errors.UserError, match="time_sampling='normal' must be"):
    denoise.draw_times(jax.random.key(0), jnp.arange(2), 'normal')
