"""A conditional model as a row: what its samples depend on."""

import jax
import numpy as np
import pytest

from lcjax.generators import conditional

KEY = jax.random.key(0)
Y = np.array([[1, 0], [0, 1], [0, 1]], np.float32)
ROWS = np.array([4, 0, 9])
MODEL = conditional.Conditional(
  lambda z, y: np.concatenate([z, 10 * y], axis=-1), latent_size=3
)


def test_noise_follows_from_key_and_row_and_the_rest_from_the_request():
  start = np.full((3, 7), np.nan)  # of another latent space
  found = MODEL(start, {'attributes': Y}, ROWS, KEY)
  np.testing.assert_array_equal(found[:, 3:], 10 * Y)
  again = MODEL(start[1:], {'attributes': Y[1:]}, ROWS[1:], KEY)
  np.testing.assert_array_equal(found[1:], again)
  other = MODEL(start, {'attributes': Y}, ROWS, jax.random.key(1))
  assert (other[:, :3] != found[:, :3]).all()


def test_latents_are_of_the_prior():
  rows = np.arange(4000)
  z = MODEL(None, {'attributes': np.zeros((4000, 2))}, rows, KEY)[:, :3]
  np.testing.assert_allclose(z.mean(axis=0), 0.0, atol=0.06)
  np.testing.assert_allclose(np.cov(z.T), np.eye(3), atol=0.08)


def test_a_mask_is_refused_where_it_leaves_something_out():
  found = MODEL(None, {'attributes': (Y, np.ones_like(Y))}, ROWS, KEY)
  np.testing.assert_array_equal(found[:, 3:], 10 * Y)
  with pytest.raises(ValueError, match='every attribute'):
    MODEL(None, {'attributes': (Y, Y)}, ROWS, KEY)
