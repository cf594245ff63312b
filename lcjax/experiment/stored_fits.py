"""Fits in .npz files, each with what it follows from."""

import json
from typing import Any

import numpy as np
from etils import epath

from lcjax.experiment import files, fingerprint

_KEY = 'key'


def read(path: epath.Path, key: dict[str, Any]) -> dict[str, np.ndarray] | None:
  """Reads a fit for `key`; None if it is missing, damaged or stale."""
  try:
    arrays = files.read_npz(path)
    if json.loads(str(arrays.pop(_KEY))) == json.loads(fingerprint.text(key)):
      return arrays
  except files.DAMAGE:
    pass  # missing or damaged
  return None


def write(
  path: epath.Path, key: dict[str, Any], arrays: dict[str, np.ndarray]
) -> None:
  """Writes a fit with what it follows from."""
  files.write_npz(path, **arrays, **{_KEY: np.array(fingerprint.text(key))})
