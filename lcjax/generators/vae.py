"""A VAE of this project as a `LatentModel`."""

from typing import Any

import jax
from flax import linen as nn

from lcjax.generators import latent_model
from lcjax.models import apply


def decode(vae: nn.Module, z: jax.Array) -> jax.Array:
  """Images [B, H, W, C] in [0, 1]: a method of a `models.vae.Vae`."""
  return jax.nn.sigmoid(vae.decode(z))


def of_vae(
  vae: nn.Module, params: Any, latent_size: int
) -> latent_model.LatentModel:
  """The model that decodes to, and encodes, images [B, H, W, C] in [0, 1].

  Args:
    vae: a `models.vae.Vae`.
    params: of it.
    latent_size: Z.
  """
  return latent_model.LatentModel(
    params,
    apply.Apply(vae, decode),
    latent_size,
    apply.Apply(vae, 'encode'),
  )
