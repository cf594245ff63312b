"""Where movers start, on two clusters."""

import jax
import numpy as np
import pytest

import lcjax
from tests.movers import clusters

KEY = jax.random.key(0)
ROWS = np.arange(400)
Y = np.eye(2, dtype=np.float32)[ROWS % 2]
TARGET = {'attributes': Y}


@pytest.fixture(scope='module')
def data():
  return clusters.make()[1]


def test_a_mixture_may_ignore_labels(data):
  of_class = lcjax.mixture_start(data, 1)(TARGET, ROWS, KEY)
  of_all = lcjax.mixture_start(data, 2, labelled=False)({}, ROWS, KEY)
  assert clusters.share_near(of_class, Y) > 0.9
  assert 0.4 < clusters.share_near(of_all, Y) < 0.6


def test_encodings_are_drawn_whatever_the_target(data):
  start = lcjax.encodings_start(data)
  z = start(TARGET, ROWS, KEY)
  known = {tuple(row) for row in data.encodings.sample(0)}
  assert {tuple(row) for row in z} <= known
  assert len({tuple(row) for row in z}) > 100
  # A row follows from its number and the key.
  np.testing.assert_array_equal(start({}, ROWS[[7, 3]], KEY), z[[7, 3]])
  assert (start({}, ROWS, jax.random.key(1)) != z).any()


def test_noise_keeps_a_part_of_a_start(data):
  """At time 1 hardly anything is left; q(z) gives the unit of the noise."""
  start = lcjax.mixture_start(data, 1)
  shares = [
    clusters.share_near(
      lcjax.noised_start(start, data, time)(TARGET, ROWS, KEY), Y
    )
    for time in (0.1, 0.5, 1.0)
  ]
  assert shares[0] > 0.9
  assert shares[0] > shares[1] > shares[2]
  noise = lcjax.noised_start(start, data, 1.0)(TARGET, ROWS, KEY)
  found = data.encodings
  np.testing.assert_allclose(noise.mean(0), found.aggregate_mean, atol=0.4)
  np.testing.assert_allclose(noise.std(0), found.aggregate_std, rtol=0.15)
  assert noise.dtype == np.float32
  with pytest.raises(lcjax.UserError, match=r'time=1\.5'):
    lcjax.noised_start(start, data, 1.5)


def test_an_actor_and_realism_learn_from_where_they_are_told(data):
  """Draws far away: an actor that has seen no others leaves others there."""

  def far(target, rows, key):
    assert set(target) <= {'attributes'}
    return np.full((len(rows), 2), 20.0, np.float32)

  brief = {'num_steps': 300, 'progress': False}
  classes = lcjax.learn_attributes(data, KEY, **brief)
  away = []
  for start in (far, None):
    actor = lcjax.learn_actor(
      classes, data, KEY, start=start, hidden_sizes=(32,), **brief
    )
    moved = actor(far({}, ROWS, KEY), TARGET).z
    centers = clusters.CENTERS[np.argmax(Y, axis=1)]
    away.append(np.linalg.norm(moved - centers, axis=1).mean())
  assert away[0] < 0.5 * away[1]
  realism = lcjax.learn_realism(data, KEY, start=far, inner_steps=0, **brief)
  real = lcjax.verdicts(realism, data.encodings.mean, {}).loss
  fake = lcjax.verdicts(realism, far({}, ROWS, KEY), {}).loss
  assert real.max() < fake.min()
  with pytest.raises(lcjax.UserError, match=r'start: the shape is \(400, 3\)'):
    lcjax.learn_realism(
      data, KEY, start=lambda *asked: np.zeros((400, 3)), **brief
    )
