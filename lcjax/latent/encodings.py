"""The encodings of a data set; later stages train on them, not on pixels."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import numpy as np


@dataclasses.dataclass(frozen=True)
class Encodings:
  """q(z|x) and attributes of every row.

  Attributes:
    mean: [N, Z] float32.
    scale: [N, Z] float32 standard deviations.
    attributes: [N, Y] float32.
    unit: [Z] what counts as near, where the scale cannot tell: for draws of a
      prior, which have none. None: the mean of the scale.
  """

  mean: np.ndarray
  scale: np.ndarray
  attributes: np.ndarray
  unit: np.ndarray | None = None

  @property
  def mean_scale(self) -> np.ndarray:
    """[Z] mean of the scale over all rows, as `distance_penalty` takes it."""
    if self.unit is not None:
      return self.unit
    return self.scale.mean(axis=0)

  @property
  def aggregate_mean(self) -> np.ndarray:
    """[Z] mean of the aggregated posterior q(z)."""
    return self.mean.mean(axis=0)

  @property
  def aggregate_std(self) -> np.ndarray:
    """[Z] standard deviation of the aggregated posterior q(z)."""
    return np.sqrt(self.mean.var(axis=0) + np.square(self.scale).mean(axis=0))

  def sample(self, seed: int, rows: np.ndarray | None = None) -> np.ndarray:
    """Draws z = mean + scale * eps: [N, Z], or [len(rows), Z]."""
    rows = np.arange(len(self.mean)) if rows is None else rows
    shape = (len(rows), self.mean.shape[1])
    eps = np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)
    return self.mean[rows] + self.scale[rows] * eps


def in_batches(
  fn: Callable[..., Any],
  *arrays: Any,
  batch_size: int,
  one_shape: bool = False,
) -> Any:
  """Applies `fn` to rows in batches of one size, which needs one compilation.

  The last batch is padded, and its result is cut to size.

  Args:
    fn: maps arrays of `batch_size` rows to a tree of arrays with as many rows.
    *arrays: [N, ...], or trees of such, N at least 1.
    batch_size: rows per call of `fn`; reduced if N is smaller.
    one_shape: pads to `batch_size` even if N is smaller: for repeated calls
      with varying N where compilation costs more than computing the padding.

  Returns:
    The tree of `fn`, with numpy arrays of N rows.
  """
  arrays = jax.tree.map(np.asarray, arrays)
  num_rows = len(jax.tree.leaves(arrays)[0])
  # Fewer rows are padded to a power of two, so that few shapes are compiled.
  if not one_shape:
    batch_size = min(batch_size, 1 << (num_rows - 1).bit_length())
  pieces = []
  for first in range(0, num_rows, batch_size):
    # Pads with repeated rows, which are valid input to any `fn`.
    rows = np.arange(first, first + batch_size) % num_rows
    kept = min(batch_size, num_rows - first)
    batch = jax.tree.map(lambda array, own=rows: array[own], arrays)
    out = jax.device_get(fn(*batch))
    pieces.append(jax.tree.map(lambda a, n=kept: a[:n], out))
  return jax.tree.map(lambda *leaves: np.concatenate(leaves), *pieces)


def encode(
  encode_fn: Callable[[np.ndarray], tuple[jax.Array, jax.Array]],
  images: np.ndarray,
  attributes: np.ndarray,
  batch_size: int,
) -> Encodings:
  """Encodes images [N, H, W, C] uint8 with attributes [N, Y].

  Args:
    encode_fn: jitted; uint8 images -> (mean [B, Z], scale [B, Z]).
    images: of the data set.
    attributes: of the data set.
    batch_size: images per call of `encode_fn`.

  Returns:
    The encodings, as numpy arrays.
  """
  mean, scale = in_batches(encode_fn, images, batch_size=batch_size)
  return Encodings(mean, scale, attributes)
