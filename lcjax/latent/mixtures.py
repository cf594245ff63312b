"""Gaussian mixtures of latents: fits, samplers and an exact denoiser.

A Gaussian mixture with Gaussian noise added is again a Gaussian mixture. So its
score, and the probability of its classes given a noised latent, are known
exactly at every noise level.
"""

import dataclasses
import warnings
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import threadpoolctl
from sklearn import exceptions, linear_model, mixture

from lcjax.latent import denoise, noise

# (y [B, Y], global row numbers [B], key) -> z [B, Z]; row i of the result
# depends on row i of y, its row number and the key only.
Sampler = Callable[[np.ndarray, np.ndarray, jax.Array], np.ndarray]


class Mixture(NamedTuple):
  """A Gaussian mixture with full covariances.

  Attributes:
    weights: [K]; `sample` normalises them.
    means: [K, Z].
    covariances: [K, Z, Z].
    attributes: [K, Y], the class of each component; Y = 0 if components have
      no class.
  """

  weights: np.ndarray
  means: np.ndarray
  covariances: np.ndarray
  attributes: np.ndarray


def fit(
  z: np.ndarray, num_components: int | Sequence[int], seed: int
) -> Mixture:
  """Fits a mixture to latents, ignoring their classes.

  Of several numbers of components, the one is taken under which a tenth of the
  rows, held out of the fits, is likeliest; then all rows are fitted.

  Args:
    z: [N, Z] latents of q(z).
    num_components: K, or several to choose from; each reduced to N / (2 Z) if
      that is smaller.
    seed: of the initial k-means, and of the choice of held-out rows.
  """
  z = z.astype(np.float64)
  count = num_components
  if not isinstance(count, int):
    order = np.random.default_rng(seed).permutation(len(z))
    held_out, rest = np.split(z[order], [len(z) // 10])
    given = sorted({min(k, _most_components(rest)) for k in count})
    count = given[0]
    if len(given) > 1:
      scores = [_fit(rest, k, seed).score(held_out) for k in given]
      count = given[int(np.argmax(scores))]
  model = _fit(z, min(count, _most_components(z)), seed)
  none = np.zeros((len(model.weights_), 0), np.float32)
  return Mixture(model.weights_, model.means_, model.covariances_, none)


def _most_components(z: np.ndarray) -> int:
  return max(1, len(z) // (2 * z.shape[1]))


# Multiplications of a fit, about: a minute on a core. EM goes furthest in its
# first iterations, and a large mixture is worth more than a converged one.
_MOST_PRODUCTS = 1e11


def _fit(z: np.ndarray, count: int, seed: int) -> mixture.GaussianMixture:
  affordable = _MOST_PRODUCTS / (count * len(z) * z.shape[1] ** 2)
  model = mixture.GaussianMixture(
    count,
    reg_covar=1e-4,
    random_state=seed,
    max_iter=int(np.clip(affordable, 5, 100)),
  )
  # The matrices are small: BLAS threads would cost more than they save,
  # especially on busy cores.
  with threadpoolctl.threadpool_limits(1), warnings.catch_warnings():
    # A candidate that has not converged is not likely to be chosen, and can be
    # sampled from all the same.
    warnings.simplefilter('ignore', exceptions.ConvergenceWarning)
    return model.fit(z)


def sample(model: Mixture, rows: np.ndarray, key: jax.Array) -> np.ndarray:
  """Draws latents [B, Z], float32.

  Args:
    model: the mixture to draw from.
    rows: [B] global row numbers: a row's draw depends on its number and the
      key, not on the other rows.
    key: of the draw.
  """
  part_key, eps_key = jax.random.split(key)
  shares = np.cumsum(model.weights) / np.sum(model.weights)
  chosen = noise.draw(part_key, rows)
  parts = np.searchsorted(shares[:-1], chosen, side='right')
  eps = noise.draw(eps_key, rows, model.means.shape[1])
  z = np.empty_like(eps)
  for part in np.unique(parts):
    own = parts == part
    root = np.linalg.cholesky(model.covariances[part])
    # Not a BLAS product, whose rounding of a row depends on the other rows.
    z[own] = model.means[part] + np.einsum('ij,bj->bi', root, eps[own])
  return z


def narrowed(model: Mixture, factor: float) -> Mixture:
  """The mixture with every component's standard deviation times a factor.

  Below 1, draws are nearer to the centres: more typical and less varied, as
  with the reduced temperature of Kingma & Dhariwal, arXiv:1807.03039.
  """
  return model._replace(covariances=factor**2 * model.covariances)


def fit_classes(
  z: np.ndarray,
  y: np.ndarray,
  num_components: int | Sequence[int],
  seed: int,
) -> Mixture:
  """Fits a mixture to every class and joins them to a mixture of all latents.

  Args:
    z: [N, Z] latents of q(z).
    y: [N, Y] their classes; every vector needs enough rows for a fit. For
      independent attributes, which have too many vectors, see
      `fit_attributes`.
    num_components: per class, see `fit`; 1 for a Gaussian.
    seed: of the fits.
  """
  parts = []
  for vector in np.unique(y, axis=0):
    rows = np.all(y == vector, axis=1)
    part = fit(z[rows], num_components, seed)
    attributes = np.tile(vector, (len(part.weights), 1))
    weights = part.weights * np.mean(rows)
    parts.append(part._replace(weights=weights, attributes=attributes))
  joined = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
  return Mixture(*joined)


@dataclasses.dataclass(frozen=True)
class ClassSampler:
  """Draws from a mixture made by `fit_classes`; a `Sampler`."""

  model: Mixture

  def __call__(
    self, y: np.ndarray, rows: np.ndarray, key: jax.Array
  ) -> np.ndarray:
    """Draws z [B, Z] of classes y [B, Y]."""
    model = self.model
    out = np.empty((len(y), model.means.shape[1]), np.float32)
    for vector in np.unique(y, axis=0):
      asked = np.all(y == vector, axis=1)
      own = np.all(model.attributes == vector, axis=1)
      part = Mixture(*(array[own] for array in model))
      out[asked] = sample(part, rows[asked], key)
    return out


@dataclasses.dataclass(frozen=True)
class AttributeSampler:
  """Draws A y + b + r; a `Sampler`.

  Attributes:
    slope: A, [Z, Y].
    intercept: b, [Z].
    model: of r.
  """

  slope: np.ndarray
  intercept: np.ndarray
  model: Mixture

  def __call__(
    self, y: np.ndarray, rows: np.ndarray, key: jax.Array
  ) -> np.ndarray:
    """Draws z [B, Z] with attributes y [B, Y]."""
    mean = np.einsum('zy,by->bz', self.slope, y) + self.intercept
    return (mean + sample(self.model, rows, key)).astype(np.float32)


def fit_attributes(
  z: np.ndarray,
  y: np.ndarray,
  num_components: int | Sequence[int],
  seed: int,
) -> AttributeSampler:
  """Fits latents as a linear map of their attributes, and a mixture around it.

  z = A y + b + r, with A and b by least squares and r from one Gaussian mixture
  for all attribute vectors. So one fit is enough for any number of vectors, and
  vectors that never occur can be sampled, too.

  Args:
    z: [N, Z] latents of q(z).
    y: [N, Y] their independent attributes.
    num_components: of the mixture of r, see `fit`; 1 for a Gaussian.
    seed: of the fit.
  """
  line = linear_model.LinearRegression().fit(y, z)
  model = fit(z - line.predict(y), num_components, seed)
  return AttributeSampler(line.coef_, line.intercept_, model)


class Noised(NamedTuple):
  """A mixture with diagonalised covariances, so that adding noise is cheap.

  Attributes:
    log_weights: [K].
    means: [K, Z], in the basis `axes`.
    variances: [K, Z], along `axes`.
    axes: [K, Z, Z] eigenvectors of each covariance, as columns.
    attributes: [K, Y].
  """

  log_weights: jax.Array
  means: jax.Array
  variances: jax.Array
  axes: jax.Array
  attributes: jax.Array


def prepare(model: Mixture, mean: np.ndarray, std: np.ndarray) -> Noised:
  """Standardises a mixture to (z - mean) / std and diagonalises it.

  Args:
    model: mixture of latents z.
    mean: [Z] mean of q(z).
    std: [Z] standard deviation of q(z).
  """
  scale = std[:, None] * std[None, :]
  variances, axes = np.linalg.eigh(model.covariances / scale)
  means = (model.means - mean) / std
  arrays = (
    np.log(model.weights),
    np.einsum('kd,kde->ke', means, axes),
    variances,
    axes,
    model.attributes,
  )
  return Noised(*(jnp.asarray(array, jnp.float32) for array in arrays))


def _deviations(
  model: Noised, z: jax.Array, t: jax.Array
) -> tuple[jax.Array, jax.Array]:
  """Deviations of z_t [B, Z] from the means of all noised components.

  Returns:
    Deviations along the axes and variances of the noised components, both
    [B, K, Z].
  """
  signal, sigma = (scale[:, None, None] for scale in denoise.scales(t))
  along = jnp.einsum('bd,kde->bke', z, model.axes)
  variances = jnp.square(signal) * model.variances[None] + jnp.square(sigma)
  return along - signal * model.means[None], variances


def _log_components(
  model: Noised, deviations: jax.Array, variances: jax.Array
) -> jax.Array:
  """Log of p(z_t, component) up to a constant: [B, K]."""
  terms = jnp.square(deviations) / variances + jnp.log(variances)
  return model.log_weights[None] - 0.5 * jnp.sum(terms, axis=-1)


def velocity(model: Noised, z: jax.Array, t: jax.Array) -> jax.Array:
  """The velocity [B, Z] that an ideal denoiser of the mixture predicts.

  Args:
    model: mixture of standardised latents.
    z: [B, Z] noised latents.
    t: [B] noise times above 0.
  """
  deviations, variances = _deviations(model, z, t)
  parts = jax.nn.softmax(_log_components(model, deviations, variances))
  pulls = parts[:, :, None] * deviations / variances
  score = -jnp.einsum('bke,kde->bd', pulls, model.axes)
  signal, sigma = (scale[:, None] for scale in denoise.scales(t))
  # eps = -sigma score, and v = (eps - sigma z_t) / signal.
  return -sigma * (score + z) / signal


def class_log_probabilities(
  model: Noised, z: jax.Array, t: jax.Array, y: jax.Array
) -> jax.Array:
  """Log of p(y | z_t) by Bayes' rule: [B].

  Args:
    model: mixture whose components have classes.
    z: [B, Z] noised latents.
    t: [B] noise times.
    y: [B, Y] classes.
  """
  joint = _log_components(model, *_deviations(model, z, t))
  own = jnp.all(y[:, None, :] == model.attributes[None], axis=-1)
  # From the odds against y: a difference of logsumexps would round to 0 where
  # y is almost certain.
  least = jnp.finfo(joint.dtype).min / 2  # -inf would have no gradient
  of_class, others = (
    jax.nn.logsumexp(jnp.where(mine, joint, least), axis=-1)
    for mine in (own, ~own)
  )
  return -jax.nn.softplus(others - of_class)
