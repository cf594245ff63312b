"""The actor G(z, y): moves a latent in one forward pass, through a gate."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import linen as nn

from lcjax.models import networks


def gate(z: jax.Array, target: jax.Array, gate_logits: jax.Array) -> jax.Array:
  """(1 - sigmoid(g)) z + sigmoid(g) z', for each latent dimension.

  Args:
    z: [B, Z] start of the move.
    target: [B, Z] z', its end if the gate is fully open.
    gate_logits: [B, Z] g; minus infinity keeps z, plus infinity gives target.

  Returns:
    [B, Z] moved latents.
  """
  opening = nn.sigmoid(gate_logits)
  return (1.0 - opening) * z + opening * target


class Actor(nn.Module):
  """G(z, y) of arXiv:1711.05772, section 4: h = MLP([z, Wy]), then a gate.

  Attributes:
    latent_size: Z.
    label_size: output width of the linear map of y.
    hidden_sizes: widths of the MLP.
    activation: a key of `networks.ACTIVATIONS`.
  """

  latent_size: int
  label_size: int
  hidden_sizes: Sequence[int]
  activation: str

  @nn.compact
  def __call__(self, z: jax.Array, y: jax.Array) -> jax.Array:
    """Moves latents [B, Z] towards attributes [B, Y]: [B, Z]."""
    labels = nn.Dense(self.label_size)(y)
    hidden = jnp.concatenate([z, labels], axis=-1)
    hidden = networks.Mlp(tuple(self.hidden_sizes), self.activation)(hidden)
    target, gate_logits = jnp.split(
      nn.Dense(2 * self.latent_size)(hidden), 2, axis=-1
    )
    return gate(z, target, gate_logits)
