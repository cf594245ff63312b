"""Bodies that the models share."""

from collections.abc import Callable, Sequence

import jax
from flax import linen as nn

ACTIVATIONS: dict[str, Callable[[jax.Array], jax.Array]] = {
  'relu': nn.relu,
  'silu': nn.silu,
  'gelu': nn.gelu,
  'tanh': nn.tanh,
}


class Mlp(nn.Module):
  """Dense layers, an activation after each: [B, I] -> [B, hidden_sizes[-1]].

  Attributes:
    hidden_sizes: width of every layer.
    activation: a key of `ACTIVATIONS`.
  """

  hidden_sizes: Sequence[int]
  activation: str = 'relu'

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Applies the layers to the last axis."""
    for size in self.hidden_sizes:
      x = ACTIVATIONS[self.activation](nn.Dense(size)(x))
    return x
