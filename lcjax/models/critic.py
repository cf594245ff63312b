"""Critics in latent space: D(z, y), D_realism(z) and D_attr(z)."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import linen as nn

from lcjax.models import networks


class Critic(nn.Module):
  """D(z, y), or D_realism(z) if y is None: one logit per latent.

  Attributes:
    label_size: output width of the linear map of y; unused without y.
    hidden_sizes: widths of the MLP.
    activation: a key of `networks.ACTIVATIONS`.
  """

  label_size: int
  hidden_sizes: Sequence[int]
  activation: str

  @nn.compact
  def __call__(
    self,
    z: jax.Array,
    y: jax.Array | None = None,
    dropout: networks.Dropout | None = None,
  ) -> jax.Array:
    """Logits [B] of latents [B, Z], given attributes [B, Y] or None."""
    if y is not None:
      z = jnp.concatenate([z, nn.Dense(self.label_size)(y)], axis=-1)
    mlp = networks.Mlp(tuple(self.hidden_sizes), self.activation)
    hidden = mlp(z, dropout)
    return nn.Dense(1)(hidden)[..., 0]


class AttributeCritic(nn.Module):
  """D_attr(z): one logit per attribute.

  Attributes:
    num_attributes: Y.
    hidden_sizes: widths of the MLP.
    activation: a key of `networks.ACTIVATIONS`.
  """

  num_attributes: int
  hidden_sizes: Sequence[int]
  activation: str

  @nn.compact
  def __call__(self, z: jax.Array) -> jax.Array:
    """Logits [B, Y] of latents [B, Z]."""
    hidden = networks.Mlp(tuple(self.hidden_sizes), self.activation)(z)
    return nn.Dense(self.num_attributes)(hidden)
