"""Reads and writes all files except checkpoints and logs.

Writes are atomic and done by process 0 only. Any path that etils.epath supports
will do.
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

# Exceptions raised by reading a damaged .npz file.
DAMAGE = (
  OSError, ValueError, KeyError, TypeError, AttributeError, EOFError,
  NotImplementedError, RuntimeError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip


def write(path: epath.PathLike, content: bytes | str) -> None:
  """Writes a file atomically; creates missing parent folders."""
  if jax.process_index() != 0:
    return
  path = epath.Path(path)
  path.parent.mkdir(parents=True, exist_ok=True)
  temporary = path.with_name(f'{path.name}.tmp')  # same disk: rename
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
  """Writes named arrays to a compressed .npz file."""
  stream = io.BytesIO()
  np.savez_compressed(stream, allow_pickle=False, **arrays)
  write(path, stream.getvalue())


def read_npz(path: epath.PathLike) -> dict[str, np.ndarray]:
  """Reads an .npz file: name -> array."""
  content = io.BytesIO(epath.Path(path).read_bytes())
  with np.load(content) as arrays:
    return dict(arrays)


def read_json(path: epath.PathLike) -> Any:
  """Reads JSON."""
  return json.loads(epath.Path(path).read_text())
