"""Files that launchers write besides checkpoints and logs.

Each appears whole or not at all, on any path that etils.epath knows, and only
process 0 writes.
"""

import io
import json
import zipfile
import zlib
from typing import Any

import jax
import numpy as np
from etils import epath

from lcjax.evaluation import reports

# What reading a damaged archive of arrays raises.
DAMAGE = (
  OSError, ValueError, KeyError, TypeError, AttributeError, EOFError,
  NotImplementedError, RuntimeError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip


def write(path: epath.PathLike, content: bytes | str) -> None:
  """Writes a file, and the folders above it if need be."""
  if jax.process_index() != 0:
    return
  path = epath.Path(path)
  path.parent.mkdir(parents=True, exist_ok=True)
  temporary = path.with_name(f'{path.name}.tmp')  # a rename stays on one disk
  if isinstance(content, str):
    content = content.encode()
  try:
    temporary.write_bytes(content)
    temporary.replace(path)
  finally:
    temporary.unlink(missing_ok=True)


def write_json(path: epath.PathLike, report: Any) -> None:
  """Writes JSON; NaN and infinity become null."""
  write(path, reports.to_json(report))


def write_npz(path: epath.PathLike, **arrays: np.ndarray) -> None:
  """Writes arrays by their names."""
  stream = io.BytesIO()
  np.savez_compressed(stream, allow_pickle=False, **arrays)
  write(path, stream.getvalue())


def read_npz(path: epath.PathLike) -> dict[str, np.ndarray]:
  """Reads arrays by their names."""
  content = io.BytesIO(epath.Path(path).read_bytes())
  with np.load(content) as arrays:
    return dict(arrays)


def read_json(path: epath.PathLike) -> Any:
  """Reads JSON."""
  return json.loads(epath.Path(path).read_text())
