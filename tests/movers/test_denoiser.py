"""A denoiser that is learned in memory, and its guidance, on two clusters."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import lcjax
from lcjax.constraints import mixture as mixture_lib
from lcjax.latent import denoise, mixtures
from lcjax.movers import denoiser as denoiser_lib
from tests.movers import clusters

KEY = jax.random.key(0)
ROWS = np.arange(300)
Y = np.eye(2, dtype=np.float32)[ROWS % 2]
TARGET = {'attributes': Y}


@pytest.fixture(scope='module')
def parts():
  model, data = clusters.make()
  options = {'num_steps': 600, 'progress': False}
  classes = lcjax.learn_attributes(
    data, KEY, noised=True, hidden_sizes=(32, 32), **options
  )
  walk = lcjax.learn_denoiser(
    data, KEY, width=48, num_blocks=2, average_decay=0.99, **options
  )
  noise = lcjax.prior_start(model)({}, ROWS, KEY)
  return model, data, classes, walk, noise


def test_unguided_it_samples_the_data(parts):
  _, _, _, walk, noise = parts
  z = walk(noise, {}, ROWS, KEY).z
  right = z[:, 0] > 0
  assert 0.3 < right.mean() < 0.7
  nearest = np.where(right[:, None], [[1, 0]], [[0, 1]])
  assert clusters.share_near(z, nearest) > 0.85
  assert clusters.share_near(noise, nearest) < 0.6


def without_noised(classes):
  return classes.replace(noised_params=None, noised_fn=None)


@pytest.mark.parametrize('noised', [True, False])
def test_it_is_guided_to_each_rows_class(parts, noised):
  _, _, classes, walk, noise = parts
  want = classes if noised else without_noised(classes)
  guided = lcjax.denoiser(walk, want, scale=1.0)
  moved = guided(noise, TARGET, ROWS, KEY)
  assert clusters.share_near(moved.z, Y) > 0.85
  opposite = guided(noise, {'attributes': 1.0 - Y}, ROWS, KEY)
  assert clusters.share_near(opposite.z, 1.0 - Y) > 0.85


def test_it_takes_all_of_realism_attributes_and_a_penalty(parts):
  model, data, classes, walk, noise = parts
  realism = lcjax.learn_realism(
    data, KEY, hidden_sizes=(16,), num_steps=50, progress=False
  )
  high = lcjax.on_sample(
    model,
    penalty=lambda x: jnp.square(jnp.maximum(0.3 - x[1], 0.0)),
    name='high',
    tolerance=0.01,
  )
  want = lcjax.all_of(realism, classes, high, weights=(5.0, 1.0, 30.0))
  plain = lcjax.denoiser(walk, classes, scale=1.0)(noise, TARGET, ROWS, KEY)
  moved = lcjax.denoiser(walk, want, scale=1.0)(noise, TARGET, ROWS, KEY)
  assert clusters.share_near(moved.z, Y) > 0.8
  assert (moved.z[:, 1] > 0.2).mean() > (plain.z[:, 1] > 0.2).mean() + 0.3
  # Realism adds nothing: the score says it.
  less = lcjax.all_of(classes, high, weights=(1.0, 30.0))
  same = lcjax.denoiser(walk, less, scale=1.0)(noise, TARGET, ROWS, KEY)
  np.testing.assert_allclose(moved.z, same.z, atol=1e-4)


def test_a_row_follows_from_its_number_and_the_key(parts):
  _, _, classes, walk, noise = parts
  guided = lcjax.denoiser(walk, classes, eta=1.0)
  whole = guided(noise, TARGET, ROWS, KEY).z
  some = np.array([3, 8, 250])
  part = guided(noise[some], {'attributes': Y[some]}, some, KEY).z
  np.testing.assert_allclose(part, whole[some], rtol=1e-5, atol=1e-6)
  other = guided(noise, TARGET, ROWS, jax.random.key(1)).z
  assert np.abs(other - whole).max() > 0.1


def test_less_noise_keeps_more_of_the_start(parts):
  _, data, _, walk, _ = parts
  start = data.encodings.mean[:100]
  gaps = [
    np.linalg.norm(
      lcjax.denoiser(walk, start_time=t)(start, {}, ROWS[:100], KEY).z - start,
      axis=1,
    ).mean()
    for t in (0.1, 0.5, 1.0)
  ]
  assert gaps[0] < gaps[1] < gaps[2]
  assert gaps[0] < 0.3


def test_a_mixture_is_an_exact_denoiser_and_classifier(parts):
  _, data, _, _, noise = parts
  found = data.encodings
  mean, std = found.aggregate_mean, found.aggregate_std
  fitted = mixtures.fit_classes(found.sample(0), found.attributes, 1, 0)
  noised = mixtures.prepare(fitted, mean, std)
  mean, std = jnp.asarray(mean), jnp.asarray(std)
  want = mixture_lib.MixtureClass(noised, mean, std)
  phase = denoiser_lib.Phase(
    denoiser_lib.MixtureVelocity(noised),
    want,
    1.0,
    denoise.make_schedule(60),
    0.0,
  )
  exact = denoiser_lib.Denoiser(mean, std, (phase,), noised=False)
  z = exact(noise, TARGET, ROWS, KEY).z
  assert clusters.share_near(z, Y) > 0.97
  assert lcjax.verdicts(want, z, TARGET).met.mean() > 0.99
  with pytest.raises(lcjax.UserError, match='no opposite'):
    lcjax.negate(want)


@pytest.mark.parametrize(
  'settings, text',
  [
    ({'num_steps': 0}, 'num_steps=0'),
    ({'eta': 2.0}, 'eta=2.0'),
    ({'start_time': 0.0}, 'start_time=0.0'),
  ],
)
def test_a_mistake_is_one_line(parts, settings, text):
  with pytest.raises(lcjax.UserError) as caught:
    lcjax.denoiser(parts[3], **settings)
  assert text in str(caught.value) and '\n' not in str(caught.value)


def test_it_needs_a_key(parts):
  with pytest.raises(lcjax.UserError, match='give a key'):
    parts[3](parts[4], {})
