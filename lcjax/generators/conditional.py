"""A model of samples with given attributes: a row of a comparison.

It is no `LatentModel`: what attributes there are was decided when it was
trained, and a new one needs another training.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from lcjax.latent import noise


@dataclasses.dataclass(frozen=True)
class Conditional:
  """Draws of p(x|y), with the signature of a mover that returns samples.

  Attributes:
    decode: (z [B, Z], y [B, Y]) -> samples [B, ...].
    latent_size: Z; z are draws of N(0, I).
  """

  decode: Callable[[np.ndarray, np.ndarray], np.ndarray]
  latent_size: int

  def __call__(
    self, start: Any, target: Any, rows: np.ndarray, key: jax.Array
  ) -> np.ndarray:
    """Samples of the requested attributes.

    Args:
      start: ignored: the model has a latent space of its own.
      target: has 'attributes', y [B, Y] or (y, mask) with a mask of ones.
      rows: [B] numbers of the rows, which the noise of each depends on.
      key: of the noise.

    Returns:
      [B, ...], of the dtype of `decode`.

    Raises:
      ValueError: the mask leaves an attribute out; such a model needs all.
    """
    del start
    y = target['attributes']
    if isinstance(y, tuple):
      y, mask = y
      if not np.all(mask):
        raise ValueError('a conditional model needs every attribute')
    return self.decode(noise.draw(key, rows, self.latent_size), y)
