"""The prior, mixtures of classes, and rejection."""

import numpy as np
from absl.testing import parameterized

from lcjax.latent import samplers

CENTRES = np.array([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])
CLASSES = np.eye(3, dtype=np.float32)


def three_classes(num_rows=300):
  """Latents around three centres, one-hot classes, in mixed order."""
  rng = np.random.default_rng(0)
  labels = rng.permutation(np.arange(num_rows) % 3)
  z = CENTRES[labels] + rng.normal(size=(num_rows, 2)) * [1.0, 0.2]
  return z.astype(np.float32), CLASSES[labels], labels


class PriorTest(parameterized.TestCase):
  def test_is_standard_normal_and_follows_the_seed(self):
    z = samplers.prior(4000, 3, seed=1)
    self.assertEqual((z.shape, z.dtype), ((4000, 3), np.float32))
    np.testing.assert_allclose(z.mean(axis=0), np.zeros(3), atol=0.1)
    np.testing.assert_allclose(np.cov(z.T), np.eye(3), atol=0.1)
    np.testing.assert_array_equal(z, samplers.prior(4000, 3, seed=1))
    self.assertTrue(np.any(z != samplers.prior(4000, 3, seed=2)))


class MixtureTest(parameterized.TestCase):
  @parameterized.parameters((300, 2, 5, 5), (23, 2, 20, 5), (3, 2, 4, 1))
  def test_no_more_components_than_rows_can_bear(
    self, num_rows, size, asked, expected
  ):
    z = np.random.default_rng(0).normal(size=(num_rows, size))
    model = samplers.fit_mixture(z, asked, seed=0)
    self.assertLen(model.weights_, expected)

  def test_samples_have_the_moments_of_the_latents(self):
    z, _, _ = three_classes()
    model = samplers.fit_mixture(z, 3, seed=0)
    found = samplers.sample_mixture(model, 6000, seed=1)
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
    np.testing.assert_array_equal(
      found, samplers.sample_mixture(model, 6000, seed=1)
    )
    self.assertTrue(
      np.any(found != samplers.sample_mixture(model, 6000, seed=2))
    )


class ClassMixturesTest(parameterized.TestCase):
  @parameterized.parameters(1, 2)
  def test_samples_lie_among_their_classs_latents(self, num_components):
    z, y, _ = three_classes()
    sample = samplers.fit_class_mixtures(z, y, num_components, seed=0)
    asked = np.random.default_rng(1).integers(0, 3, 600)
    found = sample(CLASSES[asked], 5)
    self.assertEqual((found.shape, found.dtype), ((600, 2), np.float32))
    deviations = (found - CENTRES[asked]) / [1.0, 0.2]
    np.testing.assert_allclose(deviations.mean(axis=0), [0, 0], atol=0.2)
    np.testing.assert_allclose(deviations.std(axis=0), [1, 1], atol=0.2)
    np.testing.assert_array_equal(found, sample(CLASSES[asked], 5))
    self.assertTrue(np.all(found != sample(CLASSES[asked], 6)))

  def test_bits_occur_jointly(self):
    z, _, labels = three_classes()
    vectors = np.array([[1, 1, 0], [0, 1, 1], [0, 0, 0]], np.float32)
    sample = samplers.fit_class_mixtures(z, vectors[labels], 1, seed=0)
    found = sample(np.repeat(vectors[::-1], 100, axis=0), 3)
    means = found.reshape(3, 100, 2).mean(axis=1)
    np.testing.assert_allclose(means, CENTRES[::-1], atol=0.5)


class KeepAcceptedTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.y = CLASSES[np.arange(30) % 3]
    self.calls = []

  def sample(self, y, seed):
    self.calls.append((len(y), seed))
    rng = np.random.default_rng(seed)
    # The class stands in the latent, so that mixed-up rows would show.
    return np.stack([rng.uniform(size=len(y)), y.argmax(axis=1)], axis=1)

  def test_every_row_is_accepted_in_the_end(self):
    def accept(z, y):
      np.testing.assert_array_equal(z[:, 1], y.argmax(axis=1))
      return z[:, 0] < 0.3

    z = samplers.keep_accepted(self.sample, accept, self.y, seed=7)
    self.assertTrue(np.all(z[:, 0] < 0.3))
    np.testing.assert_array_equal(z[:, 1], self.y.argmax(axis=1))
    sizes, seeds = zip(*self.calls, strict=True)
    self.assertEqual(sizes[0], 30)
    self.assertEqual(list(sizes), sorted(sizes, reverse=True))
    self.assertLess(sizes[1], 30)  # only the refused are drawn again
    self.assertLen(set(seeds), len(seeds))
    again = samplers.keep_accepted(self.sample, accept, self.y, seed=7)
    np.testing.assert_array_equal(z, again)

  def test_accepted_rows_keep_their_first_draw(self):
    first = self.sample(self.y, 7)
    z = samplers.keep_accepted(
      self.sample, lambda z, y: z[:, 0] < 0.5, self.y, seed=7
    )
    kept = first[:, 0] < 0.5
    np.testing.assert_array_equal(z[kept], first[kept])
    self.assertTrue(np.all(z[~kept] != first[~kept], axis=0)[0])

  def test_the_impossible_ends(self):
    z = samplers.keep_accepted(
      self.sample,
      lambda z, y: y[:, 0] == 0,
      self.y,
      seed=7,
      max_rounds=4,
    )
    self.assertEqual(z.shape, (30, 2))
    self.assertEqual([size for size, _ in self.calls], [30, 10, 10, 10])

  def test_nothing_refused_draws_once(self):
    samplers.keep_accepted(
      self.sample, lambda z, y: np.ones(len(z), bool), self.y, seed=7
    )
    self.assertLen(self.calls, 1)


def test_vectors_that_occur_once_or_never_take_the_nearest():
  rng = np.random.default_rng(0)
  y = np.array([[0, 0, 0]] * 20 + [[1, 1, 0]] * 20 + [[1, 1, 1]], np.float32)
  z = np.where(y[:, :1] > 0, 5.0, -5.0) + rng.normal(size=(41, 2)) * 0.1
  sample = samplers.fit_class_mixtures(z.astype(np.float32), y, 1, 0)
  once = sample(np.array([[1, 1, 1]] * 50, np.float32), 0)
  never = sample(np.array([[0, 0, 1]] * 50, np.float32), 0)
  np.testing.assert_allclose(once.mean(0), 5.0, atol=0.3)
  np.testing.assert_allclose(never.mean(0), -5.0, atol=0.3)
