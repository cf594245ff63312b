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
