"""A generator of images from noise, and its discriminator."""

import jax
import jax.numpy as jnp
from flax import linen as nn


class Generator(nn.Module):
  """g(z): a decoder body, then a sigmoid: [B, Z] -> [B, H, W, C] in [0, 1].

  With convolutions it has the shape of DCGAN, Radford et al., arXiv:1511.06434,
  but no batch normalisation: a sample depends on its own latent alone.

  Attributes:
    decoder: latents [B, Z] -> logits [B, H, W, C].
  """

  decoder: nn.Module

  def __call__(self, z: jax.Array) -> jax.Array:
    """Images in [0, 1], float32."""
    return nn.sigmoid(self.decoder(z).astype(jnp.float32))


class Discriminator(nn.Module):
  """D(x): an encoder body, then a linear layer: images -> outputs [B].

  Attributes:
    encoder: images [B, H, W, C] -> hidden activations [B, ...].
  """

  encoder: nn.Module

  @nn.compact
  def __call__(self, images: jax.Array) -> jax.Array:
    """Outputs v of images in [0, 1], float32."""
    hidden = self.encoder(images).reshape(images.shape[0], -1)
    return nn.Dense(1, name='output')(hidden.astype(jnp.float32))[..., 0]
