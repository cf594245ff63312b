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

NAMES = divergences.WITH_RATIO
# Of equal scale, and of another.
PAIRS = (
  (stats.norm(0.5, 1.0), stats.norm(-0.3, 1.0)),
  (stats.norm(0.5, 1.0), stats.norm(-0.3, 1.2)),
)
Z, STEP = np.linspace(-9, 9, 20_001, retstep=True)
OUTPUTS = np.linspace(-9.0, 9.0, 19) + 0.25  # not where the tangents begin
QUANTILES = jnp.linspace(-1.0, 4.0, 101)


def densities(pair):
  return pair[0].pdf(Z), pair[1].pdf(Z)


def kl(p, q):
  """KL divergence between two Gaussians, in nats."""
  ratio = p.std() / q.std()
  squared = ((p.mean() - q.mean()) / q.std()) ** 2
  return 0.5 * (ratio**2 + squared - 1) - np.log(ratio)


def pearson(p, q):
  """The integral of p^2 / q, minus 1."""
  left = 2 * q.var() - p.var()
  squared = (p.mean() - q.mean()) ** 2
  return q.var() / (p.std() * np.sqrt(left)) * np.exp(squared / left) - 1


def hellinger(p, q):
  """The integral of (sqrt p - sqrt q)^2."""
  both = p.var() + q.var()
  squared = (p.mean() - q.mean()) ** 2
  overlap = np.sqrt(2 * p.std() * q.std() / both) * np.exp(-squared / 4 / both)
  return 2 - 2 * overlap


def jensen_shannon(pair):
  p, q = densities(pair)
  middle = (p + q) / 2
  return STEP * np.sum(p * np.log(p / middle) + q * np.log(q / middle)) / 2


def pearson_to_the_middle(pair):
  p, q = densities(pair)
  middle = (p + q) / 2
  return STEP * np.sum((p - middle) ** 2 / middle)


def total_variation(pair):
  p, q = densities(pair)
  return STEP * np.sum(np.abs(p - q)) / 2


# Of density ratio r: f'(r), from the divergence's f.
SLOPES = {
  'gan': lambda r: np.log(r / (1 + r)),  # u log u - (u + 1) log(u + 1)
  'kl': lambda r: 1 + np.log(r),  # u log u
  'reverse_kl': lambda r: -1 / r,  # -log u
  # u log u - (u + 1) log((u + 1) / 2)
  'jensen_shannon': lambda r: np.log(2 * r / (1 + r)),
  'pearson_chi2': lambda r: 2 * (r - 1),  # (u - 1)^2
  'squared_hellinger': lambda r: 1 - r**-0.5,  # (sqrt u - 1)^2
  'least_squares': lambda r: -2 / (1 + r) ** 2,  # -2 u / (1 + u)
}
CLOSED_FORMS = {
  'gan': lambda pair: 2 * jensen_shannon(pair) - np.log(4),
  'kl': lambda pair: kl(*pair),
  'reverse_kl': lambda pair: kl(*pair[::-1]),
  'jensen_shannon': lambda pair: 2 * jensen_shannon(pair),
  'pearson_chi2': lambda pair: pearson(*pair),
  'squared_hellinger': lambda pair: hellinger(*pair),
  'least_squares': lambda pair: pearson_to_the_middle(pair) - 1,
  'total_variation': total_variation,
  'hinge': lambda pair: 2 * total_variation(pair) - 2,
}
# Of density ratio r: the best output of those that mean no ratio.
BEST = {
  'total_variation': lambda r: 20.0 * np.sign(r - 1),  # tanh is 1
  'hinge': lambda r: np.sign(r - 1),
}


def bound(divergence, pair, v):
  """What the critic maximises, from its outputs at Z."""
  p, q = densities(pair)
  real = STEP * np.sum(p * np.asarray(divergence.real_loss(v)))
  fake = STEP * np.sum(q * np.asarray(divergence.fake_loss(v)))
  return -real - fake


@pytest.mark.parametrize('name', CLOSED_FORMS)
@pytest.mark.parametrize('pair', PAIRS, ids=['equal', 'other'])
def test_the_bound_is_tight_at_the_optimal_critic_only(name, pair):
  divergence = divergences.TABLE[name]
  p, q = densities(pair)
  at = divergence.threshold or BEST[name]
  best = jnp.asarray(at(p / q))
  found = bound(divergence, pair, best)
  np.testing.assert_allclose(found, CLOSED_FORMS[name](pair), rtol=1e-3)
  others = [0.9 * best, best + 0.1 * np.sin(Z)]
  others += [best + 0.1, best - 0.1]
  if name == 'total_variation':  # only the sign matters where tanh is 1
    others = [0.1 * best, best * np.sign(Z)]
  for other in others:
    assert bound(divergence, pair, other) < found - 1e-4


def pairwise(divergence, pair, v):
  """The critic's loss of one that is relative, from outputs at every 200th z.

  Of all pairs of a real and a fake row, with their probabilities.
  """
  p, q = (one[::200] for one in densities(pair))
  real, fake = v[::200, None], v[None, ::200]
  losses = np.asarray(divergence.pair_loss(jnp.asarray(fake + 0 * real), real))
  return (200 * STEP) ** 2 * np.sum(p[:, None] * q[None] * losses)


@pytest.mark.parametrize('pair', PAIRS, ids=['equal', 'other'])
def test_pairing_knows_the_log_ratio_but_for_a_constant(pair):
  """The loss is log 2 - JS between (real, fake) and (fake, real) pairs."""
  divergence = divergences.PAIRING
  p, q = (one[::200] for one in densities(pair))
  best = pair[0].logpdf(Z) - pair[1].logpdf(Z)
  one, other = p[:, None] * q[None], q[:, None] * p[None]
  middle = (one + other) / 2
  shannon = one * np.log(one / middle) + other * np.log(other / middle)
  closed = np.log(2) - (200 * STEP) ** 2 * np.sum(shannon) / 2
  found = pairwise(divergence, pair, best)
  np.testing.assert_allclose(found, closed, rtol=1e-4)
  np.testing.assert_allclose(
    pairwise(divergence, pair, best + 7.0), found, rtol=1e-4
  )
  for worse in (0.9 * best, 1.1 * best, best + 0.2 * np.sin(Z)):
    assert pairwise(divergence, pair, worse) > found + 1e-5
  assert not np.asarray(divergence.real_loss(best)).any()


def test_wasserstein_is_the_shift_under_a_critic_of_slope_one():
  divergence, pair = divergences.WASSERSTEIN, PAIRS[0]
  found = -pairwise(divergence, pair, Z)
  np.testing.assert_allclose(found, 0.8, rtol=1e-3)  # between equal scales
  expected = stats.wasserstein_distance(Z, Z, *densities(pair))
  np.testing.assert_allclose(found, expected, rtol=1e-3)
  for slope in (np.clip(Z, -2, 2), np.abs(Z), np.sin(Z)):  # at most 1
    assert -pairwise(divergence, pair, slope) < found - 1e-3


@pytest.mark.parametrize('name', NAMES)
def test_threshold_is_the_output_at_which_g_is_the_slope_of_f(name):
  divergence = divergences.TABLE[name]
  ratios = np.array([0.02, 0.5, 1.0, 9.0, 99.0])
  v = divergence.threshold(jnp.asarray(ratios))
  np.testing.assert_allclose(
    -divergence.real_loss(v), SLOPES[name](ratios), rtol=1e-5, atol=1e-6
  )
  np.testing.assert_allclose(
    divergence.probability(v), ratios / (1 + ratios), rtol=1e-5
  )
  # Thresholds of conditions that always and never hold.
  assert divergence.threshold(0.0) == -np.inf
  assert divergence.threshold(np.inf) == np.inf


@pytest.mark.parametrize('name', NAMES)
def test_threshold_is_the_inverse_beyond_the_tangents_too(name):
  divergence = divergences.TABLE[name]
  log_ratios = np.linspace(-9.0, 9.0, 19)
  with jax.enable_x64(True):
    v = divergence.threshold(jnp.exp(log_ratios))
    found = divergence.log_ratio(v)
  np.testing.assert_allclose(found, log_ratios, rtol=1e-6, atol=1e-9)
  assert (np.diff(v) > 0).all()


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


@pytest.mark.parametrize('name', divergences.TABLE)
@pytest.mark.parametrize(
  'loss',
  ['real_loss', 'fake_loss', 'pair_loss', 'mover_loss', 'opposite_loss'],
)
def test_gradients_are_those_of_finite_differences(name, loss):
  fn = getattr(divergences.TABLE[name], loss)
  if not loss.startswith(('real', 'fake')):

    def beside_one(v):
      return getattr(divergences.TABLE[name], loss)(v, 0.4)

    fn = beside_one
  with jax.enable_x64(True):
    slopes = jax.vmap(jax.grad(fn))(jnp.asarray(OUTPUTS))
    width = 1e-5
    expected = (fn(OUTPUTS + width) - fn(OUTPUTS - width)) / (2 * width)
    np.testing.assert_allclose(slopes, expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize('name', divergences.TABLE)
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


@pytest.mark.parametrize('name', divergences.TABLE)
def test_movers_minimise_the_negative_log_probability(name):
  divergence = divergences.TABLE[name]
  reference = 0.4
  # Outputs of least squares are in [-1, 1], but for what is noise.
  outputs = OUTPUTS / 9 if name == 'least_squares' else OUTPUTS
  with jax.enable_x64(True):
    d = np.asarray(divergence.probability(outputs, reference))
    found = (
      divergence.mover_loss(outputs, reference),
      divergence.opposite_loss(outputs, reference),
    )
  assert (np.diff(d) > 0).all()
  np.testing.assert_allclose(found[0], -np.log(d), rtol=1e-6)
  np.testing.assert_allclose(found[1], -np.log1p(-d), rtol=1e-6)
  if divergence.calibrated:
    expected = 1 / (1 + np.exp(reference - outputs))
  else:  # the reference does not matter
    ratio = np.exp(np.asarray(divergence.log_ratio(outputs), np.float64))
    expected = 1 / (1 + 1 / ratio)
  np.testing.assert_allclose(d, expected, rtol=2e-5)


@pytest.mark.parametrize('name', divergences.CALIBRATED)
def test_without_a_ratio_d_is_the_share_of_real_encodings_below(name):
  divergence = divergences.TABLE[name]
  v = np.random.default_rng(0).normal(size=5000).astype(np.float32)
  quantiles = divergence.calibrate(jnp.asarray(v))
  for share in (0.1, 0.5, 0.9):
    at = divergence.output_at(share / (1 - share), quantiles)
    np.testing.assert_allclose(np.mean(v < at), share, atol=1e-3)
    odds = divergence.known_odds(jnp.array([at]), quantiles)
    np.testing.assert_allclose(jax.nn.sigmoid(odds), share, rtol=1e-3)
  np.testing.assert_allclose(divergence.reference(quantiles), np.median(v))
  assert divergence.output_at(0.0, quantiles) == -np.inf
  assert divergence.output_at(np.inf, quantiles) == np.inf
  beyond = divergence.known_odds(jnp.array([-99.0, 99.0]), quantiles)
  np.testing.assert_allclose(jax.nn.sigmoid(beyond), [0.005, 0.995], rtol=1e-4)


def test_with_a_ratio_nothing_is_calibrated():
  row = divergences.LEAST_SQUARES
  assert row.calibrate(jnp.zeros(3)) is None
  v = jnp.array([-0.5, 0.3])
  np.testing.assert_array_equal(row.known_odds(v), row.log_ratio(v))
  assert row.output_at(9.0) == row.threshold(9.0)


def test_scores_in_tables():
  real, fake = np.array([1.0, 3.0, 2.0]), np.array([0.0, 2.0])
  found = divergences.PAIRING.scores(real, fake)
  # Of six pairs, the fake of output 2 wins one and ties in one.
  assert found['generator_score'] == pytest.approx(1.5 / 6)
  assert found['discriminator_score'] == pytest.approx(4.5 / 6)
  d_real, d_fake = (np.mean(1 / (1 + np.exp(-v))) for v in (real, fake))
  found = divergences.GAN.scores(jnp.asarray(real), jnp.asarray(fake))
  assert found['generator_score'] == pytest.approx(d_fake)
  assert found['discriminator_score'] == pytest.approx(
    (d_real + 1 - d_fake) / 2
  )


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


def refused(function, *arguments, **options):
  with pytest.raises(errors.UserError) as raised:
    function(*arguments, **options)
  return str(raised.value)


def test_an_unknown_name_is_one_line():
  assert refused(divergences.find, 'revers_kl', 'config.a.divergence') == (
    "config.a.divergence='revers_kl' is not a divergence: did you mean "
    'reverse_kl?'
  )


def test_what_a_divergence_cannot_serve_is_one_line():
  assert refused(divergences.HINGE.output_at, 9.0) == (
    "divergence 'hinge' has no density ratio, so a condition such as "
    'threshold=.9 needs quantiles: give those of divergence.calibrate(outputs '
    'of real encodings)'
  )
  assert refused(dataclasses.replace, divergences.GAN, threshold=None) == (
    "divergence 'gan' has only one of log_ratio and threshold: give both, or "
    'neither for one that is calibrated'
  )
  weights = {'gradient_penalty': 0.0, 'r1': 0.0}
  row = divergences.WASSERSTEIN
  assert refused(divergences.check_penalty, row, 'divergence', weights) == (
    "divergence='wasserstein' needs a gradient penalty, or nothing bounds the "
    'critic: set gradient_penalty above 0, such as 10'
  )
  divergences.check_penalty(row, 'divergence', weights | {'r1': 1.0})
  divergences.check_penalty(divergences.GAN, 'divergence', weights)
