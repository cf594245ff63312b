"""Divergences between two Gaussians against their closed forms."""

import dataclasses

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from lcjax import errors
from lcjax.losses import divergences

NAMES = list(divergences.TABLE)
REAL, FAKE = stats.norm(0.5, 1.0), stats.norm(-0.3, 1.2)
Z, STEP = np.linspace(-9, 9, 20_001, retstep=True)
OUTPUTS = np.linspace(-9.0, 9.0, 19) + 0.25  # not where the tangents begin


def kl(p, q):
  """KL divergence between two Gaussians, in nats."""
  ratio = p.std() / q.std()
  squared = ((p.mean() - q.mean()) / q.std()) ** 2
  return 0.5 * (ratio**2 + squared - 1) - np.log(ratio)


def jensen_shannon():
  p, q = REAL.pdf(Z), FAKE.pdf(Z)
  middle = (p + q) / 2
  return STEP * np.sum(p * np.log(p / middle) + q * np.log(q / middle)) / 2


# Of density ratio r: f'(r), from the divergence's f.
SLOPES = {
  'gan': lambda r: np.log(r / (1 + r)),  # u log u - (u + 1) log(u + 1)
  'kl': lambda r: 1 + np.log(r),  # u log u
  'reverse_kl': lambda r: -1 / r,  # -log u
}
CLOSED_FORMS = {
  'gan': 2 * jensen_shannon() - np.log(4),
  'kl': kl(REAL, FAKE),
  'reverse_kl': kl(FAKE, REAL),
}


def bound(divergence, v):
  """What the critic maximises, from its outputs at Z."""
  real = STEP * np.sum(REAL.pdf(Z) * np.asarray(divergence.real_loss(v)))
  fake = STEP * np.sum(FAKE.pdf(Z) * np.asarray(divergence.fake_loss(v)))
  return -real - fake


@pytest.mark.parametrize('name', NAMES)
def test_the_bound_is_tight_at_the_optimal_critic_only(name):
  divergence = divergences.TABLE[name]
  best = divergence.threshold(jnp.asarray(REAL.pdf(Z) / FAKE.pdf(Z)))
  found = bound(divergence, best)
  np.testing.assert_allclose(found, CLOSED_FORMS[name], rtol=1e-3)
  for other in (best + 0.1, best - 0.1, 0.9 * best, best + 0.1 * np.sin(Z)):
    assert bound(divergence, other) < found - 1e-4


@pytest.mark.parametrize('name', NAMES)
def test_threshold_is_the_output_at_which_g_is_the_slope_of_f(name):
  divergence = divergences.TABLE[name]
  ratios = np.array([0.02, 0.5, 1.0, 9.0, 99.0])
  v = divergence.threshold(jnp.asarray(ratios))
  np.testing.assert_allclose(
    -divergence.real_loss(v), SLOPES[name](ratios), rtol=1e-5, atol=1e-7
  )
  np.testing.assert_allclose(
    divergence.probability(v), ratios / (1 + ratios), rtol=1e-5
  )
  # Thresholds of conditions that always and never hold.
  assert divergence.threshold(0.0) == -np.inf
  assert divergence.threshold(np.inf) == np.inf


@pytest.mark.parametrize('name', NAMES)
@pytest.mark.parametrize('ratio', [0.02, 1.0, 30.0])
def test_one_output_is_best_where_real_and_fake_are_so_likely(name, ratio):
  """The critic's loss of one latent is least at the ratio's threshold."""
  divergence = divergences.TABLE[name]
  slope = jax.grad(
    lambda v: ratio * divergence.real_loss(v) + divergence.fake_loss(v)
  )
  best = divergence.threshold(jnp.float32(ratio))
  np.testing.assert_allclose(slope(best), 0.0, atol=1e-5)
  assert slope(best - 1) < 0 < slope(best + 1)


@pytest.mark.parametrize('name', NAMES)
@pytest.mark.parametrize(
  'loss', ['real_loss', 'fake_loss', 'mover_loss', 'opposite_loss']
)
def test_gradients_are_those_of_finite_differences(name, loss):
  fn = getattr(divergences.TABLE[name], loss)
  with jax.enable_x64(True):
    slopes = jax.vmap(jax.grad(fn))(jnp.asarray(OUTPUTS))
    width = 1e-5
    expected = (fn(OUTPUTS + width) - fn(OUTPUTS - width)) / (2 * width)
    np.testing.assert_allclose(slopes, expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize('name', NAMES)
def test_extreme_outputs_are_finite(name):
  divergence = divergences.TABLE[name]
  v = jnp.array([-1e4, -200.0, 200.0, 1e4])
  for loss in (
    divergence.real_loss,
    divergence.fake_loss,
    divergence.mover_loss,
    divergence.opposite_loss,
    divergence.probability,
  ):
    chex.assert_tree_all_finite((loss(v), jax.vmap(jax.grad(loss))(v)))
  # One row cannot outweigh a batch.
  for loss in (divergence.real_loss, divergence.fake_loss):
    assert np.abs(jax.vmap(jax.grad(loss))(v)).max() <= np.exp(5.0) + 1e-3


@pytest.mark.parametrize('name', NAMES)
def test_movers_minimise_the_negative_log_probability(name):
  divergence = divergences.TABLE[name]
  with jax.enable_x64(True):
    d = np.asarray(divergence.probability(OUTPUTS))
    found = divergence.mover_loss(OUTPUTS), divergence.opposite_loss(OUTPUTS)
  assert (np.diff(d) > 0).all()
  np.testing.assert_allclose(found[0], -np.log(d), rtol=1e-6)
  np.testing.assert_allclose(found[1], -np.log1p(-d), rtol=1e-6)


def test_gan_is_the_papers_critic():
  v = np.array([-200.0, -3.0, 0.0, 2.0, 200.0], np.float32)
  gan = divergences.TABLE['gan']
  real, fake = np.logaddexp(0, -v), np.logaddexp(0, v)
  np.testing.assert_allclose(gan.real_loss(v), real, rtol=1e-6)
  np.testing.assert_allclose(gan.mover_loss(v), real, rtol=1e-6)
  np.testing.assert_allclose(gan.fake_loss(v), fake, rtol=1e-6)
  np.testing.assert_array_equal(gan.probability(v), jax.nn.sigmoid(v))


def test_equal_rows_share_a_compiled_program():
  row = divergences.TABLE['reverse_kl']
  traced = []

  def loss(divergence, v):
    traced.append(divergence)
    return divergence.real_loss(v)

  jitted = jax.jit(loss, static_argnums=0)
  jitted(row, 1.0)
  jitted(dataclasses.replace(row), 1.0)
  assert len(traced) == 1


def test_an_unknown_name_is_one_line():
  with pytest.raises(errors.UserError) as raised:
    divergences.find('revers_kl', 'config.a.divergence')
  assert str(raised.value) == (
    "config.a.divergence='revers_kl' is not a divergence: did you mean "
    'reverse_kl?'
  )
