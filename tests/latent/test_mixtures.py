"""Mixtures of latents: fits, draws, and the denoiser they are."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import parameterized

from lcjax.latent import denoise, mixtures

CENTRES = np.array([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])
CLASSES = np.eye(3, dtype=np.float32)


def three_classes(num_rows=300):
  """Latents around three centres, one-hot classes, in mixed order."""
  rng = np.random.default_rng(0)
  labels = rng.permutation(np.arange(num_rows) % 3)
  z = CENTRES[labels] + rng.normal(size=(num_rows, 2)) * [1.0, 0.2]
  return z.astype(np.float32), CLASSES[labels], labels


class MixtureTest(parameterized.TestCase):
  @parameterized.parameters((300, 2, 5, 5), (23, 2, 20, 5), (3, 2, 4, 1))
  def test_no_more_components_than_rows_can_bear(
    self, num_rows, size, asked, expected
  ):
    z = np.random.default_rng(0).normal(size=(num_rows, size))
    model = mixtures.fit(z, asked, seed=0)
    self.assertLen(model.weights, expected)

  @parameterized.parameters(
    # Three clusters; few rows, for which more components would be too many.
    ((1, 3, 20), 3), ((2, 3), 3), ((1,), 1), ((20, 1), 1),
  )  # fmt: skip
  def test_the_number_is_chosen_by_rows_held_out(self, given, chosen):
    z, _, _ = three_classes(120)
    model = mixtures.fit(z, given, seed=0)
    self.assertLen(model.weights, chosen)
    again = mixtures.fit(z, chosen, seed=0)
    np.testing.assert_array_equal(model.means, again.means)

  def test_samples_have_the_moments_of_the_latents(self):
    z, _, _ = three_classes()
    model = mixtures.fit(z, 3, seed=0)
    rows = np.arange(6000)
    found = mixtures.sample(model, rows, jax.random.key(1))
    self.assertEqual(found.dtype, np.float32)
    np.testing.assert_allclose(found.mean(axis=0), z.mean(axis=0), atol=0.3)
    np.testing.assert_allclose(
      np.cov(found.T), np.cov(z.T), rtol=0.05, atol=0.5
    )
    nearest = np.linalg.norm(found[:, None] - CENTRES, axis=-1).argmin(axis=1)
    np.testing.assert_allclose(
      np.bincount(nearest) / 6000, np.full(3, 1 / 3), atol=0.03
    )
    # In random order: neighbouring rows are of different parts.
    self.assertGreater(np.mean(nearest[1:] != nearest[:-1]), 0.5)
    again = mixtures.sample(model, rows, jax.random.key(1))
    np.testing.assert_array_equal(found, again)
    other = mixtures.sample(model, rows, jax.random.key(2))
    self.assertTrue(np.any(found != other))


class ClassMixturesTest(parameterized.TestCase):
  @parameterized.parameters(1, 2)
  def test_samples_lie_among_their_classs_latents(self, num_components):
    z, y, _ = three_classes()
    model = mixtures.fit_classes(z, y, num_components, seed=0)
    self.assertAlmostEqual(model.weights.sum(), 1.0, places=6)
    sample = mixtures.ClassSampler(model)
    asked = np.random.default_rng(1).integers(0, 3, 600)
    rows = np.arange(600)
    found = sample(CLASSES[asked], rows, jax.random.key(5))
    self.assertEqual((found.shape, found.dtype), ((600, 2), np.float32))
    deviations = (found - CENTRES[asked]) / [1.0, 0.2]
    np.testing.assert_allclose(deviations.mean(axis=0), [0, 0], atol=0.2)
    np.testing.assert_allclose(deviations.std(axis=0), [1, 1], atol=0.2)
    again = sample(CLASSES[asked], rows, jax.random.key(5))
    np.testing.assert_array_equal(found, again)
    other = sample(CLASSES[asked], rows, jax.random.key(6))
    self.assertTrue(np.all(found != other))


class AttributeMixtureTest(parameterized.TestCase):
  @parameterized.parameters(1, 2)
  def test_attributes_add_up_and_the_rest_is_shared(self, num_components):
    rng = np.random.default_rng(0)
    effects = np.array([[3.0, 0.0], [0.0, -5.0], [1.0, 1.0]])
    y = rng.integers(0, 2, (4000, 3)).astype(np.float32)
    y = y[y.sum(axis=1) < 3]  # all three at once never occur
    two_lumps = rng.choice([-2.0, 2.0], (len(y), 1)) * [0.0, 1.0]
    rest = two_lumps + rng.normal(size=(len(y), 2)) * [1.0, 0.2]
    z = (y @ effects + rest + [7.0, 0.0]).astype(np.float32)
    sample = mixtures.fit_attributes(z, y, num_components, seed=0)
    asked = np.ones((3000, 3), np.float32)
    rows = np.arange(3000)
    found = sample(asked, rows, jax.random.key(1))
    self.assertEqual((found.shape, found.dtype), ((3000, 2), np.float32))
    np.testing.assert_allclose(found.mean(axis=0), [11.0, -4.0], atol=0.2)
    np.testing.assert_allclose(np.cov(found.T), np.cov(rest.T), atol=0.2)
    # Two components find the two lumps, between which one puts its mean.
    between = np.mean(np.abs(found[:, 1] + 4.0) < 1.0)
    self.assertEqual(between > 0.2, num_components == 1)
    again = sample(asked, rows, jax.random.key(1))
    np.testing.assert_array_equal(found, again)
    other = sample(asked, rows, jax.random.key(2))
    self.assertTrue(np.all(found != other))


class RowsTest(parameterized.TestCase):
  """A row's draw follows from its number, whichever rows are beside it."""

  def samplers(self):
    z, y, _ = three_classes()
    model = mixtures.fit(z, 3, seed=0)
    yield lambda y, rows, key: mixtures.sample(model, rows, key)
    yield mixtures.ClassSampler(mixtures.fit_classes(z, y, 2, seed=0))
    yield mixtures.fit_attributes(z, y, 2, seed=0)

  def test_rows_are_independent(self):
    rng = np.random.default_rng(3)
    y, order = CLASSES[rng.integers(0, 3, 300)], rng.permutation(300)
    key = jax.random.key(4)
    for sample in self.samplers():
      whole = sample(y, np.arange(300), key)
      for some in (order, order[:17]):
        np.testing.assert_array_equal(sample(y[some], some, key), whole[some])


class NoisedTest(parameterized.TestCase):
  """Two classes, three components, two latents: checked by other means."""

  def setUp(self):
    super().setUp()
    rng = np.random.default_rng(0)
    roots = rng.normal(size=(3, 2, 2))
    self.model = mixtures.Mixture(
      weights=np.array([0.5, 0.3, 0.2]),
      means=rng.normal(size=(3, 2)) * 3.0,
      covariances=roots @ roots.swapaxes(1, 2) + 0.1 * np.eye(2),
      attributes=np.array([[1, 0], [0, 1], [0, 1]], np.float32),
    )
    self.mean = np.array([1.0, -2.0])
    self.std = np.array([2.0, 0.5])
    self.noised = mixtures.prepare(self.model, self.mean, self.std)

  def log_density(self, z, time, parts=(0, 1, 2)):
    """log sum_k w_k N(z_t; ...), from the definition of every Gaussian."""
    signal, sigma = (float(scale) for scale in denoise.scales(jnp.array(time)))
    terms = []
    for k in parts:
      mean = signal * (self.model.means[k] - self.mean) / self.std
      scale = np.outer(self.std, self.std)
      covariance = signal**2 * self.model.covariances[k] / scale
      covariance += sigma**2 * np.eye(2)
      terms.append(
        np.log(self.model.weights[k])
        + jax.scipy.stats.multivariate_normal.logpdf(z, mean, covariance)
      )
    return jax.nn.logsumexp(jnp.stack(terms), axis=0)

  @parameterized.parameters(0.05, 0.5, 0.9)
  def test_velocity_is_the_scores(self, time):
    z = jax.random.normal(jax.random.key(0), (6, 2)) * 1.5
    score = jax.vmap(jax.grad(lambda row: self.log_density(row, time)))(z)
    signal, sigma = denoise.scales(jnp.array(time))
    found = mixtures.velocity(self.noised, z, jnp.full(6, time))
    eps = sigma * z + signal * found  # as the sampler reads it
    np.testing.assert_allclose(eps, -sigma * score, rtol=1e-3, atol=1e-4)

  @parameterized.parameters(0.05, 0.5, 0.9)
  def test_classes_follow_from_bayes_rule(self, time):
    z = jax.random.normal(jax.random.key(1), (6, 2)) * 1.5
    y = jnp.asarray([[1, 0], [0, 1]] * 3, jnp.float32)
    found = mixtures.class_log_probabilities(
      self.noised, z, jnp.full(6, time), y
    )
    whole, first, second = (
      jax.vmap(functools.partial(self.log_density, time=time, parts=parts))(z)
      for parts in ((0, 1, 2), (0,), (1, 2))
    )
    expected = jnp.where(y[:, 0] > 0, first, second) - whole
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)

  def test_a_near_certainty_is_not_rounded_to_zero(self):
    """Far from all other classes: their odds in float64."""
    far = self.model._replace(
      means=np.array([[0.0, 0.0], [6.0, 0.0], [6.0, 0.0]]),
      covariances=np.tile(np.eye(2), (3, 1, 1)),
    )
    noised = mixtures.prepare(far, np.zeros(2), np.ones(2))
    y, t = jnp.array([[1.0, 0.0]]), jnp.zeros(1)
    found, grad = jax.value_and_grad(
      lambda z: mixtures.class_log_probabilities(noised, z, t, y).sum()
    )(jnp.zeros((1, 2)))
    np.testing.assert_allclose(found, -np.exp(-18.0), rtol=1e-4)
    np.testing.assert_allclose(grad[0, 0], -6.0 * np.exp(-18.0), rtol=1e-4)

  def test_the_guided_sampler_draws_from_the_class(self):
    """Velocity and guidance together: the class's own mixture comes out."""
    rows = jnp.arange(4000)
    y = jnp.tile(jnp.array([[0.0, 1.0]]), (4000, 1))

    @jax.jit
    def sample(start):
      return denoise.guided_denoise(
        lambda z, t: mixtures.velocity(self.noised, z, t),
        lambda z, t, _, y: (
          -mixtures.class_log_probabilities(self.noised, z, t, y)
        ),
        start,
        y,
        rows,
        jax.random.key(0),
        denoise.make_schedule(200),
        eta=1.0,
      )

    z = sample(jax.random.normal(jax.random.key(3), (4000, 2)))
    z = np.asarray(z) * self.std + self.mean
    sample = mixtures.ClassSampler(self.model)
    drawn = sample(np.asarray(y), np.asarray(rows), jax.random.key(0))
    np.testing.assert_allclose(z.mean(0), drawn.mean(0), atol=0.25)
    np.testing.assert_allclose(np.cov(z.T), np.cov(drawn.T), rtol=0.1, atol=0.2)
