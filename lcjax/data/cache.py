"""Arrays that are computed once, stored, and memory-mapped afterwards."""

import json
import pathlib
import shutil
import tempfile
from collections.abc import Callable, Mapping
from concurrent import futures
from typing import Any

import numpy as np
import tqdm

from lcjax import errors
from lcjax.data import paths

Arrays = dict[str, np.ndarray]
_ROWS_AT_ONCE = 64


def load(
  folder: str,
  name: str,
  source: Mapping[str, Any],
  make_shapes: Callable[[], dict[str, tuple[int, ...]]],
  fill: Callable[[range, Arrays], None],
) -> Arrays:
  """Memory-maps uint8 arrays from files; builds missing or stale files.

  Args:
    folder: folder of the files, created if missing; empty: the arrays are
      built in memory, without files.
    name: prefix of the file names.
    source: all inputs that determine the arrays, as JSON. The files are stale
      if theirs differ.
    make_shapes: returns the shapes by array name, [N, ...] with the same N;
      called only if the arrays have to be built.
    fill: (rows, these rows of every array) -> None, writes the values; called
      from several threads.

  Returns:
    The arrays by name; read-only if memory-mapped.

  Raises:
    UserError: the folder is not writable, too small, a file, or cloud storage.
  """
  if not folder:
    arrays = {
      key: np.empty(shape, np.uint8) for key, shape in make_shapes().items()
    }
    _fill(name, arrays, fill)
    return arrays
  if '://' in folder:
    raise errors.UserError(
      f'{name} cannot be memory-mapped from {folder}: set '
      '--config.data.cache_dir to a local folder'
    )
  root = paths.folder('config.data.cache_dir', folder)
  # JSON turns tuples into lists; compare in that form.
  source = json.loads(json.dumps(source))
  found = _read(root, name, source)
  if found is not None:
    return found
  shapes = make_shapes()
  try:
    root.mkdir(parents=True, exist_ok=True)
    needed, free = _num_bytes(shapes), shutil.disk_usage(root).free
    if needed > free:  # a full disk kills a process that writes to a memory map
      raise errors.UserError(
        f'config.data.cache_dir={folder} has {free / 1e9:.2f} GB free, '
        f'{name} needs {needed / 1e9:.2f} GB: choose another folder'
      )
    return _make(root, name, source, shapes, fill)
  except OSError as error:
    raise errors.UserError(
      f'config.data.cache_dir={folder} cannot be written: {error}; choose '
      'another folder'
    ) from error


def _num_bytes(shapes: dict[str, tuple[int, ...]]) -> int:
  return sum(int(np.prod(shape)) for shape in shapes.values())


def _path(root: pathlib.Path, name: str, key: str) -> pathlib.Path:
  return root / f'{name}.{key}.npy'


def _read(root: pathlib.Path, name: str, source: Any) -> Arrays | None:
  """The stored arrays; None if missing, damaged or from another source."""
  try:
    note = json.loads((root / f'{name}.json').read_text())
    if note['source'] != source:
      return None
    return {
      key: np.load(_path(root, name, key), mmap_mode='r')
      for key in note['arrays']
    }
  except (OSError, EOFError, ValueError, KeyError, TypeError):
    return None


def _make(
  root: pathlib.Path,
  name: str,
  source: Any,
  shapes: dict[str, tuple[int, ...]],
  fill: Callable[[range, Arrays], None],
) -> Arrays:
  """Writes to a temporary folder, then moves the files, the JSON file last."""
  note = root / f'{name}.json'
  with tempfile.TemporaryDirectory(prefix=f'{name}.', dir=root) as folder:
    temporary = pathlib.Path(folder)
    arrays: Arrays = {
      key: np.lib.format.open_memmap(
        _path(temporary, name, key), 'w+', np.uint8, shape
      )
      for key, shape in shapes.items()
    }
    _fill(name, arrays, fill)
    for array in arrays.values():
      array.flush()  # type: ignore[attr-defined]
    del arrays
    (temporary / note.name).write_text(
      json.dumps({'source': source, 'arrays': list(shapes)}, indent=2) + '\n'
    )
    note.unlink(missing_ok=True)  # must never describe other arrays
    for key in shapes:
      _path(temporary, name, key).replace(_path(root, name, key))
    (temporary / note.name).replace(note)
  return {key: np.load(_path(root, name, key), mmap_mode='r') for key in shapes}


def _fill(
  name: str, arrays: Arrays, fill: Callable[[range, Arrays], None]
) -> None:
  """Fills arrays in threads: Pillow releases the GIL while it decodes."""
  num_rows = len(next(iter(arrays.values())))

  def fill_from(first: int) -> int:
    rows = range(first, min(first + _ROWS_AT_ONCE, num_rows))
    fill(rows, {key: a[first : rows.stop] for key, a in arrays.items()})
    return len(rows)

  pool = futures.ThreadPoolExecutor()
  try:
    with tqdm.tqdm(total=num_rows, desc=f'decode {name}', unit='row') as bar:
      for count in pool.map(fill_from, range(0, num_rows, _ROWS_AT_ONCE)):
        bar.update(count)
  finally:
    pool.shutdown(cancel_futures=True)
