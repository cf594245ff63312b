"""Metrics against closed forms, scikit-learn, SciPy and cases done by hand."""

import numpy as np
import scipy.linalg
import sklearn.metrics
from absl.testing import absltest, parameterized

from lcjax import types
from lcjax.evaluation import metrics

# Scores follow from the kind of labels, not from their number.
CLASSES, BITS = types.Classes(('a', 'b')), types.Bits(('a', 'b'))


def with_moments(mean, cov, num=64):
  """[num, F] points with exactly this mean and sample covariance."""
  points = np.random.default_rng(0).normal(size=(num, len(mean)))
  points -= points.mean(axis=0)
  white = np.linalg.inv(np.linalg.cholesky(np.cov(points, rowvar=False)))
  return points @ white.T @ np.linalg.cholesky(cov).T + mean


def neighbour_scores(*arguments):
  found = metrics.neighbour_values(*arguments)
  return {name: values.mean() for name, values in found.items()}


def nearest_train_distance(*images):
  return np.median(metrics.nearest_train_distances(*images))


class ClassificationTest(parameterized.TestCase):
  @parameterized.parameters(CLASSES, BITS)
  def test_agrees_with_scikit_learn(self, labels):
    rng = np.random.default_rng(1)
    if labels is CLASSES:  # class 4 of 5 occurs nowhere
      truth, guess = rng.integers(0, 4, (2, 200))
      requested, predicted = np.eye(5)[truth], np.eye(5)[guess]
    else:
      requested, predicted = rng.integers(0, 2, (2, 200, 5))
      predicted[:, 2] = 0
      truth, guess = requested, predicted
    precision, recall, f1, _ = sklearn.metrics.precision_recall_fscore_support(
      truth, guess, average='macro', zero_division=0
    )
    scores = metrics.classification_scores(predicted, requested, labels)
    self.assertAlmostEqual(scores['macro_precision'], precision)
    self.assertAlmostEqual(scores['macro_recall'], recall)
    self.assertAlmostEqual(scores['macro_f1'], f1)
    self.assertAlmostEqual(scores['accuracy'], np.mean(truth == guess))

  def test_an_attribute_neither_requested_nor_predicted_is_left_out(self):
    requested, predicted = np.random.default_rng(1).integers(0, 2, (2, 50, 5))
    requested[:, :2] = predicted[:, 1:3] = 0
    # 0 is predicted alone, 2 requested alone, 1 neither.
    occurs = [0, 2, 3, 4]
    scores = metrics.classification_scores(predicted, requested, BITS)
    self.assertAlmostEqual(
      scores['macro_f1'],
      sklearn.metrics.f1_score(
        requested, predicted, average='macro', zero_division=np.nan
      ),
    )
    precision, recall, f1, _ = sklearn.metrics.precision_recall_fscore_support(
      requested, predicted, labels=occurs, average='macro', zero_division=0
    )
    self.assertAlmostEqual(scores['macro_precision'], precision)
    self.assertAlmostEqual(scores['macro_recall'], recall)
    self.assertAlmostEqual(scores['macro_f1'], f1)
    self.assertAlmostEqual(scores['accuracy'], np.mean(requested == predicted))

  def test_means_over_no_attribute_are_nan(self):
    nothing = np.zeros((3, 2))
    scores = metrics.classification_scores(nothing, nothing, BITS)
    self.assertEqual(scores['accuracy'], 1.0)
    for name in ('macro_precision', 'macro_recall', 'macro_f1'):
      self.assertTrue(np.isnan(scores[name]))

  def test_worst_class_is_the_lowest_recall_of_a_requested_class(self):
    truth, guess = [0, 0, 0, 0, 1, 1], [0, 0, 0, 2, 1, 0]
    scores = metrics.classification_scores(
      np.eye(3)[guess], np.eye(3)[truth], CLASSES
    )
    self.assertAlmostEqual(scores['accuracy'], 4 / 6)
    self.assertAlmostEqual(scores['worst_class_accuracy'], 0.5)

  def test_multi_label_by_hand(self):
    requested = np.array([[1, 0], [1, 1], [0, 1], [0, 0]])
    predicted = np.array([[1, 1], [1, 1], [0, 0], [1, 0]])
    scores = metrics.classification_scores(predicted, requested, BITS)
    self.assertAlmostEqual(scores['accuracy'], 5 / 8)
    self.assertAlmostEqual(scores['macro_precision'], (2 / 3 + 1 / 2) / 2)
    self.assertAlmostEqual(scores['macro_recall'], (1 + 1 / 2) / 2)
    self.assertAlmostEqual(scores['macro_f1'], (4 / 5 + 1 / 2) / 2)
    self.assertAlmostEqual(scores['worst_class_accuracy'], 1 / 2)

  def test_one_attribute_is_not_taken_for_two_classes(self):
    requested, predicted = np.array([[1], [0], [0]]), np.array([[1], [1], [0]])
    scores = metrics.classification_scores(predicted, requested, BITS)
    self.assertAlmostEqual(scores['macro_precision'], 1 / 2)
    self.assertAlmostEqual(scores['macro_recall'], 1)

  def test_shapes_must_agree(self):
    with self.assertRaises(ValueError):
      metrics.classification_scores(np.ones((3, 2)), np.ones((3, 1)), BITS)


class FrechetTest(parameterized.TestCase):
  @parameterized.named_parameters(
    ('identical', [0.0, 0.0], 1.0, 0.0),
    ('shifted', [3.0, 4.0], 1.0, 25.0 / 5.0),
    ('three_times_as_wide', [0.0, 0.0], 9.0, 4.0),  # (3 - 1)^2 tr / tr
    ('point', [0.0, 0.0], 1e-20, 1.0),
  )
  def test_closed_form(self, mean, factor, expected):
    cov = np.array([[4.0, 0.5], [0.5, 1.0]])
    distance = metrics.frechet_distance(
      with_moments(mean, factor * cov), with_moments([0.0, 0.0], cov)
    )
    self.assertAlmostEqual(distance, expected, places=8)

  def test_agrees_with_scipy_sqrtm(self):
    rng = np.random.default_rng(2)
    a, b = (
      rng.normal(size=(50, 4)),
      rng.normal(size=(70, 4)) @ rng.normal(size=(4, 4)),
    )
    cov_a, cov_b = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    shift = a.mean(axis=0) - b.mean(axis=0)
    root = scipy.linalg.sqrtm(cov_a @ cov_b).real
    expected = shift @ shift + np.trace(cov_a + cov_b - 2 * root)
    self.assertAlmostEqual(
      metrics.frechet_distance(a, b), expected / np.trace(cov_b)
    )

  def test_singular_covariance(self):
    few = np.random.default_rng(3).normal(size=(5, 40))  # rank 4 of 40
    self.assertAlmostEqual(metrics.frechet_distance(few, few), 0.0)
    distance = metrics.frechet_distance(few + 1.0, few)
    expected = 40 / np.trace(np.cov(few, rowvar=False))
    self.assertAlmostEqual(distance, expected)

  def test_features_that_diverged_give_nan(self):
    real = np.random.default_rng(4).normal(size=(9, 2))
    broken = np.where(real > 0, np.inf, real)
    self.assertTrue(np.isnan(metrics.frechet_distance(broken, real)))
    scores = neighbour_scores(broken, real, 3)
    self.assertTrue(all(np.isnan(value) for value in scores.values()))


class KernelDistanceTest(parameterized.TestCase):
  def test_agrees_with_loops(self):
    rng = np.random.default_rng(12)
    x, real = rng.normal(size=(2, 9, 3)) * [1.0, 20.0, 0.0] + [5.0, 0.0, 2.0]
    x[:, 0] += 3.0
    mean, std = real.mean(axis=0), [*real.std(axis=0)[:2], 1.0]

    def kernel(a, b):
      total = 0.0
      for one, other, m, s in zip(a, b, mean, std, strict=True):
        total += (one - m) / s * (other - m) / s
      return (total / 3 + 1) ** 3

    pairs = [(i, j) for i in range(9) for j in range(9)]
    apart = [(i, j) for i, j in pairs if i != j]
    expected = (
      np.mean([kernel(x[i], x[j]) for i, j in apart])
      + np.mean([kernel(real[i], real[j]) for i, j in apart])
      - 2 * np.mean([kernel(x[i], real[j]) for i, j in pairs])
    )
    found, spread = metrics.kernel_distance(x, real, 4, 9, 0)
    self.assertAlmostEqual(found, expected)
    self.assertAlmostEqual(spread, 0.0)  # all subsets are the complete sets

  @parameterized.parameters(0.0, 0.5)
  def test_expectation_between_two_gaussians(self, shift):
    """Of N(0, 1) and N(m, 1): E k(x, x') of the cubic kernel in closed form.

    For independent x, x' with moments 1, a, a2, a3 and b, b2, b3, it is
    1 + 3 a b + 3 a2 b2 + a3 b3.
    """
    rng = np.random.default_rng(13)
    real = rng.normal(size=(40_000, 1))
    x = rng.normal(size=(40_000, 1)) + shift

    def expected(a, b):
      moments = [(m, 1 + m**2, 3 * m + m**3) for m in (a, b)]
      (a1, a2, a3), (b1, b2, b3) = moments
      return 1 + 3 * a1 * b1 + 3 * a2 * b2 + a3 * b3

    exact = expected(shift, shift) + expected(0, 0) - 2 * expected(shift, 0)
    found, spread = metrics.kernel_distance(x, real, 200, 200, 0)
    self.assertLess(abs(found - exact), 4 * spread / np.sqrt(200))
    self.assertLess(spread / np.sqrt(200), 0.15)
    if shift:
      self.assertGreater(found, 0.5)

  def test_the_spread_is_that_of_subsets(self):
    x, real = np.random.default_rng(14).normal(size=(2, 60, 2))
    found, spread = metrics.kernel_distance(x, real, 5, 20, 3)
    self.assertGreater(spread, 0.0)
    self.assertEqual(
      metrics.kernel_distance(x, real, 5, 20, 3), (found, spread)
    )
    self.assertNotEqual(metrics.kernel_distance(x, real, 5, 20, 4)[0], found)

  def test_features_that_diverged_and_sizes_that_do_not_fit(self):
    real = np.random.default_rng(15).normal(size=(9, 2))
    broken = np.where(real > 0, np.inf, real)
    found = metrics.kernel_distance(broken, real, 2, 3, 0)
    self.assertTrue(np.isnan(found).all())
    for size in (1, 10):
      with self.assertRaises(ValueError):
        metrics.kernel_distance(real, real, 2, size, 0)


class EqualSizeTest(absltest.TestCase):
  def test_mean_over_disjoint_subsets_in_order(self):
    x, real = np.random.default_rng(16).normal(size=(2, 50, 2))
    expected = [
      metrics.frechet_distance(x[part], real)
      for part in (slice(0, 20), slice(20, 40))
    ]
    found = metrics.frechet_of_equal_size(x, real, 20)
    self.assertAlmostEqual(found, np.mean(expected))


class AuthenticityTest(parameterized.TestCase):
  @parameterized.parameters(1000, 7, 1)  # rows of a search, also single ones
  def test_agrees_with_loops(self, rows):
    rng = np.random.default_rng(17)
    train = rng.normal(size=(30, 3))
    train[4] = train[9]  # a copy in the training set
    features = np.concatenate([rng.normal(size=(20, 3)), train[:6]])
    authentic, nearest = [], []
    for one in features:
      distances = [np.linalg.norm(one - other) for other in train]
      closest = int(np.argmin(distances))
      others = [
        np.linalg.norm(train[closest] - other)
        for number, other in enumerate(train)
        if number != closest
      ]
      authentic.append(distances[closest] > min(others))
      nearest.append(distances[closest])
    self.assertTrue(0 < np.mean(authentic) < 1)
    with absltest.mock.patch.object(metrics, '_SEARCH_ROWS', rows):
      found, distances = metrics.authenticity(features, train)
    np.testing.assert_array_equal(found, authentic)
    np.testing.assert_allclose(distances, nearest, atol=1e-6)

  def test_copies_are_not_authentic(self):
    train = np.random.default_rng(18).normal(size=(30, 3))
    for found in metrics.authenticity(train[::-1], train):
      np.testing.assert_array_equal(found, np.zeros(30))
    far = metrics.authenticity(train + 100.0, train)
    np.testing.assert_array_equal(far[0], np.ones(30))

  def test_features_that_diverged_give_nan(self):
    train = np.random.default_rng(19).normal(size=(30, 3))
    broken = np.where(train > 2, np.nan, train)
    self.assertTrue(np.isnan(metrics.authenticity(broken, train)).all())


class DiversityTest(absltest.TestCase):
  def test_mean_over_attributes_that_both_have_twice(self):
    real = np.array([[0.0, 0.0], [2.0, 2.0], [10.0, 0.0], [14.0, 0.0]])
    real_attributes = np.array([[1, 0, 0], [1, 0, 0], [0, 1, 0], [0, 1, 1]])
    moved = np.array([[5.0, 5.0], [6.0, 6.0], [0.0, 0.0], [0.0, 8.0]])
    moved_attributes = np.array([[1, 0, 1], [1, 0, 1], [0, 1, 0], [0, 1, 0]])
    diversity = metrics.diversity(
      moved, moved_attributes, real, real_attributes
    )
    # Sums of variances 0.5 + 0.5 over 2 + 2, and 0 + 32 over 8 + 0.
    self.assertAlmostEqual(diversity, (1 / 4 + 4) / 2)

  def test_nothing_to_compare_gives_nan(self):
    features, attributes = np.eye(2), np.eye(2)
    diversity = metrics.diversity(features, attributes, features, attributes)
    self.assertTrue(np.isnan(diversity))


class NeighboursTest(parameterized.TestCase):
  # Up to 15 features scikit-learn searches a tree, beyond it multiplies.
  @parameterized.product(width=(2, 40), offset=(0.0, 1e4))
  def test_copies_lie_in_balls_of_radius_0(self, width, offset):
    rng = np.random.default_rng(11)
    few = 30.0 * rng.normal(size=(7, width)) + offset
    points = rng.permutation(np.repeat(few, 20, axis=0))
    scores = neighbour_scores(points, points[::-1], 3)
    for name in ('knn_precision', 'knn_recall', 'coverage'):
      self.assertEqual(scores[name], 1.0)
    self.assertAlmostEqual(scores['density'], 20 / 3)  # all copies crowd
    beside = neighbour_scores(points + 1e-3, points, 3)
    self.assertEqual(set(beside.values()), {0.0})

  def test_same_set(self):
    points = np.random.default_rng(5).normal(size=(30, 2))
    scores = neighbour_scores(points, points, 3)
    for name in ('knn_precision', 'knn_recall', 'coverage'):
      self.assertEqual(scores[name], 1.0)
    # A sample lies in its own ball, and on average in three others' balls.
    self.assertAlmostEqual(scores['density'], 4 / 3)

  def test_far_apart(self):
    points = np.random.default_rng(5).normal(size=(30, 2))
    scores = neighbour_scores(points + 100.0, points, 3)
    self.assertEqual(set(scores.values()), {0.0})

  def test_one_of_two_clusters_by_hand(self):
    real = np.array([[0.0], [1.0], [2.0], [100.0], [101.0], [102.0]])
    collapsed = np.array([[0.9], [1.1], [1.0], [0.95], [1.05], [50.0]])
    scores = neighbour_scores(collapsed, real, 1)
    self.assertAlmostEqual(scores['knn_precision'], 5 / 6)
    # Real 0, 1 and 2 have a sample within 1, but only 1 is in a narrow ball;
    # the stray sample's ball reaches 48.9 to either side: 1.1 to 98.9, so 2.
    self.assertAlmostEqual(scores['knn_recall'], 2 / 6)
    self.assertAlmostEqual(scores['coverage'], 3 / 6)
    # All five are in the ball of 1; 0.9, 0.95 and 1 in that of 0, and the
    # mirror images in that of 2.
    self.assertAlmostEqual(scores['density'], (5 + 3 + 3) / 6)

  def test_equal_numbers_are_compared(self):
    rng = np.random.default_rng(6)
    features, real = rng.normal(size=(20, 3)), rng.normal(size=(35, 3))
    self.assertEqual(
      neighbour_scores(features, real, 3),
      neighbour_scores(features, real[:20], 3),
    )

  def test_chunks_do_not_matter(self):
    rng = np.random.default_rng(7)
    features, real = rng.normal(size=(2, 400, 3))
    whole = neighbour_scores(features, real, 3)
    with absltest.mock.patch.object(metrics, '_WORKING_MEMORY_MIB', 0.1):
      self.assertEqual(neighbour_scores(features, real, 3), whole)

  def test_too_many_neighbours(self):
    with self.assertRaises(ValueError):
      neighbour_scores(np.eye(3), np.eye(3), 3)


class NearestTrainTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    rng = np.random.default_rng(8)
    self.train, self.test = rng.integers(0, 256, (2, 30, 28, 28, 1), np.uint8)

  @parameterized.parameters(1, 255.0)  # a copy is exact in floats, too
  def test_copies_and_unseen_images(self, white):
    train, test = self.train, self.test
    if white != 1:
      train, test = train / white, test / white
    self.assertEqual(nearest_train_distance(train[:9], train), 0.0)
    near = nearest_train_distance(test, train)
    distances = np.linalg.norm(
      (test[:, None] / 1.0 - train[None]).reshape(30, 30, -1), axis=-1
    )
    np.testing.assert_allclose(near, np.median(distances.min(1)), rtol=1e-6)

  def test_by_hand_over_chunks(self):
    train = np.array([[0.0], [10.0], [20.0], [30.0]])
    with absltest.mock.patch.object(metrics, '_SEARCH_ROWS', 3):
      found = nearest_train_distance(np.array([[1.0], [32.0], [14.0]]), train)
    self.assertAlmostEqual(found, 2.0)

  def test_kinds_must_agree(self):
    with self.assertRaises(ValueError):
      nearest_train_distance(self.test / 255, self.train)


class LatentsTest(absltest.TestCase):
  def test_z_distance(self):
    z, start = np.array([[1.0, 4.0], [0.0, 0.0]]), np.zeros((2, 2))
    distance = metrics.z_distance(z, start, np.array([1.0, 2.0]))
    self.assertAlmostEqual(distance, (1 + 4) / 4)

  def test_active_units(self):
    means = np.random.default_rng(9).normal(size=(500, 3)) * [1.0, 0.05, 0.5]
    self.assertEqual(metrics.active_units(means), 2)


if __name__ == '__main__':
  absltest.main()
