"""The second VAE of a two-stage model: a VAE of another one's latents."""

import jax
import jax.numpy as jnp
from flax import linen as nn

from lcjax.models import networks


class SecondVae(nn.Module):
  """q(u|z) and p(z|u) = N(f(u), diag(gamma^2)) (Dai & Wipf, arXiv:1903.05789).

  Both are MLPs with a linear path beside them, as z is close to normal. Gamma
  is learned, one of each dimension where the paper has one of all, as a VAE
  knows some dimensions of its latents better than others (on MNIST, gammas end
  between .2 and .9).

  Attributes:
    latent_size: Z, of z and of u.
    hidden_sizes: widths of both MLPs; those of the decoder in reverse.
    activation: a key of `networks.ACTIVATIONS`.
  """

  latent_size: int
  hidden_sizes: tuple[int, ...]
  activation: str

  def setup(self) -> None:
    """Creates the layers."""
    sizes = tuple(self.hidden_sizes)
    self.encoder = networks.Mlp(sizes, self.activation)
    self.posterior = nn.Dense(2 * self.latent_size)
    self.decoder = networks.Mlp(sizes[::-1], self.activation)
    self.mean = nn.Dense(self.latent_size)
    self.log_gamma = self.param(
      'log_gamma', nn.initializers.zeros, (self.latent_size,)
    )

  def encode(self, z: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Mean and scale (standard deviation) of q(u|z), each [B, Z], of z [B, Z].

    Latents z are in standard units of the aggregated posterior q(z).
    """
    seen = jnp.concatenate([z, self.encoder(z)], axis=-1)
    mean, raw_scale = jnp.split(self.posterior(seen), 2, axis=-1)
    return mean, nn.softplus(raw_scale)

  def decode(self, u: jax.Array) -> jax.Array:
    """f(u), the mean [B, Z] of p(z|u), of u [B, Z]; z in standard units."""
    return self.mean(jnp.concatenate([u, self.decoder(u)], axis=-1))

  def gamma(self) -> jax.Array:
    """[Z] standard deviations of p(z|u), in standard units."""
    return jnp.exp(self.log_gamma)

  def __call__(self, z: jax.Array) -> jax.Array:
    """The decoded posterior mean; uses every layer, for `init`."""
    return self.decode(self.encode(z)[0]) * self.gamma()[None]
