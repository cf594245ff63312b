"""A VAE and a second VAE of its latents as one `LatentModel`.

Dai & Wipf, arXiv:1903.05789, section 4: the aggregated posterior q(z) of a VAE
is not its prior. A second VAE learns q(z), of the same latent size, with
learned standard deviations gamma: u ~ N(0, I), z ~ N(f(u), diag(gamma^2)), then
x.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from lcjax.generators import latent_model
from lcjax.models import apply


@dataclasses.dataclass(frozen=True)
class Move:
  """Between latents [u, e] [B, 2Z] and z [B, Z] of the first model.

  z = mean + std (f(u) + gamma e), where all of [u, e] is N(0, I) a priori: so
  draws of the prior are draws of both stages.

  Attributes:
    module: a `models.second_vae.SecondVae`.
  """

  module: nn.Module

  def to_first(self, params: Any, latents: jax.Array) -> jax.Array:
    """Z [B, Z] of [u, e] [B, 2Z].

    Args:
      params: 'second': of the module; 'mean' and 'std' [Z] of q(z).
      latents: to map.
    """
    u, e = jnp.split(latents, 2, axis=-1)
    unit = apply.Apply(self.module, 'decode')(params['second'], u)
    gamma = apply.Apply(self.module, 'gamma')(params['second'])
    moved = unit + gamma[None] * e
    return params['mean'][None] + params['std'][None] * moved

  def from_first(
    self, params: Any, mean: jax.Array, scale: jax.Array
  ) -> tuple[jax.Array, jax.Array]:
    """Mean and scale [B, 2Z] of q([u, e]|x), of those of q(z|x).

    u is that of the mean of z, with the scale of q(u|z); e is what f(u) leaves
    of the mean, and has the scale of q(z|x) in the same unit. So the mean of
    [u, e] is mapped back to exactly the mean of z. In a draw, u and e are
    independent, and z has the noise of f(u) beside that of q(z|x).
    """
    std = params['std'][None]
    unit = (mean - params['mean'][None]) / std
    second = params['second']
    u, u_scale = apply.Apply(self.module, 'encode')(second, unit)
    gamma = apply.Apply(self.module, 'gamma')(second)
    e = (unit - apply.Apply(self.module, 'decode')(second, u)) / gamma[None]
    e_scale = scale / (std * gamma[None])
    return (
      jnp.concatenate([u, e], axis=-1),
      jnp.concatenate([u_scale, e_scale], axis=-1),
    )


@dataclasses.dataclass(frozen=True)
class _Decode:
  move: Move
  decode_fn: Any

  def __call__(self, params: Any, latents: jax.Array) -> jax.Array:
    z = self.move.to_first(params, latents)
    return self.decode_fn(params['first'], z)


@dataclasses.dataclass(frozen=True)
class _Encode:
  move: Move
  encode_fn: Any

  def __call__(self, params: Any, x: jax.Array) -> tuple[jax.Array, jax.Array]:
    mean, scale = self.encode_fn(params['first'], x)
    return self.move.from_first(params, mean, scale)


def of_two_stages(
  first: latent_model.LatentModel,
  module: nn.Module,
  params: Any,
  mean: jax.Array,
  std: jax.Array,
) -> latent_model.LatentModel:
  """The model of latents [u, e] of size 2Z, with the first one's samples.

  Args:
    first: with an encoder, of latent size Z.
    module: a `models.second_vae.SecondVae` of its latents in standard units.
    params: of the module.
    mean: [Z] of q(z) over the training data, the unit of the second stage.
    std: [Z] likewise.
  """
  move = Move(module)
  return latent_model.LatentModel(
    {'first': first.params, 'second': params, 'mean': mean, 'std': std},
    _Decode(move, first.decode_fn),
    2 * first.latent_size,
    _Encode(move, first.encode_fn),
  )
