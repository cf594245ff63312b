"""A VAE of latents: the second stage of arXiv:1903.05789."""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import linen as nn

from lcjax.models import networks

_FIRST_GAMMA = 0.1


class SecondVae(nn.Module):
  """A VAE of latents z [B, Z], with as many latents u [B, Z].

  Dai & Wipf, arXiv:1903.05789, section 4. As in their code, the last layers see
  the input beside the hidden units, so that a linear map costs nothing.

  Attributes:
    latent_size: Z.
    hidden_sizes: width of the layers of encoder and decoder.
    activation: a key of `networks.ACTIVATIONS`.
  """

  latent_size: int
  hidden_sizes: Sequence[int]
  activation: str

  def setup(self) -> None:
    """Creates the layers, and gamma, the standard deviation of p(z|u)."""
    self.encoder = networks.Mlp(self.hidden_sizes, self.activation)
    self.posterior = nn.Dense(2 * self.latent_size)
    self.decoder = networks.Mlp(self.hidden_sizes, self.activation)
    self.mean = nn.Dense(self.latent_size)
    # Standardised z without any information from u have gamma = 1, where
    # training would stay: it starts with decoders that are too sure instead.
    self.log_gamma = self.param(
      'log_gamma', nn.initializers.constant(math.log(_FIRST_GAMMA)), ()
    )

  def encode(self, z: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Mean and scale of q(u|z), each [B, Z]."""
    seen = jnp.concatenate([self.encoder(z), z], axis=-1)
    mean, raw_scale = jnp.split(self.posterior(seen), 2, axis=-1)
    return mean, nn.softplus(raw_scale)

  def decode(self, u: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Mean [B, Z] and standard deviation, a scalar, of p(z|u)."""
    seen = jnp.concatenate([self.decoder(u), u], axis=-1)
    return self.mean(seen), jnp.exp(self.log_gamma)

  def __call__(self, z: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Decodes the posterior mean; uses every layer, for `init`."""
    return self.decode(self.encode(z)[0])
