"""How movers are called, on functions whose answers are known."""

import dataclasses

import jax
import ml_collections
import numpy as np

from lcjax import types
from lcjax.experiment import build, loading, movers
from lcjax.latent import optimize

START = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
Y = np.eye(2, dtype=np.float32)[np.zeros(40, int)]


def trained_with(**changes):
  """Movers that leave latents where they are; D_attr sees the first sign."""

  def attribute_critic(z):
    return np.stack([z[:, 0], -z[:, 0]], axis=1) * 1000.0

  def optimizer(max_steps, start, y, mask, reference):
    steps = np.full(len(start), max_steps)
    met = start[:, 0] > 0
    return optimize.Optimized(start, np.abs(start[:, 0]), steps, met)

  def denoiser(edit, key, start, y, mask, reference, rows):
    return start

  unused = dict.fromkeys(
    f.name for f in dataclasses.fields(loading.BoundMovers)
  )
  given = {
    'optimizer': optimizer,
    'denoiser': denoiser,
    'image_attributes': attribute_critic,
    'labels': types.Classes(('a', 'b')),
    'actors': {},
    'max_steps': 5,
    'num_starts': 1,
    'denoise': ml_collections.ConfigDict(
      {'num_starts': 1, 'accept_above': 0.9}
    ),
  }
  return loading.BoundMovers(**unused | given | changes)


def test_refused_samples_are_redrawn_and_no_others():
  section = ml_collections.ConfigDict({'num_starts': 20, 'accept_above': 0.9})
  once = movers.move(trained_with(), 'guided_denoiser', START, Y).z
  np.testing.assert_array_equal(once, START)
  again = trained_with(denoise=section)
  found = movers.move(again, 'guided_denoiser', START, Y)
  z = found.z
  np.testing.assert_array_equal(found.start, z)  # this denoiser moves nothing
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


def test_samples_of_another_round_have_other_noise_and_rows_keep_theirs():
  seen = []

  def denoiser(edit, key, start, y, mask, reference, rows):
    seen.append((tuple(jax.random.key_data(key).tolist()), rows))
    return start

  section = ml_collections.ConfigDict({'num_starts': 4, 'accept_above': 0.9})
  movers.move(
    trained_with(denoise=section, denoiser=denoiser),
    'guided_denoiser',
    START,
    Y,
  )
  keys, rows = zip(*seen, strict=True)
  assert len(set(keys)) == len(keys) > 1
  np.testing.assert_array_equal(rows[0], np.arange(40))
  # The first column of the starts says which rows are refused.
  np.testing.assert_array_equal(rows[1], np.flatnonzero(START[:, 0] < 0.0012))


def test_optimizer_takes_the_best_of_its_starts():
  one = movers.move(trained_with(), 'optimizer', START, Y)
  np.testing.assert_array_equal(one.z, START)
  four = movers.move(trained_with(num_starts=4), 'optimizer', START, Y)
  np.testing.assert_array_equal(four.steps, 20)
  assert np.mean(four.satisfied) > np.mean(one.satisfied) + 0.3
  kept = four.satisfied & one.satisfied
  assert np.all(four.cost[kept] <= one.cost[kept])
  assert np.any(four.z[kept] != START[kept])
  np.testing.assert_array_equal(four.start, four.z)
  edited = movers.move(
    trained_with(num_starts=4), 'optimizer', START, Y, edit=True
  )
  np.testing.assert_array_equal(edited.z, START)


def test_attributes_of_an_image_are_those_of_its_encoding():
  class Module:
    def __init__(self, **methods):
      self.methods = methods

    def apply(self, params, *arrays, method):
      return self.methods[method or 'call'](params, *arrays)

  class Networks:
    # Pixels: a sigmoid of z, rounded; the encoder reads them off.
    vae = Module(
      decode=lambda scale, z: scale * z,
      encode=lambda scale, x: (scale * x, scale * x + 9.0),
    )
    attribute_critic = Module(call=lambda shift, z: shift + z[:, :2])

  found = build.make_image_attributes(Networks())(2.0, 5.0, START)
  pixels = np.round(255.0 / (1.0 + np.exp(-2.0 * START))) / 255.0
  np.testing.assert_allclose(found, 5.0 + 2.0 * pixels[:, :2], rtol=1e-5)
