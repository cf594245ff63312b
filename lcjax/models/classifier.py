"""Attributes of an image: judges samples, trains none of them."""

from collections.abc import Sequence

import jax
from flax import linen as nn

from lcjax.models import networks


class Classifier(nn.Module):
  """A pixel classifier of dense layers.

  Attributes:
    num_attributes: Y.
    hidden_sizes: widths; the last layer's activations are the features that
      Frechet distance and nearest neighbours are measured in.
    activation: a key of `networks.ACTIVATIONS`.
  """

  num_attributes: int
  hidden_sizes: Sequence[int]
  activation: str

  @nn.compact
  def __call__(self, images: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Judges images.

    Args:
      images: [B, H, W, C] in [0, 1].

    Returns:
      logits [B, Y] and features [B, hidden_sizes[-1]].
    """
    body = networks.Mlp(tuple(self.hidden_sizes), self.activation)
    features = body(images.reshape(images.shape[0], -1))
    return nn.Dense(self.num_attributes)(features), features
