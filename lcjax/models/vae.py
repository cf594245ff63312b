"""The unconditional generative model: encoder q(z|x), decoder p(x|z)."""

import jax
import jax.numpy as jnp
from flax import linen as nn


class Vae(nn.Module):
  """A VAE of two bodies (Latent Constraints, arXiv:1711.05772, appendix).

  No batch normalisation and no dropout. Its two halves are methods:
  `vae.apply(params, images, method='encode')`.

  Attributes:
    encoder: images [B, H, W, C] -> hidden activations [B, ...].
    decoder: latents [B, Z] -> logits [B, H, W, C].
    latent_size: Z.
    dtype: of the layer between encoder and latents.
  """

  encoder: nn.Module
  decoder: nn.Module
  latent_size: int
  dtype: str = 'float32'

  def setup(self) -> None:
    """Names the layer that is in neither body."""
    self.posterior = nn.Dense(2 * self.latent_size, dtype=self.dtype)

  def encode(self, images: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Parameters of q(z|x).

    Args:
      images: [B, H, W, C] in [0, 1].

    Returns:
      mean [B, Z] and scale [B, Z], float32; scale is the standard deviation
      (not the log-variance), softplus of a linear layer.
    """
    hidden = self.encoder(images)
    raw = self.posterior(hidden.reshape(images.shape[0], -1))
    mean, raw_scale = jnp.split(raw.astype(jnp.float32), 2, axis=-1)
    return mean, nn.softplus(raw_scale)

  def decode(self, z: jax.Array) -> jax.Array:
    """Logits [B, H, W, C] of the mean of p(x|z); its picture is their sigmoid.

    Args:
      z: [B, Z] latents.

    Returns:
      The logits, float32.
    """
    return self.decoder(z).astype(jnp.float32)

  def __call__(self, images: jax.Array) -> jax.Array:
    """Reconstruction logits of the posterior mean; touches every layer."""
    return self.decode(self.encode(images)[0])
