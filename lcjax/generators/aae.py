"""An adversarial autoencoder of this project as a `LatentModel`."""

import dataclasses
from typing import Any

import jax
from flax import linen as nn

from lcjax.generators import latent_model
from lcjax.generators import vae as vae_lib
from lcjax.latent import priors
from lcjax.models import apply


@dataclasses.dataclass(frozen=True)
class Encode:
  """(params, x) -> (mean, scale) of a VAE's encoder, with a least scale.

  Attributes:
    vae: a `models.vae.Vae`.
    least_scale: added to the scale, in units of the prior's.
    prior: p(z).
  """

  vae: nn.Module
  least_scale: float
  prior: priors.Prior

  def __call__(self, params: Any, x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Each [B, Z]."""
    mean, scale = apply.Apply(self.vae, 'encode')(params, x)
    return mean, scale + self.least_scale * self.prior.std[None]


def of_aae(
  vae: nn.Module, params: Any, least_scale: float, prior: priors.Prior
) -> latent_model.LatentModel:
  """The model that decodes to, and encodes, images [B, H, W, C] in [0, 1].

  Args:
    vae: a `models.vae.Vae`, which was trained as an adversarial autoencoder.
    params: of it.
    least_scale: as in `Encode`.
    prior: that its encodings follow.
  """
  return latent_model.LatentModel(
    params,
    apply.Apply(vae, vae_lib.decode),
    prior.size,
    Encode(vae, least_scale, prior),
    None if isinstance(prior, priors.Gaussian) else prior,
  )
