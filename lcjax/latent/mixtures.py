"""Gaussian mixtures of latents: drawn from, and as a denoiser in closed form.

A mixture stays a mixture when noise is added, so its score, and the probability
of its classes given a noised latent, are known exactly at every noise level.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import threadpoolctl
from sklearn import linear_model, mixture

from lcjax.latent import denoise, noise

# (y [B, Y], global row numbers [B], key) -> z [B, Z]; row i of the result
# follows from row i of y, its number and the key alone.
Sampler = Callable[[np.ndarray, np.ndarray, jax.Array], np.ndarray]


class Mixture(NamedTuple):
  """A Gaussian mixture with full covariances.

  Attributes:
    weights: [K], summing to 1.
    means: [K, Z].
    covariances: [K, Z, Z].
    attributes: [K, Y] of the class that a component belongs to; Y is 0 where
      components belong to none.
  """

  weights: np.ndarray
  means: np.ndarray
  covariances: np.ndarray
  attributes: np.ndarray


def fit(z: np.ndarray, num_components: int, seed: int) -> Mixture:
  """Fits a mixture to latents, whatever their classes.

  Args:
    z: [N, Z] latents of q(z).
    num_components: at most; no more than one in every 2 Z rows.
    seed: of the initial k-means.
  """
  most = max(1, len(z) // (2 * z.shape[1]))
  model = mixture.GaussianMixture(
    min(num_components, most), reg_covar=1e-4, random_state=seed
  )
  # Matrices this small: threads cost more than they save, many times more
  # where other work wants the cores.
  with threadpoolctl.threadpool_limits(1):
    model.fit(z.astype(np.float64))
  none = np.zeros((len(model.weights_), 0), np.float32)
  return Mixture(model.weights_, model.means_, model.covariances_, none)


def sample(model: Mixture, rows: np.ndarray, key: jax.Array) -> np.ndarray:
  """Draws [B, Z] float32, in random order of components.

  Args:
    model: to draw from.
    rows: [B] global row numbers: a row's draw depends on its number and the
      key, not on which other rows there are.
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
    # einsum, not a product by BLAS, which rounds a row by who is beside it.
    z[own] = model.means[part] + np.einsum('ij,bj->bi', root, eps[own])
  return z


def fit_classes(
  z: np.ndarray, y: np.ndarray, num_components: int, seed: int
) -> Mixture:
  """Fits a mixture to every class, together one of all latents.

  Args:
    z: [N, Z] latents of q(z).
    y: [N, Y] their classes, each vector with enough rows. Independent
      attributes have too many vectors: see `fit_attributes`.
    num_components: of each class; 1 for a Gaussian.
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


def class_sampler(model: Mixture) -> Sampler:
  """Builds the sampler of a mixture of classes."""

  def draw(y: np.ndarray, rows: np.ndarray, key: jax.Array) -> np.ndarray:
    out = np.empty((len(y), model.means.shape[1]), np.float32)
    for vector in np.unique(y, axis=0):
      asked = np.all(y == vector, axis=1)
      own = np.all(model.attributes == vector, axis=1)
      part = Mixture(*(array[own] for array in model))
      out[asked] = sample(part, rows[asked], key)
    return out

  return draw


def fit_attributes(
  z: np.ndarray, y: np.ndarray, num_components: int, seed: int
) -> Sampler:
  """Fits latents as a linear map of their attributes, and a mixture around it.

  z = A y + b + r by least squares, r of one Gaussian mixture that all attribute
  vectors share: a single fit however many vectors there are, and a draw for
  those that never occur.

  Args:
    z: [N, Z] latents of q(z).
    y: [N, Y] their attributes, each independent of the others.
    num_components: of the mixture of r; 1 for a Gaussian.
    seed: of the fit.

  Returns:
    The sampler.
  """
  line = linear_model.LinearRegression().fit(y, z)
  model = fit(z - line.predict(y), num_components, seed)

  def draw(y: np.ndarray, rows: np.ndarray, key: jax.Array) -> np.ndarray:
    mean = np.einsum('zy,by->bz', line.coef_, y) + line.intercept_
    return (mean + sample(model, rows, key)).astype(np.float32)

  return draw


class Noised(NamedTuple):
  """A mixture ready to be noised: every component along its own axes.

  Attributes:
    log_weights: [K].
    means: [K, Z] in the components' axes.
    variances: [K, Z] likewise.
    axes: [K, Z, Z], a column each.
    attributes: [K, Y].
  """

  log_weights: jax.Array
  means: jax.Array
  variances: jax.Array
  axes: jax.Array
  attributes: jax.Array


def prepare(model: Mixture, mean: np.ndarray, std: np.ndarray) -> Noised:
  """The mixture of (z - mean) / std, along every component's axes.

  Args:
    model: of latents z.
    mean: [Z].
    std: [Z].
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
  """Of z_t [B, Z] from every noised component: along its axes, and variances.

  Returns:
    Both [B, K, Z].
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
  """What a perfect denoiser of the mixture predicts: [B, Z].

  Args:
    model: of latents in the denoiser's units.
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
    model: whose components belong to classes.
    z: [B, Z] noised latents.
    t: [B] noise times.
    y: [B, Y], each the vector of a class.
  """
  joint = _log_components(model, *_deviations(model, z, t))
  own = jnp.all(y[:, None, :] == model.attributes[None], axis=-1)
  # The odds against y; a difference of sums over all components would round
  # a near certainty to 0.
  least = jnp.finfo(joint.dtype).min / 2  # -inf would have no gradient
  of_class, others = (
    jax.nn.logsumexp(jnp.where(mine, joint, least), axis=-1)
    for mine in (own, ~own)
  )
  return -jax.nn.softplus(others - of_class)
