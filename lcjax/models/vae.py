"""The unconditional generative model: encoder q(z|x), decoder p(x|z)."""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import linen as nn

from lcjax.models import networks


class Vae(nn.Module):
  """A VAE of dense layers (Latent Constraints, arXiv:1711.05772, appendix).

  No batch normalisation and no dropout. Its two halves are methods:
  `vae.apply(params, images, method='encode')`.

  Attributes:
    image_shape: (H, W, C).
    latent_size: Z.
    hidden_sizes: widths of the encoder; the decoder mirrors them.
    activation: a key of `networks.ACTIVATIONS`.
  """

  image_shape: tuple[int, int, int]
  latent_size: int
  hidden_sizes: Sequence[int]
  activation: str

  def setup(self) -> None:
    """Names the layers."""
    sizes = tuple(self.hidden_sizes)
    self.encoder = networks.Mlp(sizes, self.activation)
    self.posterior = nn.Dense(2 * self.latent_size)
    self.decoder = networks.Mlp(sizes[::-1], self.activation)
    self.pixels = nn.Dense(math.prod(self.image_shape))

  def encode(self, images: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Parameters of q(z|x).

    Args:
      images: [B, H, W, C] in [0, 1].

    Returns:
      mean [B, Z] and scale [B, Z]; scale is the standard deviation (not the
      log-variance), softplus of a linear layer.
    """
    hidden = self.encoder(images.reshape(images.shape[0], -1))
    mean, raw_scale = jnp.split(self.posterior(hidden), 2, axis=-1)
    return mean, nn.softplus(raw_scale)

  def decode(self, z: jax.Array) -> jax.Array:
    """Logits [B, H, W, C] of the mean of p(x|z); its picture is their sigmoid.

    Args:
      z: [B, Z] latents.
    """
    return self.pixels(self.decoder(z)).reshape(-1, *self.image_shape)

  def __call__(self, images: jax.Array) -> jax.Array:
    """Reconstruction logits of the posterior mean; touches every layer."""
    return self.decode(self.encode(images)[0])
