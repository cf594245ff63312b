"""Noise of a critic: what is drawn, and losses by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lcjax import errors
from lcjax.losses import divergences
from lcjax.models import critic, networks
from lcjax.training import remedies

KEY = jax.random.key(0)
ROWS = np.arange(2000)
V, W = jnp.array([0.5, -1.0, 2.0]), jnp.array([0.1, 3.0, -0.7])
FLIP = jnp.array([True, False, True])


def softplus(v):
  return np.log1p(np.exp(v))


def draw(step=0, rows=ROWS, spread=1.0, size=2, **values):
  return remedies.draw(
    remedies.Remedies(num_steps=100, **values), KEY, step, rows, size, spread
  )


def test_nothing_is_drawn_that_is_off():
  assert remedies.draw(remedies.NONE, KEY, 0, ROWS, 2, 1.0) == ((), {}, {})
  z = jnp.ones((3, 2))
  assert draw().seen('real', z) is z


def test_labels_are_flipped_with_their_share_alone():
  flips = draw(label_noise=0.2).flips
  assert set(flips) == set(remedies.KINDS)
  for flip in flips.values():
    assert float(jnp.mean(flip)) == pytest.approx(0.2, abs=0.03)
  assert jnp.any(flips['real'] != flips['moved'])


def test_instance_noise_in_units_of_the_spread_decays():
  spread = jnp.array([3.0, 0.5])
  for step, left in ((0, 1.0), (50, 0.5), (100, 0.0), (120, 0.0)):
    drawn = draw(step, spread=spread, instance_noise=0.4)
    z = drawn.seen('moved', jnp.ones((2000, 2)))
    np.testing.assert_allclose(
      np.std(z, axis=0), left * 0.4 * spread, rtol=0.06, atol=1e-6
    )
    np.testing.assert_allclose(np.mean(z, axis=0), 1.0, atol=0.1)
  assert jnp.any(draw(instance_noise=0.4).noise['real'] != drawn.noise['moved'])


@pytest.mark.parametrize(
  'values', [{'label_noise': 0.2}, {'instance_noise': 0.5}, {'dropout': 0.5}]
)
def test_a_row_has_its_noise_in_any_batch(values):
  def shown(rows):
    found = draw(rows=rows, **values)
    drops = [jax.random.key_data(keys) for keys, _ in found.dropout]
    return drops + jax.tree.leaves((found.flips, found.noise))

  for whole, part in zip(shown(ROWS[:10]), shown(ROWS[[7, 2]]), strict=True):
    np.testing.assert_array_equal(whole[jnp.array([7, 2])], part)


def test_real_rows_by_hand():
  real, fake = softplus(-V), softplus(V)
  found = remedies.real_loss(divergences.GAN, V, 0.1)
  np.testing.assert_allclose(found, 0.9 * real + 0.1 * fake, rtol=1e-6)
  found = remedies.real_loss(divergences.GAN, V, flip=FLIP)
  np.testing.assert_allclose(found, np.where(FLIP, fake, real), rtol=1e-6)
  found = remedies.real_loss(divergences.GAN, V)
  np.testing.assert_array_equal(found, divergences.GAN.real_loss(V))


def test_fakes_by_hand():
  found = remedies.fake_loss(divergences.GAN, W, V, FLIP)
  expected = np.where(FLIP, softplus(-W), softplus(W))
  np.testing.assert_allclose(found, expected, rtol=1e-6)
  # A pair changes places.
  found = remedies.fake_loss(divergences.PAIRING, W, V, FLIP)
  expected = np.where(FLIP, softplus(V - W), softplus(W - V))
  np.testing.assert_allclose(found, expected, rtol=1e-6)
  np.testing.assert_array_equal(
    remedies.real_loss(divergences.PAIRING, V, flip=FLIP), 0.0
  )


def test_dropout_scales_up_and_differs_by_row_and_layer():
  (dropout,) = draw(dropout=0.25).dropout
  ones = jnp.ones((2000, 50))
  first, second = (networks.drop(ones, dropout, layer) for layer in (0, 1))
  np.testing.assert_allclose(np.unique(first), [0.0, 4 / 3], rtol=1e-6)
  assert float(jnp.mean(first)) == pytest.approx(1.0, abs=0.02)
  assert jnp.any(first != second)
  assert jnp.any(first[0] != first[1])


def test_a_critic_drops_hidden_units():
  module = critic.Critic(4, (16, 16), 'silu')
  z, y = jnp.ones((3, 2)), jnp.ones((3, 2))
  params = module.init(KEY, z, y)
  keys = jax.random.split(KEY, 3)
  plain = module.apply(params, z, y)
  np.testing.assert_array_equal(module.apply(params, z, y, (keys, 0.0)), plain)
  dropped = module.apply(params, z, y, (keys, 0.5))
  assert len(np.unique(dropped)) == 3  # equal rows, other units


def check(divergence=divergences.GAN, **values):
  given = dict.fromkeys(
    ('dropout', 'label_noise', 'label_smoothing', 'instance_noise'), 0.0
  )
  remedies.check(divergence, 'divergence', given | values)


@pytest.mark.parametrize(
  ('name', 'value', 'needed'),
  [
    ('dropout', 1.0, r'in \[0, 1\)'),
    ('label_noise', 0.5, r'in \[0, 0.5\)'),
    ('label_smoothing', -0.1, r'in \[0, 0.5\)'),
    ('instance_noise', -1.0, 'at least 0'),
  ],
)
def test_out_of_range(name, value, needed):
  check()
  with pytest.raises(errors.UserError, match=f'{name}={value} .*{needed}'):
    check(**{name: value})


def test_smoothing_has_no_meaning_for_pairs():
  check(divergences.HINGE, label_smoothing=0.1)
  check(divergences.PAIRING, label_noise=0.1)
  with pytest.raises(errors.UserError, match="'wasserstein', which compares"):
    check(divergences.WASSERSTEIN, label_smoothing=0.1)


def test_ratios_of_both():
  remedies.check_ratios({'a': 5, 'b': 1})
  with pytest.raises(errors.UserError, match='a=5 and b=2 would update'):
    remedies.check_ratios({'a': 5, 'b': 2})
