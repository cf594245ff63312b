"""A GAN of this project as a `LatentModel`."""

from typing import Any

from flax import linen as nn

from lcjax.generators import latent_model
from lcjax.models import apply


def of_gan(
  generator: nn.Module, params: Any, latent_size: int
) -> latent_model.LatentModel:
  """The model that decodes to images [B, H, W, C] in [0, 1], and cannot encode.

  Args:
    generator: a `models.gan.Generator`.
    params: of it.
    latent_size: Z.
  """
  return latent_model.LatentModel(
    params, apply.Apply(generator), latent_size, None
  )
