"""A model whose prior is not N(0, I): where its draws are used."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import lcjax
from lcjax.generators import latent_model

KEY = jax.random.key(0)


def decode(params, z):
  return params * z


def encode(params, x):
  return x / params, jnp.full_like(x, 0.1)


def far(params, key, rows):
  """Around 5 times the parameter."""
  keys = jax.vmap(jax.random.fold_in, (None, 0))(key, rows)
  return 5.0 * params + jax.vmap(lambda k: jax.random.normal(k, (3,)))(keys)


MODEL = lcjax.latent_model(2.0, decode, 3, encode, prior=far)
PLAIN = lcjax.latent_model(2.0, decode, 3, encode)


def test_draws_are_of_the_prior_and_of_their_row():
  z = MODEL.draw_prior(np.arange(2000), KEY)
  np.testing.assert_allclose(z.mean(axis=0), 10.0, atol=0.1)
  some = MODEL.draw_prior(np.array([1700, 3]), KEY)
  np.testing.assert_allclose(some, z[[1700, 3]], rtol=1e-6)
  begun = lcjax.prior_start(MODEL)({}, np.arange(5), KEY)
  np.testing.assert_allclose(begun, z[:5], rtol=1e-6)
  np.testing.assert_allclose(MODEL.start(2000, 1).mean(axis=0), 10.0, atol=0.1)


def test_without_one_nothing_changes():
  expected = np.random.default_rng(7).standard_normal((4, 3), np.float32)
  np.testing.assert_array_equal(PLAIN.start(4, 7), expected)
  assert PLAIN.own_prior is None
  x = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)
  assert latent_model.begin(None, lcjax.encode(PLAIN, x), {}, KEY) is None


def test_what_is_learned_from_data_moves_draws_of_it():
  x = np.random.default_rng(0).normal(size=(200, 3)).astype(np.float32)
  data = lcjax.encode(MODEL, x)
  begun = latent_model.begin(None, data, {}, KEY)
  np.testing.assert_allclose(begun.mean(axis=0), 10.0, atol=0.3)
  drawn = lcjax.label_prior(MODEL, lambda x: (x[:, :1] > 20) * 1, KEY, 50)
  begun = latent_model.begin(None, drawn, {}, KEY)
  np.testing.assert_allclose(begun.mean(axis=0), 10.0, atol=0.6)
  # A denoiser begins with noise, wherever the start is.
  learned = lcjax.learn_denoiser(data, KEY, num_steps=2, progress=False)
  move = lcjax.denoiser(learned, num_steps=3)
  near, far_off = (
    move(np.full((2, 3), at, np.float32), {}, np.arange(2), KEY).z
    for at in (0.0, 20.0)
  )
  np.testing.assert_allclose(near, far_off, atol=0.6)


@pytest.mark.parametrize(
  ('prior', 'said'),
  [
    (lambda p, key, rows: jnp.zeros((len(rows), 2)), 'it must be (3, 3)'),
    (lambda p, key, rows: jnp.full((len(rows), 3), jnp.nan), 'NaN'),
    (lambda p, key: key, 'prior: of (params, key, rows), it raises TypeError'),
    (
      lambda p, key, rows: jax.random.normal(key, (len(rows), 3)),
      'a draw depends on other rows than its own',
    ),
  ],
)
def test_one_line_for_a_prior_that_cannot_be(prior, said):
  with pytest.raises(lcjax.UserError) as raised:
    lcjax.latent_model(2.0, decode, 3, encode, prior=prior)
  assert said in str(raised.value)
  assert '\n' not in str(raised.value)
