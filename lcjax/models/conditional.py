"""Models of images with given attributes, trained from scratch with labels."""

import jax
import jax.numpy as jnp
from flax import linen as nn


class ConditionalVae(nn.Module):
  """q(z|x, y) and p(x|z, y) of two bodies (Sohn et al., NeurIPS 2015).

  A linear map of y is appended to the encoder's hidden activations, and another
  one to z. The prior of z is N(0, I) whatever y is.

  Attributes:
    encoder: images [B, H, W, C] -> hidden activations [B, ...].
    decoder: [B, Z + label_size] -> logits [B, H, W, C].
    latent_size: Z.
    label_size: output width of the linear maps of y.
    dtype: of the linear layers.
  """

  encoder: nn.Module
  decoder: nn.Module
  latent_size: int
  label_size: int
  dtype: str = 'float32'

  def setup(self) -> None:
    """Creates the linear layers beside the bodies."""
    self.posterior = nn.Dense(2 * self.latent_size, dtype=self.dtype)
    self.encoder_labels = nn.Dense(self.label_size, dtype=self.dtype)
    self.decoder_labels = nn.Dense(self.label_size, dtype=self.dtype)

  def encode(
    self, images: jax.Array, y: jax.Array
  ) -> tuple[jax.Array, jax.Array]:
    """Mean and standard deviation of q(z|x, y).

    Args:
      images: [B, H, W, C] in [0, 1].
      y: [B, Y] zeros and ones.

    Returns:
      mean [B, Z] and scale [B, Z], float32, as those of `vae.Vae`.
    """
    hidden = self.encoder(images).reshape(images.shape[0], -1)
    both = jnp.concatenate([hidden, self.encoder_labels(y)], axis=-1)
    raw = self.posterior(both).astype(jnp.float32)
    mean, raw_scale = jnp.split(raw, 2, axis=-1)
    return mean, nn.softplus(raw_scale)

  def decode(self, z: jax.Array, y: jax.Array) -> jax.Array:
    """Float32 logits [B, H, W, C] of the mean of p(x|z, y), of z [B, Z]."""
    both = jnp.concatenate([z, self.decoder_labels(y)], axis=-1)
    return self.decoder(both).astype(jnp.float32)

  def __call__(self, images: jax.Array, y: jax.Array) -> jax.Array:
    """Logits of the decoded posterior mean; uses every layer, for `init`."""
    return self.decode(self.encode(images, y)[0], y)


class ConditionalGenerator(nn.Module):
  """g(z, y): a decoder body on z and a linear map of y, then a sigmoid.

  Attributes:
    decoder: [B, Z + label_size] -> logits [B, H, W, C].
    label_size: output width of the linear map of y.
    dtype: of the linear map.
  """

  decoder: nn.Module
  label_size: int
  dtype: str = 'float32'

  @nn.compact
  def __call__(self, z: jax.Array, y: jax.Array) -> jax.Array:
    """Images [B, H, W, C] in [0, 1], float32, of z [B, Z] and y [B, Y]."""
    labels = nn.Dense(self.label_size, dtype=self.dtype, name='labels')(y)
    logits = self.decoder(jnp.concatenate([z, labels], axis=-1))
    return nn.sigmoid(logits.astype(jnp.float32))


class ConditionalDiscriminator(nn.Module):
  """D(x, y) by projection: w h + b + h (W y), with h the hidden activations.

  Miyato & Koyama, arXiv:1802.05637, equation 3.

  Attributes:
    encoder: images [B, H, W, C] -> hidden activations [B, ...].
  """

  encoder: nn.Module

  @nn.compact
  def __call__(self, images: jax.Array, y: jax.Array) -> jax.Array:
    """Outputs v [B] of images in [0, 1] and y [B, Y], float32."""
    hidden = self.encoder(images).reshape(images.shape[0], -1)
    hidden = hidden.astype(jnp.float32)
    labels = nn.Dense(hidden.shape[-1], use_bias=False, name='labels')(y)
    output = nn.Dense(1, name='output')(hidden)[..., 0]
    return output + jnp.sum(hidden * labels, axis=-1)
