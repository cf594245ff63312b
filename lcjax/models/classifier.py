"""Attributes of an image: judges samples, trains none of them."""

import jax
import jax.numpy as jnp
from flax import linen as nn


class Classifier(nn.Module):
  """A pixel classifier: a body and a linear layer.

  Its features are what Frechet distance and nearest neighbours are measured
  in. A body of convolutions gives the average of its last activations over
  space: a covariance of all of them (4 x 4 x 2048) would fit no memory, and
  no sample would be large enough to estimate it.

  Attributes:
    num_attributes: Y.
    body: images [B, H, W, C] -> hidden activations [B, F] or [B, h, w, F].
    dtype: of the linear layer.
  """

  num_attributes: int
  body: nn.Module
  dtype: str = 'float32'

  @nn.compact
  def __call__(self, images: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Judges images.

    Args:
      images: [B, H, W, C] in [0, 1].

    Returns:
      logits [B, Y] and features [B, F], float32.
    """
    features = self.body(images).astype(jnp.float32)
    if features.ndim == 4:
      features = jnp.mean(features, axis=(1, 2))
    logits = nn.Dense(self.num_attributes, dtype=self.dtype)(features)
    return logits.astype(jnp.float32), features
