"""Digests of what a split holds: of its content, wherever its files lie."""

import hashlib
from typing import Any

import numpy as np

from lcjax import types

_DIGITS = 16  # of the 64 of SHA-256: accidents collide once in 2**64 pairs
_CHUNK_BYTES = 2**24


def of_array(array: np.ndarray) -> str:
  """SHA-256 of an array's shape, type and values, cut to 16 hex digits.

  Reads some rows at a time, so that a memory-mapped array of any size will do.
  """
  found = hashlib.sha256(f'{array.dtype.str}{array.shape}'.encode())
  row_bytes = array.nbytes // max(len(array), 1)
  step = max(_CHUNK_BYTES // max(row_bytes, 1), 1)
  for first in range(0, len(array), step):
    found.update(array[first : first + step].tobytes())
  return found.hexdigest()[:_DIGITS]


def of_images(images: np.ndarray) -> dict[str, Any]:
  """What tells images [N, H, W, C] from others, as JSON."""
  return {'shape': list(images.shape), 'digest': of_array(images)}


def of_labels(attributes: np.ndarray, labels: types.Labels) -> dict[str, Any]:
  """What tells labels from others, as JSON, with what a message names.

  Args:
    attributes: [N, Y] zeros and ones.
    labels: of the attributes.

  Returns:
    'names', 'kind', and of each attribute in 'rows' how often it holds, in
    'digests' that of its column.
  """
  columns = [
    np.ascontiguousarray(column, np.float32) for column in attributes.T
  ]
  return {
    'names': list(labels.names),
    'kind': labels.kind,
    'rows': [int(np.count_nonzero(column)) for column in columns],
    'digests': [of_array(column) for column in columns],
  }
