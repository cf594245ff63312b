"""Known values of a sample, and linear measurements of it: inverse problems."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lcjax import errors
from lcjax.constraints import on_sample
from lcjax.generators import latent_model


def _known_loss(operator: Any, x: jax.Array, known: jax.Array) -> jax.Array:
  """Of the known values; what the others of the target are does not matter."""
  mask, noise = operator
  gap = jnp.where(mask > 0, x - known, 0.0)
  return jnp.sum(jnp.square(gap)) / (2.0 * noise**2)


def _linear_loss(operator: Any, x: jax.Array, values: jax.Array) -> jax.Array:
  matrix, noise = operator
  gap = matrix @ jnp.ravel(x) - values
  return jnp.sum(jnp.square(gap)) / (2.0 * noise**2)


def known_pixels(
  model: latent_model.LatentModel,
  mask: np.ndarray,
  *,
  name: str = 'pixels',
  noise: float = 0.1,
  tolerance: float = 0.01,
) -> on_sample.OnSample:
  """The decoded sample has known values where a mask is 1, as in inpainting.

  Its target is samples [B, ...], of which only the known values are read. The
  loss is the negative log-likelihood of these under Gaussian noise, up to a
  constant: sum of squared errors / (2 noise^2), in nats. What is not known
  follows from the start and the other constraints, so that different starts
  give different answers.

  Args:
    model: whose decoder is differentiable.
    mask: of the shape of one sample: 1 where it is known, else 0.
    name: of the constraint and its target.
    noise: standard deviation of the known values, in units of the sample.
    tolerance: met if the mean squared error of the known values is at most
      this; no model is better than its reconstructions.

  Raises:
    UserError: the mask has another shape or other values, nothing is known, or
      noise or tolerance is not positive.
  """
  mask = np.asarray(mask, np.float32)
  shape = _sample_shape(model)
  if mask.shape != shape:
    raise errors.UserError(
      f'mask: the shape is {mask.shape}, a sample has {shape}'
    )
  if not np.isin(mask, (0, 1)).all() or not mask.any():
    raise errors.UserError(
      'mask: it must be 1 where a value is known, somewhere, and 0 elsewhere'
    )
  return _make(
    model, _known_loss, mask, int(mask.sum()), name, noise, tolerance
  )


def linear_measurement(
  model: latent_model.LatentModel,
  matrix: np.ndarray,
  *,
  name: str = 'measurement',
  noise: float = 0.1,
  tolerance: float = 0.01,
) -> on_sample.OnSample:
  """The decoded sample x has measured values A x, as of a blurred image.

  Its target is the values [B, M]. The loss is |A x - values|^2 / (2 noise^2),
  in nats, see `known_pixels`.

  Args:
    model: whose decoder is differentiable.
    matrix: A [M, D], of a sample flattened to D values.
    name: of the constraint and its target.
    noise: standard deviation of the measured values, in their own units.
    tolerance: met if the mean squared error of the values is at most this.

  Raises:
    UserError: the matrix has another shape or is not finite, or noise or
      tolerance is not positive.
  """
  matrix = np.asarray(matrix, np.float32)
  size = int(np.prod(_sample_shape(model)))
  if matrix.ndim != 2 or not len(matrix) or matrix.shape[1] != size:
    raise errors.UserError(
      f'matrix: the shape is {matrix.shape}, it must be (M, {size}) with M at '
      f'least 1: a sample has {size} values'
    )
  if not np.isfinite(matrix).all():
    raise errors.UserError('matrix: a value is NaN or an infinity')
  return _make(model, _linear_loss, matrix, len(matrix), name, noise, tolerance)


def _sample_shape(model: latent_model.LatentModel) -> tuple[int, ...]:
  z = jax.ShapeDtypeStruct((1, model.latent_size), jnp.float32)
  return tuple(jax.eval_shape(model.decode_fn, model.params, z).shape[1:])


def _make(
  model: latent_model.LatentModel,
  loss: Any,
  operator: np.ndarray,
  num_values: int,
  name: str,
  noise: float,
  tolerance: float,
) -> on_sample.OnSample:
  for what, value in (('noise', noise), ('tolerance', tolerance)):
    if not value > 0:
      raise errors.UserError(f'{what}={value} must be above 0')
  return on_sample.OnSample(
    model.params,
    num_values * tolerance / (2.0 * noise**2),
    on_sample.DecodeOne(model.decode_fn),
    loss,
    name,
    takes_target=True,
    operator=(jnp.asarray(operator), noise),
  )
