"""The network on noised latents z_t, for the denoiser and D_attr(z_t, t)."""

import jax
import jax.numpy as jnp
from flax import linen as nn

from lcjax.models import networks


def embed_time(t: jax.Array, size: int) -> jax.Array:
  """Sines and cosines of noise times [...] in [0, 1]: [..., size].

  Vaswani et al., arXiv:1706.03762, section 3.5, with frequencies that suit the
  unit interval instead of integer positions.
  """
  exponents = jnp.linspace(0.0, jnp.log(1000.0), size // 2, dtype=t.dtype)
  frequencies = jnp.exp(exponents)
  angles = jnp.multiply.outer(t, frequencies)
  return jnp.concatenate([jnp.sin(angles), jnp.cos(angles)], axis=-1)


class ResidualMlp(nn.Module):
  """Residual blocks on a latent, each conditioned on the noise time.

  Attributes:
    width: of the residual stream.
    num_blocks: number of residual blocks.
    out_size: of the last, linear layer, whose kernel is initialised to zero.
    activation: a key of `networks.ACTIVATIONS`.
  """

  width: int
  num_blocks: int
  out_size: int
  activation: str

  @nn.compact
  def __call__(self, z: jax.Array, t: jax.Array) -> jax.Array:
    """Maps latents [..., Z] at noise times [...] to [..., out_size]."""
    act = networks.ACTIVATIONS[self.activation]
    time = act(nn.Dense(self.width)(embed_time(t, 64)))
    hidden = nn.Dense(self.width)(z)
    for _ in range(self.num_blocks):
      inner = nn.LayerNorm()(hidden) + nn.Dense(self.width)(time)
      inner = act(nn.Dense(2 * self.width)(act(inner)))
      hidden = hidden + nn.Dense(self.width)(inner)
    zeros = nn.initializers.zeros_init()
    return nn.Dense(self.out_size, kernel_init=zeros)(nn.LayerNorm()(hidden))
