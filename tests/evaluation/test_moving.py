"""Rows of movers: the clock, and what they cost."""

import jax
import numpy as np
import pytest

from lcjax.evaluation import moving
from lcjax.latent import denoise
from lcjax.movers import denoiser, optimizer, wrappers
from tests.movers.test_wrappers import Above, shift

KEY = jax.random.key(0)
START = np.random.default_rng(0).standard_normal((40, 3)).astype(np.float32)


def draw(target, rows, key):
  return np.asarray(jax.random.normal(key, (40, 3)))[rows]


def row(mover, scale=None, scores=()):
  contender = moving.Contender(mover, dict(scores), scale)
  return moving.make_row(
    contender, lambda z: z + 1, START, {}, None, KEY, 8, clock_seconds=0
  )[0]


def costs(mover):
  found = row(mover).scores
  return {
    name.removeprefix('evaluations_'): value
    for name, value in found.items()
    if name.startswith('evaluations_')
  }


def test_the_clock_starts_after_a_call_of_one_batch():
  calls = []
  found = moving.timed(
    lambda z: calls.append(len(z)) or z + 1, 2, np.zeros(5), clock_seconds=0
  )
  assert calls == [2, 5]
  assert found.seconds > 0 == found.spread
  np.testing.assert_array_equal(found.result, np.ones(5))


@pytest.mark.parametrize(
  'pass_seconds, clock_seconds, passes',
  [(2.0, 1.0, 5), (0.1, 1.0, 10), (0.1, 0.2, 5), (11.0, 1.0, 1), (0.1, 0, 1)],
)
def test_there_are_five_passes_and_a_second(
  monkeypatch, pass_seconds, clock_seconds, passes
):
  now, calls = [0.0], []

  def fn(z):
    calls.append(len(z))
    now[0] += pass_seconds * (1 + 0.01 * (len(calls) % 2))

  monkeypatch.setattr(moving.time, 'perf_counter', lambda: now[0])
  found = moving.timed(fn, 2, np.zeros(5), clock_seconds=clock_seconds)
  assert calls == [2] + [5] * passes
  assert pass_seconds <= found.seconds <= 1.01 * pass_seconds
  np.testing.assert_allclose(found.spread, 0.005 * (passes > 1), atol=1e-4)


def test_tries_are_those_of_accepted_rows():
  accept = Above(0.0)
  kept = moving.Rejection(accept, 3, seconds=2.0).of(
    moving.Contender(wrappers.stay(), {'training_seconds': 1.0}), draw
  )
  found, moved = moving.make_row(
    kept, lambda z: z, START, {}, None, KEY, 40, clock_seconds=0
  )
  assert found.scores['training_seconds'] == 3.0
  assert found.scores['satisfied'] == np.mean(moved.z[:, 0] >= 0)
  total = (START[:, 0] < 0).sum() + 40  # those of the second try
  assert total < moved.tries.sum() <= 3 * 40
  share = moved.tries.sum() / moved.satisfied.sum()
  assert found.scores['tries'] == share > 1.0
  assert found.scores['evaluations_acceptance'] == moved.tries.mean()
  unknown = kept._replace(scores={})
  unknown = moving.Rejection(accept, 3, None).of(unknown, draw)
  assert 'training_seconds' not in unknown.scores


def test_evaluations_of_every_network_are_counted():
  def velocity(z, t):
    return z

  def phase(velocity, want, num_steps, guided=(0.0, 1.0)):
    schedule = denoise.make_schedule(num_steps, guided=guided)
    return denoiser.Phase(velocity, want, 1.0, schedule, 0.0)

  guided = phase(velocity, Above(0.0), 4, guided=(0.5, 1.0))  # of 1, .75, .5
  free = phase(velocity, None, 3)
  exact = phase(denoiser.MixtureVelocity(None), Above(0.0), 2)
  assert {n: c.tolist() for n, c in guided.evaluations(2).items()} == {
    'denoiser': [4, 4],
    Above(0.0).names()[0]: [3, 3],
  }
  assert {n: c.tolist() for n, c in free.evaluations(1).items()} == {
    'denoiser': [3]
  }
  assert list(exact.evaluations(1)) == ['mixture']
  (name,) = Above(0.0).names()
  moving_g = optimizer.optimizer(Above(1e6), max_steps=7)
  assert costs(moving_g) == {name: 7.0}
  both = costs(wrappers.then(moving_g, moving_g))
  assert both == {name: 14.0}
  assert costs(wrappers.backtrack(moving_g, Above(0.0), 5)) == {name: 13.0}
  never = wrappers.retry(moving_g, draw, tries=3)
  assert costs(never) == {name: 21.0}
  assert costs(wrappers.start_at(draw, wrappers.stay())) == {}
  # What does not say so has no such columns, and hides nothing.
  assert costs(wrappers.then(moving_g, shift(1.0))) == {}


def test_a_distance_needs_a_unit_and_samples_need_no_latents():
  scores = row(shift(2.0), np.full(3, 2.0)).scores
  np.testing.assert_allclose(scores['z_distance'], 1 / 3, rtol=1e-6)
  assert 'z_distance' not in row(shift(2.0)).scores
  samples = row(lambda start, target, rows, key: start, scores={'odd': 1.0})
  assert samples.latents is None and samples.scores['odd'] == 1.0
  np.testing.assert_array_equal(samples.images, START)
