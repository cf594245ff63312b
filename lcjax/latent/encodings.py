"""A data set encoded once: later stages never see its pixels."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import numpy as np


@dataclasses.dataclass(frozen=True)
class Encodings:
  """q(z|x) of every row, and what holds there.

  Attributes:
    mean: [N, Z] float32.
    scale: [N, Z] float32 standard deviations.
    attributes: [N, Y] float32.
  """

  mean: np.ndarray
  scale: np.ndarray
  attributes: np.ndarray

  @property
  def mean_scale(self) -> np.ndarray:
    """[Z] mean of the scale over all rows, sigmabar of `distance_penalty`."""
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
  *arrays: np.ndarray,
  batch_size: int,
  one_shape: bool = False,
) -> Any:
  """Applies `fn` to rows in equal batches; the last is padded, then cut.

  One shape means one compilation, and no row is dropped.

  Args:
    fn: maps arrays of `batch_size` rows to a tree of arrays with as many.
    *arrays: [N, ...], N at least 1.
    batch_size: rows at once; less is used for fewer rows.
    one_shape: pads fewer rows, too: for calls whose number of rows varies and
      whose compilation costs more than the rows.

  Returns:
    The tree of `fn`, with numpy arrays of N rows.
  """
  num_rows = len(arrays[0])
  # Few rows are padded to a power of two: any number of them is served by a
  # handful of compiled shapes.
  if not one_shape:
    batch_size = min(batch_size, 1 << (num_rows - 1).bit_length())
  pieces = []
  for first in range(0, num_rows, batch_size):
    # Repeated rows rather than zeros: always valid input, whatever `fn`.
    rows = np.arange(first, first + batch_size) % num_rows
    kept = min(batch_size, num_rows - first)
    out = jax.device_get(fn(*(array[rows] for array in arrays)))
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
    images: the data set's.
    attributes: the data set's.
    batch_size: images at once.

  Returns:
    The encodings, on the host.
  """
  mean, scale = in_batches(encode_fn, images, batch_size=batch_size)
  return Encodings(mean, scale, attributes)
