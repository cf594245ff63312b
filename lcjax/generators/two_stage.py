"""A VAE of the latents of another model, as a `LatentModel`.

Its prior is the two-stage sampler of Dai & Wipf, arXiv:1903.05789: u ~ N(0, I),
z ~ N(f(u), gamma^2 I), then x = decode(z). The noise of the second draw is a
latent, too, so that a sample follows from its latent: [u, e] ~ N(0, I), twice
as many as z has, and z = f(u) + gamma e in standard units of q(z).
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from lcjax.generators import latent_model
from lcjax.models import apply, second_vae


class Params(NamedTuple):
  """What the functions of the model read.

  Attributes:
    first: parameters of the first model.
    second: of the second VAE.
    mean: [Z] of the first model's encodings.
    std: [Z] likewise.
  """

  first: Any
  second: Any
  mean: jax.Array
  std: jax.Array


@dataclasses.dataclass(frozen=True)
class Latents:
  """(params, [u, e] [B, 2 Z]) -> latents z [B, Z] of the first model."""

  second: second_vae.SecondVae

  def __call__(self, params: Params, own: jax.Array) -> jax.Array:
    """Z = mean + std (f(u) + gamma e)."""
    u, e = jnp.split(own, 2, axis=-1)
    found, gamma = apply.Apply(self.second, 'decode')(params.second, u)
    return params.mean[None] + params.std[None] * (found + gamma * e)


@dataclasses.dataclass(frozen=True)
class _Decode:
  latents: Latents
  decode_fn: Callable[..., Any]

  def __call__(self, params: Params, own: jax.Array) -> Any:
    return self.decode_fn(params.first, self.latents(params, own))


@dataclasses.dataclass(frozen=True)
class _Encode:
  """Mean and scale of [u, e].

  The mean decodes to the mean of q(z|x) exactly: e is what f(u) leaves out. The
  scale of e is that of q(z|x) in its units.
  """

  second: second_vae.SecondVae
  encode_fn: Callable[..., Any]

  def __call__(self, params: Params, x: Any) -> tuple[jax.Array, jax.Array]:
    mean, scale = self.encode_fn(params.first, x)
    z = (mean - params.mean[None]) / params.std[None]
    u, u_scale = apply.Apply(self.second, 'encode')(params.second, z)
    found, gamma = apply.Apply(self.second, 'decode')(params.second, u)
    return (
      jnp.concatenate([u, (z - found) / gamma], axis=-1),
      jnp.concatenate([u_scale, scale / params.std[None] / gamma], axis=-1),
    )


def of_two_stage(
  first: latent_model.LatentModel,
  second: second_vae.SecondVae,
  params: Any,
  mean: jax.Array,
  std: jax.Array,
) -> latent_model.LatentModel:
  """The model of latents [u, e] [B, 2 Z], whose prior is N(0, I).

  Args:
    first: has an encoder, and Z latents.
    second: trained on its encodings in standard units.
    params: of the second.
    mean: [Z] of the encodings.
    std: [Z] of the encodings.
  """
  assert first.encode_fn is not None  # the second is trained on its encodings
  return latent_model.LatentModel(
    Params(first.params, params, jnp.asarray(mean), jnp.asarray(std)),
    _Decode(Latents(second), first.decode_fn),
    2 * first.latent_size,
    _Encode(second, first.encode_fn),
  )
