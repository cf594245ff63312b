"""Attributes of an image: judges samples, trains none of them."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import linen as nn

from lcjax.models import networks


class Classifier(nn.Module):
  """A pixel classifier: a body and a linear layer.

  Its features are what Frechet distance and nearest neighbours are measured
  in. A body of convolutions is followed by dense layers, whose last activations
  they are, or without those by an average over space: a covariance of all
  activations (4 x 4 x 2048) would fit no memory, and no sample would be large
  enough to estimate it.

  Attributes:
    num_attributes: Y.
    body: images [B, H, W, C] -> hidden activations [B, F] or [B, h, w, F].
    head_sizes: dense layers after convolutions; none for the average.
    activation: of the head, a key of `networks.ACTIVATIONS`.
    dtype: of the dense layers.
  """

  num_attributes: int
  body: nn.Module
  head_sizes: Sequence[int] = ()
  activation: str = 'relu'
  dtype: str = 'float32'

  @nn.compact
  def __call__(self, images: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Judges images.

    Args:
      images: [B, H, W, C] in [0, 1].

    Returns:
      logits [B, Y] and features [B, F], float32.
    """
    features = self.body(images)
    if features.ndim == 4 and self.head_sizes:
      flat = features.reshape(features.shape[0], -1)
      sizes = tuple(self.head_sizes)
      features = networks.Mlp(sizes, self.activation, self.dtype)(flat)
    elif features.ndim == 4:
      features = jnp.mean(features, axis=(1, 2))
    features = features.astype(jnp.float32)
    logits = nn.Dense(self.num_attributes, dtype=self.dtype)(features)
    return logits.astype(jnp.float32), features
