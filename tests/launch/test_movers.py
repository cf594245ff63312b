"""How movers are called, on functions whose answers are known."""

import dataclasses
import types

import ml_collections
import numpy as np

from launch import mover_fns, movers, repetition
from lcjax.latent import denoise, encodings, optimize

START = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
Y = np.eye(2, dtype=np.float32)[np.zeros(40, int)]


def trained_with(**changes):
  """Movers that leave latents where they are; D_attr sees the first sign."""

  def attribute_critic(z):
    return np.stack([z[:, 0], -z[:, 0]], axis=1) * 1000.0

  def optimizer(max_steps, start, y, mask, anchor):
    steps = np.full(len(start), max_steps)
    met = start[:, 0] > 0
    return optimize.Optimized(start, np.abs(start[:, 0]), steps, met)

  def denoiser(edit, start, y, mask, anchor, rows):
    return start

  unused = dict.fromkeys(f.name for f in dataclasses.fields(repetition.Trained))
  given = {
    'optimizer': optimizer,
    'denoiser': denoiser,
    'vote': attribute_critic,
    'exclusive': True,
    'actors': {},
    'max_steps': 5,
    'num_starts': 1,
    'denoise': ml_collections.ConfigDict({'num_starts': 1, 'kept_above': 0.9}),
  }
  return repetition.Trained(**unused | given | changes)


def test_refused_walks_are_walked_again_and_no_others():
  section = ml_collections.ConfigDict({'num_starts': 20, 'kept_above': 0.9})
  once = movers.move(trained_with(), 'guided_denoiser', START, Y).z
  np.testing.assert_array_equal(once, START)
  again = trained_with(denoise=section)
  z = movers.move(again, 'guided_denoiser', START, Y).z
  good = START[:, 0] > 0.01
  np.testing.assert_array_equal(z[good], START[good])
  assert np.all(z[:, 0] > 0)
  assert not good.all()
  np.testing.assert_array_equal(
    z, movers.move(again, 'guided_denoiser', START, Y).z
  )
  # An encoding is not thrown away for noise.
  edited = movers.move(again, 'guided_denoiser', START, Y, edit=True).z
  np.testing.assert_array_equal(edited, START)


def test_optimizer_takes_the_best_of_its_starts():
  one = movers.move(trained_with(), 'optimizer', START, Y)
  np.testing.assert_array_equal(one.z, START)
  four = movers.move(trained_with(num_starts=4), 'optimizer', START, Y)
  np.testing.assert_array_equal(four.steps, 20)
  assert np.mean(four.satisfied) > np.mean(one.satisfied) + 0.3
  kept = four.satisfied & one.satisfied
  assert np.all(four.cost[kept] <= one.cost[kept])
  assert np.any(four.z[kept] != START[kept])
  edited = movers.move(
    trained_with(num_starts=4), 'optimizer', START, Y, edit=True
  )
  np.testing.assert_array_equal(edited.z, START)


def test_the_vote_is_a_mean_of_logits_over_noise_times():
  mean = START * np.array([1.0, 2.0, 3.0], np.float32) + 1.0
  train = encodings.Encodings(mean, np.full_like(mean, 0.5), Y)

  def network(fn):
    return types.SimpleNamespace(apply=lambda p, *a, method: fn(p, *a))

  networks = types.SimpleNamespace(
    attribute_critic=network(lambda scale, z: scale * z),
    noised_attribute_critic=network(lambda shift, z, t: z + shift * t[:, None]),
  )

  def vote(times):
    section = ml_collections.ConfigDict({'kept_times': times})
    return mover_fns.make_vote(section, networks, train)(2.0, 7.0, START)

  np.testing.assert_allclose(vote(()), 2.0 * START, rtol=1e-5)
  unit = (START - train.center) / train.spread
  expected = 2.0 * START
  for t in (0.1, 0.4):
    expected = expected + unit * denoise.scales(t)[0] + 7.0 * t
  np.testing.assert_allclose(
    vote((0.1, 0.4)), expected / 3, rtol=1e-4, atol=1e-5
  )
