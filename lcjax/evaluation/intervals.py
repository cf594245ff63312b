"""Intervals of differences: Student's t over seeds, a bootstrap over images.

Everything is paired. What is compared shares seeds, or requested labels and
test images, so that what varies in both alike is no difference.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import scipy.stats
import threadpoolctl

LEVEL = 0.95
# Standard errors from so few draws are right to 5 %, from the groups to 3 %.
_NUM_DRAWS = 200
_MOST_GROUPS = 500
_MOST_DIRECTIONS = 128


class Interval(NamedTuple):
  """A difference, its 95 % interval, and the two-sided p-value of none."""

  difference: float
  low: float
  high: float
  p: float


def of_error(
  difference: float, error: float, freedom: float = np.inf
) -> Interval:
  """The interval of a difference whose standard error is known.

  Args:
    difference: an estimate.
    error: its standard error. With 0, the interval is the difference alone.
    freedom: degrees of freedom of the error, of Student's t; infinite for a
      normal distribution.
  """
  half = error * float(scipy.stats.t.ppf((1 + LEVEL) / 2, freedom))
  if error > 0:
    p = 2 * float(scipy.stats.t.sf(abs(difference) / error, freedom))
  else:
    p = float(difference == 0)
  return Interval(difference, difference - half, difference + half, p)


def paired_t(differences: Sequence[float], shared: float = 0.0) -> Interval:
  """Student's t interval of the mean of paired differences.

  Student, "The probable error of a mean", Biometrika 6 (1908), Section IX.

  Args:
    differences: one for each of at least two seeds.
    shared: standard error of what all differences have in common, such as the
      same test images. It is added in squares; degrees of freedom are those of
      Satterthwaite, Biometrics Bulletin 2 (1946), with no limit for this part.
  """
  count = len(differences)
  if count < 2:
    raise ValueError(f'a spread needs at least two differences, not {count}')
  between = float(np.var(differences, ddof=1)) / count
  total = between + shared**2
  freedom = (count - 1) * (total / between) ** 2 if between > 0 else np.inf
  return of_error(float(np.mean(differences)), float(np.sqrt(total)), freedom)


def holm(p: Sequence[float]) -> list[float]:
  """Adjusted p-values, in the given order; reject those below the level.

  The chance of any false rejection is at most the level, whatever depends on
  what: Holm, Scandinavian Journal of Statistics 6 (1979).
  """
  order = np.argsort(p)
  steps = np.asarray(p)[order] * np.arange(len(p), 0, -1)
  adjusted = np.empty(len(p))
  adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
  return adjusted.tolist()


class Draws:
  """Bootstrap draws of test images and, with them, of all rows' samples.

  Efron, Annals of Statistics 7 (1979). A unit is a test image and the samples
  that got its label: sample i belongs to unit i modulo the number of units. All
  rows of a table share the draws, so that differences of results are paired.
  Above 500 test images, random groups of units are drawn instead of units, as
  in the random group method (Wolter, "Introduction to Variance Estimation",
  Chapter 2): then moments of groups suffice.

  Results are arrays whose standard deviation is a standard error; `error_of`
  takes it. The mean of bootstrapped Frechet distances is biased upwards, so
  quantiles are not used.
  """

  def __init__(self, num_units: int, num_draws: int = _NUM_DRAWS):
    """Draws once.

    Args:
      num_units: test images.
      num_draws: of the bootstrap.
    """
    rng = np.random.default_rng(0)
    count = min(num_units, _MOST_GROUPS)
    self._group = rng.permutation(num_units) % count  # [M]
    even = np.full(count, 1 / count)
    self._counts = rng.multinomial(count, even, num_draws).astype(float)

  def mean(self, values: np.ndarray) -> np.ndarray:
    """Influence of every unit on a mean: [M], no draws needed.

    The standard deviation is the usual standard error, for shares the binomial
    one if every unit has one sample.

    Args:
      values: [N] one for each of the first N samples.
    """
    units = np.arange(len(values)) % len(self._group)
    around = values - np.mean(values)
    sums = np.bincount(units, around, len(self._group))
    return sums * (np.sqrt(len(self._group)) / len(values))

  def overlap(self, values: np.ndarray) -> np.ndarray:
    """Influence of every unit on the mean of a `metrics.neighbour_values`.

    The values' own spread is that of one set of points, where the other is the
    same. Both sets have as many points, and in simulations of 6 to 20 features
    the other one adds as much variance again: without it, equal rows differ in
    15 % of the tables. (Of 3 features, samples that vary less than the real
    ones still differ in 8 %.)

    Args:
      values: [N] one for each of the first N points of one set.
    """
    return np.sqrt(2.0) * self.mean(values)

  def apply(
    self, fn: Callable[..., Mapping[str, float]], *arrays: np.ndarray
  ) -> dict[str, np.ndarray]:
    """Any scores of drawn rows: name -> [R].

    Args:
      fn: scores of arrays [n, ...].
      *arrays: [N, ...], each with its own N.
    """
    found = [
      fn(*(array[self._rows(len(array), counts)] for array in arrays))
      for counts in self._counts
    ]
    return {name: np.array([one[name] for one in found]) for name in found[0]}

  def diversity(
    self,
    features: np.ndarray,
    attributes: np.ndarray,
    reference_features: np.ndarray,
    reference_attributes: np.ndarray,
  ) -> np.ndarray:
    """`metrics.diversity` of every draw: [R]; the reference is not drawn."""
    if not np.isfinite(features).all():
      return np.full(len(self._counts), np.nan)
    weights = self._counts[:, self._groups(len(features))]  # [R, N]
    features = features - reference_features.mean(axis=0, dtype=np.float64)
    squares = np.square(features).sum(axis=1)
    ratios = []
    for has, real_has in zip(
      np.asarray(attributes).T > 0.5,
      np.asarray(reference_attributes).T > 0.5,
      strict=True,
    ):
      if min(has.sum(), real_has.sum()) >= 2:
        own = weights[:, has]
        count = own.sum(axis=1)
        first = np.square(own @ features[has]).sum(axis=1)
        with np.errstate(invalid='ignore', divide='ignore'):  # 0 / 0 is NaN
          variance = (own @ squares[has] - first / count) / (count - 1)
        real = reference_features[real_has].var(axis=0, ddof=1).sum()
        ratios.append(variance / real if real > 0 else np.nan * variance)
    return np.mean(ratios, axis=0) if ratios else np.full(len(weights), np.nan)

  def moments(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean [R, F] and covariance [R, F, F] of every draw of x [N, F]."""
    group = self._groups(len(x))
    count = np.bincount(group, minlength=self._counts.shape[1])
    # Groups, filled up with zeros to the same number of rows.
    padded = np.zeros((len(count), int(np.max(count)), x.shape[1]))
    order = np.argsort(group, kind='stable')
    place = np.arange(len(x)) - np.repeat(np.cumsum(count) - count, count)
    padded[group[order], place] = x[order]
    first = self._counts @ padded.sum(axis=1)
    second = np.tensordot(
      self._counts, padded.transpose(0, 2, 1) @ padded, axes=1
    )
    total = (self._counts @ count)[:, None, None]
    # Of very few samples, a draw may have none.
    mean = first / np.maximum(total[..., 0], 1)
    second -= total * mean[:, :, None] * mean[:, None, :]
    return mean, second / np.maximum(total - 1, 1)

  def _groups(self, num_rows: int) -> np.ndarray:
    """[N] groups of the first N samples."""
    return self._group[np.arange(num_rows) % len(self._group)]

  def _rows(self, num_rows: int, counts: np.ndarray) -> np.ndarray:
    """Numbers of the drawn samples, repeated as often as they were drawn.

    Of very few samples, a draw may have none; it then has them all.
    """
    times = counts[self._groups(num_rows)].astype(int)
    return np.repeat(np.arange(num_rows), times if times.any() else 1)


class Frechet:
  """`metrics.frechet_distance` to the same reference, for every draw.

  Beyond 128 features, the 128 directions in which the reference varies most
  stand for all.
  """

  def __init__(self, draws: Draws, reference: np.ndarray):
    """Computes everything that depends on the reference alone.

    Args:
      draws: shared by all rows.
      reference: [M, F] features of the test images.
    """
    self._draws = draws
    self._centre = reference.mean(axis=0, dtype=np.float64)
    cov = np.atleast_2d(np.cov(reference, rowvar=False))
    variances, directions = np.linalg.eigh(cov)
    self._directions = directions[:, -_MOST_DIRECTIONS:]
    with _blas().limit(limits=1):
      self._mean, cov = draws.moments(self._project(reference))
      values, vectors = np.linalg.eigh(cov)
      self._roots = (vectors * np.sqrt(np.maximum(values, 0))[:, None]) @ (
        vectors.transpose(0, 2, 1)
      )
    self._trace = np.trace(cov, axis1=1, axis2=2)
    kept = np.sum(variances[-_MOST_DIRECTIONS:])
    total = np.where(self._trace > 0, np.sum(variances) * self._trace, np.nan)
    self._scale = kept / total

  def __call__(self, features: np.ndarray) -> np.ndarray:
    """[R] distances of features [N, F]; NaN if any is not finite."""
    if not np.isfinite(features).all():
      return np.full(len(self._trace), np.nan)
    with _blas().limit(limits=1):
      mean, cov = self._draws.moments(self._project(features))
      squares = np.linalg.eigvalsh(self._roots @ cov @ self._roots)
    overlap = np.sqrt(np.maximum(squares, 0)).sum(axis=1)
    shift = np.square(mean - self._mean).sum(axis=1)
    traces = np.trace(cov, axis1=1, axis2=2) + self._trace
    return (shift + traces - 2 * overlap) * self._scale

  def _project(self, features: np.ndarray) -> np.ndarray:
    return (features - self._centre) @ self._directions


@functools.cache
def _blas() -> threadpoolctl.ThreadpoolController:
  """To limit threads: of matrices this small, they cost more than they save."""
  return threadpoolctl.ThreadpoolController()


def error_of(drawn: np.ndarray) -> float:
  """The standard error that results of `Draws`, or their difference, have.

  Draws without a value, as for a class that was not drawn, are left out; NaN if
  those are half of them or more.
  """
  finite = drawn[np.isfinite(drawn)]
  return float(np.std(finite)) if 2 * len(finite) > len(drawn) else float('nan')
