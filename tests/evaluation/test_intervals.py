"""Intervals against SciPy and by hand; that equal methods are seldom apart."""

import numpy as np
import pytest
import scipy.stats
import threadpoolctl

from lcjax import types
from lcjax.evaluation import intervals, metrics

BITS = types.Bits(('hat', 'smile', 'beard'))


@pytest.fixture(autouse=True, scope='module')
def one_thread():
  """The matrices are small."""
  with threadpoolctl.threadpool_limits(1):
    yield


def test_t_interval_is_that_of_scipy():
  ours, theirs = np.random.default_rng(0).normal(size=(2, 5))
  found = intervals.paired_t(list(ours - theirs))
  expected = scipy.stats.ttest_rel(ours, theirs)
  limits = expected.confidence_interval(0.95)
  np.testing.assert_allclose(
    found, [np.mean(ours - theirs), limits.low, limits.high, expected.pvalue]
  )


def test_what_all_seeds_share_is_added():
  gaps = [0.1, 0.3, 0.2]
  alone, found = intervals.paired_t(gaps), intervals.paired_t(gaps, 0.5)
  assert found.difference == alone.difference
  # .01 / 3 between and .25 shared: so hardly any is estimated from seeds.
  error = np.sqrt(0.01 / 3 + 0.25)
  np.testing.assert_allclose(found.high - 0.2, 1.96 * error, rtol=1e-3)
  # Equal parts have (2 - 1) * 2^2 degrees of freedom.
  gaps = [-1.0, 1.0]
  np.testing.assert_allclose(
    intervals.paired_t(gaps, 1.0).high,
    scipy.stats.t.ppf(0.975, 4) * np.sqrt(2.0),
  )
  with pytest.raises(ValueError, match='at least two'):
    intervals.paired_t([1.0])


def test_without_any_error_only_no_difference_is_none():
  assert intervals.paired_t([0.1, 0.1]) == (0.1, 0.1, 0.1, 0.0)
  assert intervals.of_error(0.0, 0.0) == (0.0, 0.0, 0.0, 1.0)


@pytest.mark.parametrize(
  ('p', 'adjusted'),
  [
    # 4 * .01, 3 * .02, then 2 * .022 is less than .06, and 1 * .2.
    ([0.022, 0.01, 0.2, 0.02], [0.06, 0.04, 0.2, 0.06]),
    ([0.3, 0.9], [0.6, 0.9]),
    ([0.7, 0.6], [1.0, 1.0]),
    ([0.04], [0.04]),
    ([], []),
  ],
)
def test_holm_by_hand(p, adjusted):
  np.testing.assert_allclose(intervals.holm(p), adjusted)


def test_the_error_of_a_share_is_the_binomial_one_and_pairs_by_unit():
  right = np.random.default_rng(1).random((2, 400)) < 0.8
  draws = intervals.Draws(400)
  ours, theirs = map(draws.mean, right)
  share = right[0].mean()
  np.testing.assert_allclose(
    intervals.error_of(ours), np.sqrt(share * (1 - share) / 400)
  )
  gap = right[0].astype(float) - right[1]
  np.testing.assert_allclose(
    intervals.error_of(ours - theirs), gap.std() / np.sqrt(400)
  )
  assert intervals.error_of(ours - ours) == 0
  # Two samples that always agree are one.
  twice = draws.mean(np.tile(right[0], 2))
  np.testing.assert_allclose(twice, ours)


def draw(seed, shift=0.0, num=300, width=5):
  rng = np.random.default_rng(seed)
  return rng.normal(size=(num, width)) * np.arange(1, width + 1) + shift


def repeated(draws, number, num_rows):
  """Rows of a draw, by hand."""
  unit = np.arange(num_rows) % len(draws._group)
  times = draws._counts[number][draws._group[unit]].astype(int)
  return np.repeat(np.arange(num_rows), times)


@pytest.mark.parametrize('num_units', [150, 700])  # 700 are in 500 groups
def test_draws_are_those_of_the_metric_itself(num_units):
  draws = intervals.Draws(num_units, 20)
  real, x = draw(1, num=num_units), draw(2, 0.3, num=2 * num_units + 7)
  y = np.eye(3)[np.arange(len(x)) % 3]
  # In bits, a row may have several; the last attribute occurs once in `real`.
  y[::2, 1] = 1
  real_y = np.eye(3)[np.arange(num_units) % 2]
  real_y[0] = 1
  frechet = intervals.Frechet(draws, real)(x)
  diversity = draws.diversity(x, y, real, real_y)
  scores = draws.apply(
    lambda a, b: metrics.classification_scores(a, b, BITS),
    np.roll(y, 5, axis=0),
    y,
  )
  for number in range(20):
    rows = repeated(draws, number, len(x))
    own = x[rows], y[rows]
    reference = real[repeated(draws, number, num_units)]
    np.testing.assert_allclose(
      frechet[number], metrics.frechet_distance(own[0], reference), rtol=1e-8
    )
    np.testing.assert_allclose(
      diversity[number], metrics.diversity(*own, real, real_y)
    )
    expected = metrics.classification_scores(
      np.roll(y, 5, axis=0)[rows], y[rows], BITS
    )
    for name, values in scores.items():
      assert values[number] == expected[name]


def test_many_features_are_few_directions():
  scales = 0.9 ** np.arange(140)
  real, x = np.random.default_rng(3).normal(size=(2, 100, 140)) * scales
  draws = intervals.Draws(100, 3)
  found = intervals.Frechet(draws, real)(x)
  for number in range(3):
    rows = repeated(draws, number, 100)
    np.testing.assert_allclose(
      found[number], metrics.frechet_distance(x[rows], real[rows]), rtol=1e-4
    )


def test_features_that_diverged_have_no_error():
  draws = intervals.Draws(50)
  frechet = intervals.Frechet(draws, draw(1, num=50))
  found = frechet(np.where(draw(2, num=50) > 2, np.inf, 0.0))
  assert np.isnan(intervals.error_of(found))
  y = np.ones((50, 1))
  broken = np.full((50, 5), np.nan)
  assert np.isnan(draws.diversity(broken, y, draw(1), np.ones((300, 1)))).all()
  constant = intervals.Frechet(draws, np.ones((50, 2)))
  assert np.isnan(intervals.error_of(constant(draw(1, num=50, width=2))))
  # A class that is seldom drawn twice leaves most draws.
  assert intervals.error_of(np.array([1.0, 3.0, np.nan])) == 1.0


def test_groups_and_draws_give_the_error_of_repetitions():
  """Of 1,000 images, in groups of two; and of another number of samples."""
  found, errors = [], []
  for seed in range(60):
    rng = np.random.default_rng(seed)
    real, x = rng.normal(size=(1000, 6)), rng.normal(size=(1500, 6)) + 0.3
    found.append(metrics.frechet_distance(x, real))
    if seed < 10:
      draws = intervals.Draws(1000)
      errors.append(intervals.error_of(intervals.Frechet(draws, real)(x)))
  # The spread of 60 is known to 9 %.
  np.testing.assert_allclose(np.mean(errors), np.std(found, ddof=1), rtol=0.27)


def test_two_samples_of_many_test_images():
  """Most draws have none of them."""
  draws, x, y = intervals.Draws(700), draw(1, num=2), np.eye(3)[[0, 1]]
  frechet = intervals.Frechet(draws, draw(2, num=700))
  assert np.isfinite(frechet(x)).all()
  found = draws.apply(
    lambda a, b: metrics.classification_scores(a, b, BITS), y, y
  )
  np.testing.assert_array_equal(found['accuracy'], 1.0)
  assert np.isnan(intervals.error_of(draws.diversity(x, y, x, y)))


def called(found):
  return found.p < 1 - intervals.LEVEL


def share(outcomes):
  """The share of outcomes that are true, of enough to tell 6 % from 10 %."""
  outcomes = list(outcomes)
  limit = scipy.stats.binom.ppf(0.001, len(outcomes), 0.1)
  assert limit > 0.06 * len(outcomes)
  return np.mean(outcomes)


def seeds(gap, count):
  """Costs of three seeds: what the VAE does is common to both rows."""
  rng = np.random.default_rng(4)
  common, own = rng.normal(size=(count, 1, 3)), rng.normal(size=(count, 2, 3))
  both = 3 * common + own
  return both[:, 0] - both[:, 1] + gap


def test_three_seeds_of_equal_methods_are_seldom_told_apart():
  found = seeds(0.0, 2000)
  assert share(called(intervals.paired_t(gaps)) for gaps in found) <= 0.06
  # A gap that the spread of VAEs would hide, were seeds not paired.
  found = seeds(8.0, 300)
  assert np.mean([called(intervals.paired_t(gaps)) for gaps in found]) > 0.9


@pytest.mark.parametrize('rate', [0.9, 0.995])
def test_one_seed_of_equal_accuracies_is_seldom_told_apart(rate):
  draws, rng = intervals.Draws(500), np.random.default_rng(5)

  def told(gap):
    # Half the time, both rows answer alike.
    alike = rng.random(500) < 0.5
    ours = rng.random(500) < rate - gap
    theirs = np.where(alike & (gap == 0), ours, rng.random(500) < rate)
    error = intervals.error_of(draws.mean(ours) - draws.mean(theirs))
    return called(intervals.of_error(ours.mean() - theirs.mean(), error))

  assert share(told(0.0) for _ in range(2000)) <= 0.06
  assert np.mean([told(0.1) for _ in range(200)]) > 0.9


@pytest.mark.parametrize('shift', [0.0, 0.5])  # as the real ones, or not
def test_one_seed_of_equal_frechet_distances_is_seldom_told_apart(shift):
  draws, rng = intervals.Draws(150, 100), np.random.default_rng(6)

  def told(gap):
    real, ours, theirs = rng.normal(size=(3, 150, 3))
    frechet = intervals.Frechet(draws, real)
    ours, theirs = ours + shift + gap, theirs + shift
    error = intervals.error_of(frechet(ours) - frechet(theirs))
    distances = [metrics.frechet_distance(x, real) for x in (ours, theirs)]
    return called(intervals.of_error(distances[0] - distances[1], error))

  assert share(told(0.0) for _ in range(800)) <= 0.06
  assert np.mean([told(0.5) for _ in range(50)]) > 0.9


def test_one_seed_of_equal_recalls_is_seldom_told_apart():
  draws, rng = intervals.Draws(120, 2), np.random.default_rng(8)

  def told(gap):
    real, ours, theirs = rng.normal(size=(3, 120, 8))
    found = [
      metrics.neighbour_values(0.8 * x, real, 3)['knn_recall']
      for x in (ours * (1 - gap), theirs)
    ]
    error = intervals.error_of(
      draws.overlap(found[0]) - draws.overlap(found[1])
    )
    return called(intervals.of_error(found[0].mean() - found[1].mean(), error))

  assert share(told(0.0) for _ in range(600)) <= 0.06
  assert np.mean([told(0.7) for _ in range(50)]) > 0.9
