"""The bound against closed forms, SciPy and a model with known evidence."""

import chex
import jax.numpy as jnp
import numpy as np
import scipy.stats
from absl.testing import parameterized

from lcjax.losses import elbo


class GaussianKlTest(chex.TestCase):
  @chex.variants(with_jit=True, without_jit=True)
  @parameterized.named_parameters(
    ('standard_normal', 0.0, 1.0, 0.0),
    ('shifted', 2.0, 1.0, 2.0),
    ('wide', 0.0, 2.0, 1.5 - np.log(2.0)),
    ('both', -1.0, 0.5, 0.125 + np.log(2.0)),
  )
  def test_closed_form(self, mean, scale, nats_per_dim):
    kl = self.variant(elbo.gaussian_kl)(
      jnp.full((5, 3), mean), jnp.full((5, 3), scale)
    )
    np.testing.assert_allclose(kl, np.full(5, 3 * nats_per_dim), rtol=1e-6)

  def test_rows_of_their_own(self):
    kl = elbo.gaussian_kl(jnp.array([[0.0, 0.0], [1.0, 3.0]]), jnp.ones((2, 2)))
    np.testing.assert_allclose(kl, [0.0, 5.0], rtol=1e-6)

  def test_shapes_must_agree(self):
    with self.assertRaises(AssertionError):
      elbo.gaussian_kl(jnp.zeros((5, 3)), jnp.ones((5, 1)))


class LogLikelihoodTest(chex.TestCase):
  @chex.variants(with_jit=True, without_jit=True)
  @parameterized.parameters(0.1, 1.0)
  def test_is_a_sum_over_pixels_with_its_normaliser(self, sigma_x):
    rng = np.random.default_rng(0)
    x, mean = rng.uniform(size=(2, 4, 3, 2, 2)).astype(np.float32)
    expected = scipy.stats.norm.logpdf(x, mean, sigma_x).sum(axis=(1, 2, 3))
    found = self.variant(elbo.gaussian_log_likelihood)(x, mean, sigma_x)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


class BernoulliLogLikelihoodTest(chex.TestCase):
  @chex.variants(with_jit=True, without_jit=True)
  def test_is_a_sum_over_pixels_of_log_probabilities(self):
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(4, 3, 2, 2)).astype(np.float32)
    x = (rng.uniform(size=logits.shape) < 0.5).astype(np.float32)
    p = 1.0 / (1.0 + np.exp(-logits))
    expected = scipy.stats.bernoulli.logpmf(x, p).sum(axis=(1, 2, 3))
    found = self.variant(elbo.bernoulli_log_likelihood)(x, logits)
    np.testing.assert_allclose(found, expected, rtol=1e-5)

  def test_a_grey_pixel_is_a_share_of_ones(self):
    found = elbo.bernoulli_log_likelihood(
      jnp.array([[0.25]]), jnp.log(jnp.array([[3.0]]))
    )
    expected = 0.25 * np.log(0.75) + 0.75 * np.log(0.25)
    np.testing.assert_allclose(found, [expected], rtol=1e-6)

  def test_is_finite_and_right_far_from_zero(self):
    x, logits = jnp.array([[0.0], [1.0]]), jnp.array([[200.0], [200.0]])
    found = elbo.bernoulli_log_likelihood(x, logits)
    np.testing.assert_allclose(found, [-200.0, 0.0])

  def test_shapes_must_agree(self):
    with self.assertRaises(AssertionError):
      elbo.bernoulli_log_likelihood(jnp.zeros((5, 3)), jnp.ones((5, 1)))


def test_negative_elbo_weighs_the_divergence():
  loss = elbo.negative_elbo(jnp.array([-10.0, 2.0]), jnp.array([1.0, 3.0]), 0.5)
  np.testing.assert_allclose(loss, [10.5, -0.5])


class LinearGaussianTest(parameterized.TestCase):
  """x = W z + b + sigma eps, whose evidence and posterior are known."""

  def setUp(self):
    super().setUp()
    rng = np.random.default_rng(1)
    # Orthogonal columns make the exact posterior diagonal.
    columns, _ = np.linalg.qr(rng.normal(size=(5, 2)))
    self.w, self.b = columns * [1.5, 0.4], rng.normal(size=5)
    self.sigma = 0.3
    self.x = rng.normal(size=(4, 5))
    precision = 1.0 + (self.w**2).sum(axis=0) / self.sigma**2
    self.mean = (self.x - self.b) @ self.w / self.sigma**2 / precision
    self.scale = np.tile(precision**-0.5, (4, 1))
    self.evidence = scipy.stats.multivariate_normal.logpdf(
      self.x, self.b, self.w @ self.w.T + self.sigma**2 * np.eye(5)
    )

  def bound(self, mean, scale):
    # log p(x|z) is quadratic in z, so that its mean over these 2 Z points is
    # its expectation under q, exactly.
    offsets = np.sqrt(2) * np.concatenate([np.eye(2), -np.eye(2)])
    log_likelihoods = [
      elbo.gaussian_log_likelihood(
        self.x, (mean + scale * offset) @ self.w.T + self.b, self.sigma
      )
      for offset in offsets
    ]
    kl = elbo.gaussian_kl(mean, scale)
    return -elbo.negative_elbo(np.mean(log_likelihoods, axis=0), kl, 1.0)

  def test_equals_the_evidence_at_the_exact_posterior(self):
    bound = self.bound(self.mean, self.scale)
    np.testing.assert_allclose(bound, self.evidence, rtol=1e-5)

  @parameterized.parameters((0.1, 1.0), (0.0, 2.0), (-0.2, 0.5))
  def test_gap_is_the_divergence_from_the_posterior(self, shift, factor):
    gap = self.evidence - self.bound(self.mean + shift, factor * self.scale)
    divergence = (
      0.5 * (factor**2 - 1 + (shift / self.scale) ** 2) - np.log(factor)
    ).sum(axis=1)
    np.testing.assert_allclose(gap, divergence, rtol=1e-3)
