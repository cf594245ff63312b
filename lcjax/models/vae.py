"""The unconditional generative model: encoder q(z|x), decoder p(x|z)."""

import jax
import jax.numpy as jnp
from flax import linen as nn


class Vae(nn.Module):
  """A VAE of two bodies (Latent Constraints, arXiv:1711.05772, appendix).

  No batch normalisation and no dropout. Encoder and decoder are also separate
  methods: `vae.apply(params, images, method='encode')`.

  Attributes:
    encoder: images [B, H, W, C] -> hidden activations [B, ...].
    decoder: latents [B, Z] -> logits [B, H, W, C].
    latent_size: Z.
    dtype: of the linear layer between encoder and latents.
  """

  encoder: nn.Module
  decoder: nn.Module
  latent_size: int
  dtype: str = 'float32'

  def setup(self) -> None:
    """Creates the linear layer between encoder and latents."""
    self.posterior = nn.Dense(2 * self.latent_size, dtype=self.dtype)

  def encode(self, images: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Mean and standard deviation of q(z|x).

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
    """Decodes latents to p(x|z).

    Args:
      z: [B, Z] latents.

    Returns:
      [B, H, W, C] float32 logits; their sigmoid is the mean of p(x|z), the
      decoded image.
    """
    return self.decoder(z).astype(jnp.float32)

  def __call__(self, images: jax.Array) -> jax.Array:
    """Logits of the decoded posterior mean; uses every layer, for `init`."""
    return self.decode(self.encode(images)[0])
