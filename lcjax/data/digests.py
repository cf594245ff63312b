"""Digests of a split's content, independent of where its files are stored."""

import hashlib
from typing import Any

import numpy as np

from lcjax import types

_DIGITS = 16  # hex digits kept: 64 bits make accidental collisions negligible
_CHUNK_BYTES = 2**24


def of_array(array: np.ndarray) -> str:
  """SHA-256 of an array's shape, type and values, cut to 16 hex digits.

  Reads chunks of rows, so that memory-mapped arrays of any size work.
  """
  found = hashlib.sha256(f'{array.dtype.str}{array.shape}'.encode())
  row_bytes = array.nbytes // max(len(array), 1)
  step = max(_CHUNK_BYTES // max(row_bytes, 1), 1)
  for first in range(0, len(array), step):
    found.update(array[first : first + step].tobytes())
  return found.hexdigest()[:_DIGITS]


def of_images(images: np.ndarray) -> dict[str, Any]:
  """Identifies images [N, H, W, C] by shape and content, as JSON."""
  return {'shape': list(images.shape), 'digest': of_array(images)}


def of_labels(attributes: np.ndarray, labels: types.Labels) -> dict[str, Any]:
  """Identifies attributes and labels, as JSON, with details for messages.

  Args:
    attributes: [N, Y] zeros and ones.
    labels: names and kind of the attributes.

  Returns:
    'names'; 'kind'; 'rows', for each attribute the number of rows that have
    it; 'digests', for each attribute the digest of its column.
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
