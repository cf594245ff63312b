"""Scores of samples from the judge's outputs: arrays in, floats out.

`features` are a judge's penultimate activations. The judge is trained on real
images only; critics do not score the samples that were optimised against them.
"""

import numpy as np
import scipy.linalg
from sklearn.metrics import pairwise_distances_chunked
from sklearn.neighbors import NearestNeighbors

from lcjax import types

Scores = dict[str, float]

# Training images are searched in chunks: as floats they may exceed memory.
_SEARCH_ROWS = 10_000
_WORKING_MEMORY_MIB = 256
_EDGE = 1e-6  # relative tolerance of a radius


def classification_scores(
  predicted: np.ndarray, requested: np.ndarray, labels: types.Labels
) -> Scores:
  """Agreement of predicted with requested attributes, every score in [0, 1].

  For classes, `accuracy` is the share of rows whose class agrees, and
  `worst_class_accuracy` the lowest recall of a requested class. For bits, they
  are the share of bits that agree, and the lowest such share of an attribute.
  Precision, recall and F1 are means over the attributes that are requested or
  predicted at least once (0 / 0 for the others), NaN if there are none.

  Args:
    predicted: [N, Y] of 0 and 1.
    requested: [N, Y] of 0 and 1.
    labels: names and kind of the attributes.
  """
  predicted = np.asarray(predicted) > 0.5
  requested = np.asarray(requested) > 0.5
  if predicted.shape != requested.shape or predicted.ndim != 2:
    raise ValueError(
      'predicted and requested must have one shape [N, Y], not '
      f'{predicted.shape} and {requested.shape}'
    )
  hits = (predicted & requested).sum(axis=0)
  num_predicted, num_requested = predicted.sum(axis=0), requested.sum(axis=0)
  # Precision is 0 if never predicted, recall is 0 if never requested.
  precision = hits / np.maximum(num_predicted, 1)
  recall = hits / np.maximum(num_requested, 1)
  f1 = 2 * hits / np.maximum(num_predicted + num_requested, 1)
  if isinstance(labels, types.Classes):
    accuracy, worst = hits.sum() / len(requested), recall[num_requested > 0]
  else:
    agrees = predicted == requested
    accuracy, worst = agrees.mean(), agrees.mean(axis=0)
  occurs = num_predicted + num_requested > 0

  def mean(values: np.ndarray) -> float:
    return float(values[occurs].mean()) if occurs.any() else float('nan')

  return {
    'accuracy': float(accuracy),
    'macro_precision': mean(precision),
    'macro_recall': mean(recall),
    'macro_f1': mean(f1),
    'worst_class_accuracy': float(np.min(worst)),
  }


def frechet_distance(features: np.ndarray, reference: np.ndarray) -> float:
  """Squared Frechet distance of Gaussian fits over the reference's variance.

  |m - m'|^2 + tr(S + S' - 2 (S S')^(1/2)), Heusel et al., arXiv:1706.08500,
  divided by tr(S'). Without a unit, results of judges whose features differ in
  scale are comparable.

  Args:
    features: [N, F] of samples. Values that are not finite give NaN, so that a
      mover that diverged does not prevent the scores of the others.
    reference: [M, F] of real images; its covariance may be singular.
  """
  features, reference = _matrices(features, reference)
  if not np.isfinite(features).all():
    return float('nan')
  shift = features.mean(axis=0) - reference.mean(axis=0)
  cov, reference_cov = _covariance(features), _covariance(reference)
  # tr((S S')^(1/2)) is the nuclear norm of S^(1/2) S'^(1/2), which never takes
  # the root of rounding errors around zero twice, as (S S')^(1/2) would.
  overlap = scipy.linalg.svdvals(_root(cov) @ _root(reference_cov)).sum()
  total = np.trace(reference_cov)
  squared = shift @ shift + np.trace(cov) + total - 2 * overlap
  return float(max(squared, 0.0) / total)


def frechet_of_equal_size(
  features: np.ndarray, reference: np.ndarray, num_rows: int
) -> float:
  """The mean `frechet_distance` of disjoint subsets of equal size, in order.

  The distance is larger for fewer samples (Binkowski et al., arXiv:1801.01401),
  so that rows of different length are compared at the same number.

  Args:
    features: [N, F] of samples; the last N modulo num_rows are unused.
    reference: [M, F] of real images.
    num_rows: of a subset, from 2 to N.
  """
  parts = equal_parts(features, num_rows)
  return float(np.mean([frechet_distance(part, reference) for part in parts]))


def equal_parts(features: np.ndarray, num_rows: int) -> list[np.ndarray]:
  """Disjoint subsets of `num_rows` rows, in order; what is left is unused."""
  starts = range(0, len(features) - num_rows + 1, num_rows)
  return [features[start : start + num_rows] for start in starts]


def kernel_distance(
  features: np.ndarray,
  reference: np.ndarray,
  num_subsets: int,
  subset_size: int,
  seed: int,
) -> tuple[float, float]:
  """Kernel distance (KID): its mean over random subsets, and its spread.

  The unbiased squared maximum mean discrepancy with the kernel (x y / F + 1)^3,
  Binkowski et al., arXiv:1801.01401, Appendix A. It may be negative; between
  equal distributions it is 0 in expectation, for any number of samples. Unlike
  theirs, features are standardised by the reference's mean and standard
  deviation, so that judges whose features differ in scale are comparable.

  Args:
    features: [N, F] of samples; values that are not finite give NaN.
    reference: [M, F] of real images.
    num_subsets: pairs of subsets, each drawn without replacement.
    subset_size: rows of a subset, from 2 to min(N, M).
    seed: of the subsets.

  Returns:
    Mean, and standard deviation over the subsets.
  """
  features, reference = _matrices(features, reference)
  least = min(len(features), len(reference))
  if not 2 <= subset_size <= least:
    raise ValueError(f'subset_size={subset_size} must be from 2 to {least}')
  if not np.isfinite(features).all():
    return float('nan'), float('nan')
  mean, std = reference.mean(axis=0), reference.std(axis=0)
  std = np.where(std > 0, std, 1.0)
  rng = np.random.default_rng(seed)
  found = []
  for _ in range(num_subsets):
    x, y = (
      (part[rng.choice(len(part), subset_size, replace=False)] - mean) / std
      for part in (features, reference)
    )
    within = 0.0
    for kernel in (_cubic_kernel(x, x), _cubic_kernel(y, y)):
      within += kernel.sum() - np.trace(kernel)
    pairs = subset_size * (subset_size - 1)
    found.append(within / pairs - 2.0 * _cubic_kernel(x, y).mean())
  return float(np.mean(found)), float(np.std(found))


def diversity(
  features: np.ndarray,
  attributes: np.ndarray,
  reference_features: np.ndarray,
  reference_attributes: np.ndarray,
) -> float:
  """Feature variance within an attribute, divided by that of real images.

  1 means as varied as the reference. If the judge was trained on the reference,
  its features vary less there than on other real images, which then exceed 1.

  Args:
    features: [N, F] of samples.
    attributes: [N, Y] of 0 and 1, as requested.
    reference_features: [M, F] of real images.
    reference_attributes: [M, Y] of 0 and 1.

  Returns:
    The ratio of covariance traces among the rows that have an attribute, as a
    mean over attributes with at least two such rows on both sides; NaN if there
    are none.
  """
  features, reference_features = _matrices(features, reference_features)
  ratios = []
  for has, real_has in zip(
    np.asarray(attributes).T > 0.5,
    np.asarray(reference_attributes).T > 0.5,
    strict=True,
  ):
    if min(has.sum(), real_has.sum()) >= 2:
      # The trace of a covariance is the sum of variances.
      variance = features[has].var(axis=0, ddof=1).sum()
      real_variance = reference_features[real_has].var(axis=0, ddof=1).sum()
      ratios.append(ratio(variance, real_variance))
  return float(np.mean(ratios)) if ratios else float('nan')


def neighbour_values(
  features: np.ndarray, reference: np.ndarray, num_neighbours: int
) -> dict[str, np.ndarray]:
  """Overlap of samples and real images in k-NN balls; scores are the means.

  A ball extends from a point to its k-th nearest other point of the same set.
  `knn_precision`: share of samples in a real ball, and `knn_recall`: share of
  real images in a sample's ball (Kynkaanniemi et al., arXiv:1904.06991).
  `density`: mean number of real balls around a sample over k, and `coverage`:
  share of real balls with a sample inside (Naeem et al., arXiv:2002.09797).

  All depend on the number of points, so only the first min(N, M) rows of both
  sets are used; shuffle rows that are sorted.

  Args:
    features: [N, F] of samples; values that are not finite give NaN.
    reference: [M, F] of real images.
    num_neighbours: k, smaller than min(N, M).

  Returns:
    Arrays [min(N, M)]: of samples for precision and density, of real images for
    recall and coverage.
  """
  features, reference = _matrices(features, reference)
  num = min(len(features), len(reference))
  if not 0 < num_neighbours < num:
    raise ValueError(
      f'num_neighbours={num_neighbours} must be from 1 to {num - 1}, less than '
      f'the {num} rows'
    )
  features, reference = features[:num], reference[:num]
  names = ('knn_precision', 'knn_recall', 'density', 'coverage')
  if not np.isfinite(features).all():
    return dict.fromkeys(names, np.full(num, np.nan))
  # Differences of values far from 0 lose precision.
  centre = reference.mean(axis=0)
  features, reference = features - centre, reference - centre
  radius = _squared_radius(features, num_neighbours)
  real_radius = _squared_radius(reference, num_neighbours)
  rounding, real_rounding = _rounding(features), _rounding(reference)
  balls_around = np.empty(num)
  recalled, covered = np.zeros(num, bool), np.zeros(num, bool)
  start = 0
  for squared in pairwise_distances_chunked(
    features, reference, working_memory=_WORKING_MEMORY_MIB, squared=True
  ):
    rows = slice(start, start + len(squared))
    # For equal a and b, |a|^2 - 2ab + |b|^2 may exceed 0 by rounding, while the
    # radius may be exactly 0.
    squared -= rounding[rows, None]
    squared -= real_rounding
    in_real_ball = squared <= real_radius
    balls_around[rows] = in_real_ball.sum(axis=1)
    covered |= in_real_ball.any(axis=0)
    recalled |= (squared <= radius[rows, None]).any(axis=0)
    start = rows.stop
  density = balls_around / num_neighbours
  values = balls_around > 0, recalled, density, covered
  return dict(zip(names, values, strict=True))


def nearest_train_distances(
  images: np.ndarray, train_images: np.ndarray
) -> np.ndarray:
  """Pixel distances [N] of images to their nearest training image.

  The median divided by that of test images: 1 means as close as unseen images;
  clearly below 1 suggests memorisation; above 1 that samples are off the data.

  Args:
    images: [N, ...] pixels.
    train_images: [T, ...] pixels of the same scale and kind: all uint8, or all
      floats. The search computes N * T distances: pass a subset of large sets.
  """
  kinds = {np.asarray(a).dtype.kind for a in (images, train_images)}
  if len(kinds) > 1:
    raise ValueError(
      f'images have dtypes of the kinds {kinds}: pass all as uint8 or as floats'
    )
  return _nearest(images, train_images)[0]


def authenticity(
  features: np.ndarray, train_features: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
  """Which samples are no copies, and their distances to training rows.

  A sample is authentic if it is farther from its nearest training row than that
  row is from its own nearest other one: Alaa et al., arXiv:2102.08921, Section
  3.3, there in an embedding of their own. Copies are not.

  Args:
    features: [N, F] of samples; values that are not finite give NaN.
    train_features: [T, F] of all training rows.

  Returns:
    [N] zeros and ones, and [N] distances to the nearest training row.
  """
  if not np.isfinite(features).all():
    nothing = np.full(len(features), np.nan)
    return nothing, nothing
  distance, nearest = _nearest(features, train_features)
  # Only the training rows that are nearest to a sample need a neighbour.
  rows, inverse = np.unique(nearest, return_inverse=True)
  among_train, _ = _nearest(train_features[rows], train_features, rows)
  return (distance > among_train[inverse]).astype(float), distance


def z_distance(
  z: np.ndarray, start: np.ndarray, mean_scale: np.ndarray
) -> float:
  """Mean squared move of latents, measured in mean posterior scales.

  Args:
    z: [N, Z] latents after the move.
    start: [N, Z] latents before the move.
    mean_scale: [Z] standard deviation of q(z|x), averaged over training data.
  """
  move = (np.asarray(z, np.float64) - start) / np.asarray(mean_scale)
  return float(np.mean(move**2))


def active_units(means: np.ndarray, threshold: float = 0.01) -> int:
  """Number of latent dimensions that depend on the data.

  A dimension is active if the variance of its posterior mean over the data
  exceeds `threshold`: Burda et al., arXiv:1509.00519, with their threshold.

  Args:
    means: [N, Z] posterior means.
    threshold: variance, in squared units of z.
  """
  return int(np.sum(np.var(np.asarray(means, np.float64), axis=0) > threshold))


def _matrices(*arrays: np.ndarray) -> list[np.ndarray]:
  """Checks [N, F] features with N > 1 and equal F; returns them as float64."""
  matrices = [np.asarray(array, np.float64) for array in arrays]
  shapes = [matrix.shape for matrix in matrices]
  if any(len(s) != 2 or s[0] < 2 or s[1] != shapes[0][1] for s in shapes):
    raise ValueError(
      f'features must be [N, F] with N > 1 and the same F, not {shapes}'
    )
  return matrices


def _covariance(features: np.ndarray) -> np.ndarray:
  return np.atleast_2d(np.cov(features, rowvar=False))


def _cubic_kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
  inner = x @ y.T / x.shape[1] + 1.0
  return inner * inner * inner  # ten times as fast as a power


def _root(cov: np.ndarray) -> np.ndarray:
  """Symmetric square root; eigenvalues below zero are rounding errors."""
  eigenvalues, vectors = scipy.linalg.eigh(cov)
  return (vectors * np.sqrt(np.maximum(eigenvalues, 0.0))) @ vectors.T


def _squared_radius(points: np.ndarray, num_neighbours: int) -> np.ndarray:
  """[N] squared distance of every point to its k-th nearest other point."""
  index = NearestNeighbors(n_neighbors=num_neighbours).fit(points)
  # Without an argument, kneighbors does not count a point itself.
  distance, _ = index.kneighbors()
  # Points on the edge count as inside, whatever the rounding.
  return np.square(distance[:, -1] * (1 + _EDGE))


def _rounding(points: np.ndarray) -> np.ndarray:
  """[N] bound on each point's share of the error of a squared distance.

  The rounding error of a sum of F products is at most F eps |a| |b|. A squared
  distance has three such sums, and it is compared with another one.
  """
  eps = np.finfo(np.float64).eps
  return 4 * (points.shape[1] + 4) * eps * np.square(points).sum(axis=1)


def _nearest(
  images: np.ndarray, among: np.ndarray, own: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
  """Searches for the nearest row, by euclidean distance.

  Args:
    images: [N, ...].
    among: [T, ...].
    own: [N] the images' own row numbers in `among`, which do not count.

  Returns:
    [N] distances, infinite without any other row, and [N] row numbers.
  """
  rows = np.reshape(images, (len(images), -1)).astype(np.float32)
  nearest, number = np.full(len(rows), np.inf), np.zeros(len(rows), int)
  for start in range(0, len(among), _SEARCH_ROWS):
    part = among[start : start + _SEARCH_ROWS]
    others = np.reshape(part, (len(part), -1)).astype(np.float32)
    count = 1 if own is None else min(2, len(others))
    index = NearestNeighbors(n_neighbors=count, algorithm='brute').fit(others)
    candidates = index.kneighbors(rows, return_distance=False)
    for found in candidates.T:
      # The search rounds |a|^2 - 2ab + |b|^2, but copies must have distance 0.
      exact = np.linalg.norm(rows - others[found], axis=1)
      if own is not None:
        exact[start + found == own] = np.inf
      number = np.where(exact < nearest, start + found, number)
      nearest = np.minimum(nearest, exact)
  return nearest, number


def ratio(value: float, reference: float) -> float:
  """`value / reference`; NaN if the reference is not positive."""
  return float(value / reference) if reference > 0 else float('nan')
