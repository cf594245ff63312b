"""Latents without a trained mover: the prior, and what scikit-learn can fit.

The class models are the cheap baselines that a mover has to beat.
"""

import functools
from collections.abc import Callable

import numpy as np
from sklearn import mixture

Sampler = Callable[[np.ndarray, int], np.ndarray]


def prior(num_rows: int, size: int, seed: int) -> np.ndarray:
  """Z ~ N(0, I): [num_rows, size] float32."""
  rng = np.random.default_rng(seed)
  return rng.standard_normal((num_rows, size), dtype=np.float32)


def fit_mixture(
  z: np.ndarray, num_components: int, seed: int
) -> mixture.GaussianMixture:
  """Fits a Gaussian mixture with full covariances to latents [N, Z].

  Args:
    z: latents of q(z).
    num_components: at most; no more than one in every 2 Z rows.
    seed: of the initial k-means.
  """
  most = max(1, len(z) // (2 * z.shape[1]))
  model = mixture.GaussianMixture(
    min(num_components, most), reg_covar=1e-4, random_state=seed
  )
  return model.fit(z.astype(np.float64))


def sample_mixture(
  model: mixture.GaussianMixture, num_rows: int, seed: int
) -> np.ndarray:
  """Draws [num_rows, Z] float32 from a fitted mixture, in random order."""
  rng = np.random.default_rng(seed)
  parts = rng.choice(len(model.weights_), num_rows, p=model.weights_)
  z = np.empty((num_rows, model.means_.shape[1]))
  for part in np.unique(parts):
    rows = parts == part
    z[rows] = rng.multivariate_normal(
      model.means_[part],
      model.covariances_[part],
      rows.sum(),
      method='cholesky',
    )
  return z.astype(np.float32)


def _nearest_rows(y: np.ndarray, vector: np.ndarray, least: int) -> np.ndarray:
  """Rows whose attributes differ from a vector in as few places as possible.

  In more places, all rows alike, where fewer than `least` rows are so near.
  """
  differences = np.sum(y != vector, axis=1)
  least = min(least, len(y))
  radius = np.sort(differences)[least - 1]
  return differences <= radius


def fit_class_mixtures(
  z: np.ndarray, y: np.ndarray, num_components: int, seed: int
) -> Sampler:
  """Fits a mixture to the latents of every attribute vector.

  Independent attributes have vectors that occur once or never: those take the
  rows with the nearest vectors, two at least.

  Args:
    z: [N, Z] latents of q(z).
    y: [N, Y] their attributes.
    num_components: 1 for a Gaussian per class.
    seed: of the fits.

  Returns:
    `sample(y [B, Y], seed) -> z [B, Z]`.
  """

  @functools.cache
  def fit(vector: tuple[float, ...]) -> mixture.GaussianMixture:
    rows = _nearest_rows(y, np.asarray(vector), least=2)
    return fit_mixture(z[rows], num_components, seed)

  for vector in np.unique(y, axis=0):
    fit(tuple(vector.tolist()))

  def sample(y: np.ndarray, seed: int) -> np.ndarray:
    out = np.empty((len(y), z.shape[1]), np.float32)
    vectors, groups = np.unique(y, axis=0, return_inverse=True)
    for i, vector in enumerate(vectors):
      rows = groups == i
      model = fit(tuple(vector.tolist()))
      out[rows] = sample_mixture(model, rows.sum(), seed + i)
    return out

  return sample


def keep_accepted(
  sample: Sampler,
  accept: Callable[[np.ndarray, np.ndarray], np.ndarray],
  y: np.ndarray,
  seed: int,
  max_rounds: int = 50,
) -> np.ndarray:
  """Rejection: draws again until every row is accepted.

  Args:
    sample: `(y, seed) -> z`.
    accept: `(z [B, Z], y [B, Y]) -> [B]` booleans.
    y: [B, Y] requested attributes.
    seed: of the first round; the others count on from it.
    max_rounds: rows still refused then keep their last draw.

  Returns:
    [B, Z].
  """
  z = sample(y, seed)
  rows = np.flatnonzero(~accept(z, y))
  for number in range(1, max_rounds):
    if not rows.size:
      break
    z[rows] = sample(y[rows], seed + 1000 * number)
    rows = rows[~accept(z[rows], y[rows])]
  return z
