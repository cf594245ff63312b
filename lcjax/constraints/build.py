"""Constraints made of a model and its data, without learning."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from lcjax import errors
from lcjax.constraints import base
from lcjax.constraints import near as near_lib
from lcjax.constraints import on_sample as on_sample_lib
from lcjax.generators import latent_model


@dataclasses.dataclass(frozen=True)
class _ReencodeOne:
  """The mean encoding of the decoded latent, as a value."""

  decode_fn: Callable[..., Any]
  encode_fn: Callable[..., Any]

  def __call__(self, params: Any, z: jax.Array) -> jax.Array:
    mean, _ = self.encode_fn(params, self.decode_fn(params, z[None]))
    return jnp.asarray(mean[0])


def near(data: latent_model.LatentData, name: str = 'near') -> near_lib.Near:
  """Keeps a latent close to a reference: its target, by default the start.

  Args:
    data: encoded by a model with an encoder, whose mean scale says what counts
      as close.
    name: of the constraint and its target.

  Raises:
    UserError: the latents were drawn from the prior, which has no scale.
  """
  if data.from_prior:
    raise errors.UserError(
      'near: draws of the prior have no scale that says what counts as close; '
      'use lcjax.encode with a model that has an encoder'
    )
  return near_lib.Near(jnp.asarray(data.encodings.mean_scale), name)


def on_sample(
  model: latent_model.LatentModel,
  penalty: Callable[..., jax.Array],
  name: str,
  tolerance: float,
  takes_target: bool = False,
  margin: float | None = None,
) -> on_sample_lib.OnSample:
  """A differentiable penalty on the decoded sample.

  Args:
    model: whose decoder is differentiable.
    penalty: x -> scalar of at least 0 for one decoded sample, in JAX; or
      (x, target) -> scalar with `takes_target`, as for the known pixels of a
      masked image. The same function object shares compiled programs.
    name: of the constraint and its target.
    tolerance: met if the penalty is at most this.
    takes_target: whether the penalty reads a target of this name.
    margin: a penalty above it is the opposite, for `negate`.
  """
  return on_sample_lib.OnSample(
    model.params,
    tolerance,
    on_sample_lib.DecodeOne(model.decode_fn),
    penalty,
    name,
    takes_target,
    margin,
  )


def re_encoded(
  model: latent_model.LatentModel, constraint: base.Constraint
) -> on_sample_lib.ReEncoded:
  """Applies a constraint to the mean encoding of the decoded sample.

  A stricter test than on the latent itself: critics are trained on encodings,
  and err on latents that were moved against them.

  Args:
    model: with an encoder that takes what its decoder gives.
    constraint: on latents.

  Raises:
    UserError: the model has no encoder.
  """
  if model.encode_fn is None:
    raise errors.UserError(
      're_encoded: this model has no encoder: give '
      'latent_model(..., encode=...)'
    )
  return on_sample_lib.ReEncoded(
    model.params,
    constraint,
    _ReencodeOne(model.decode_fn, model.encode_fn),
  )
