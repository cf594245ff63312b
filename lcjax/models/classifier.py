"""The pixel classifier of attributes: the independent judge of samples."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import linen as nn

from lcjax.models import networks


class Classifier(nn.Module):
  """A pixel classifier: a body and a linear layer.

  Frechet distances and nearest neighbours are computed on its features, the
  input of the linear layer. A convolutional body is followed by dense layers,
  or without those by a spatial average: a covariance of all 4 x 4 x 2048
  activations would not fit in memory, nor could samples estimate it.

  Attributes:
    num_attributes: Y.
    body: images [B, H, W, C] -> hidden activations [B, F] or [B, h, w, F].
    head_sizes: widths of the dense layers after a convolutional body; empty
      for the spatial average.
    activation: of those dense layers, a key of `networks.ACTIVATIONS`.
    dtype: of the dense layers' computation.
  """

  num_attributes: int
  body: nn.Module
  head_sizes: Sequence[int] = ()
  activation: str = 'relu'
  dtype: str = 'float32'

  @nn.compact
  def __call__(self, images: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Classifies images.

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
