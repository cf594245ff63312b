"""A folder of user images with a table of their attributes."""

import contextlib
import csv
import functools
import hashlib
import os
import pathlib
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from PIL import Image

from lcjax import errors, types
from lcjax.data import archives, paths, pictures, pixels, tables

TABLE = 'attributes.csv'
_VALUES = {'1': 1.0, '0': 0.0, '-1': 0.0}


def load(
  split: str,
  dir: str,
  image_size: int,
  crop_size: int,
  attributes: tuple[str, ...],
  cache_dir: str,
  background: str,
) -> tables.Parts:
  """Loads one split of a folder of images.

  Its `attributes.csv` has a column `file`, a column per attribute (1, and 0 or
  -1) and optionally a column `split`. Without the latter, a digest of the file
  name assigns the split, about 80:10:10, so that adding images moves none of
  the others.

  Args:
    split: 'train', 'validation' or 'test'.
    dir: the folder.
    image_size: side of the decoded images, in pixels.
    crop_size: side in pixels of the central square that is cut out before
      resizing; 0: the largest square.
    attributes: names; empty: all columns.
    cache_dir: cache of the decoded images; empty: decoded into memory.
    background: 'black' or 'white', shown where an image is transparent.

  Returns:
    images [N, image_size, image_size, C] uint8, grey if all files are;
    attributes [N, Y] float32; their names, as `Classes` if every listed image
    has exactly one of several attributes, else as `Bits`.

  Raises:
    UserError: a file is missing or damaged, an image occurs twice, or an
      attribute does not exist.
  """
  listed = _list_images(split, dir, attributes)
  root, names, part = listed.root, listed.names, listed.part

  def get_channels() -> int:
    return 1 if all(_is_grey(root / name) for name in names) else 3

  images = archives.decode(
    archives.Folder(root),
    names,
    get_channels,
    image_size,
    crop_size,
    cache_dir,
    f'folder_{image_size}_of_{crop_size}',
    background,
  )
  return images[part], listed.bits[part], listed.labels


def labels(split: str, dir: str, attributes: tuple[str, ...]) -> types.Labels:
  """The labels that `load` returns, from the table alone: nothing is decoded.

  Args:
    split: 'train', 'validation' or 'test'; all give the same labels.
    dir: the folder.
    attributes: names; empty: all columns.

  Raises:
    UserError: the table is missing or damaged, names no image of the split, or
      an attribute does not exist.
  """
  return _list_images(split, dir, attributes).labels


class _Listed(NamedTuple):
  """The images that exist in the folder, with their attributes.

  Attributes:
    root: the folder.
    names: N file names, ordered by split.
    part: which of the N rows belong to the requested split.
    bits: [N, Y] float32 of zeros and ones.
    labels: names and kind of the Y attributes.
  """

  root: pathlib.Path
  names: list[str]
  part: slice
  bits: np.ndarray
  labels: types.Labels


def _list_images(split: str, dir: str, attributes: tuple[str, ...]) -> _Listed:
  root = tables.root(dir, TABLE)
  path = root / TABLE
  header, rows = _read_table(path)
  available = [name for name in header if name not in ('file', 'split')]
  if not available:
    raise errors.UserError(f'{path} has no attribute column: add at least one')
  chosen = attributes or tuple(available)
  tables.choose(available, chosen, path)
  split_of = {
    name: row['split'] if 'split' in row else _split_by_name(name)
    for name, row in rows.items()
  }
  names, part = tables.order_by_split(
    split_of, archives.Folder(root).present(split_of), split, path, root
  )
  bits = np.array(
    [[_VALUES[rows[name][a]] for a in chosen] for name in names], np.float32
  )
  one_holds = len(chosen) > 1 and bool((bits.sum(axis=1) == 1).all())
  kind = types.Classes if one_holds else types.Bits
  return _Listed(root, names, part, bits, kind(chosen))


def _read_table(
  path: pathlib.Path,
) -> tuple[list[str], dict[str, dict[str, str]]]:
  """The column names, and the rows by normalised file name."""
  reader = csv.DictReader(tables.read_lines(path), skipinitialspace=True)
  with _one_line_errors(path, reader):
    header = list(reader.fieldnames or ())
    if 'file' not in header:
      raise errors.UserError(
        f'{path} has no column `file`: add one that names the images'
      )
    tables.check_names(header, path)
    identify = _make_identify(path.parent)
    rows: dict[str, dict[str, str]] = {}
    seen: dict[str, _Occurrence] = {}
    for row in reader:
      _check_row(row, f'{path} line {reader.line_num}', len(header))
      name, identity = identify(row['file'])
      here = _Occurrence(reader.line_num, row['file'], row.get('split', ''))
      first = seen.setdefault(identity, here)
      if first is not here:
        raise errors.UserError(
          f'{path} line {here} names an image a second time, after line '
          f'{first}: delete one of the lines'
        )
      rows[name] = row
  return header, rows


class _Occurrence(NamedTuple):
  """One row of the table: its line, the file name as written, and the split."""

  line: int
  name: str
  split: str

  def __str__(self) -> str:
    details = ', '.join(filter(None, (self.name, self.split)))
    return f'{self.line} ({details})'


@contextlib.contextmanager
def _one_line_errors(
  path: pathlib.Path, reader: csv.DictReader
) -> Iterator[None]:
  """Turns errors of the csv module, such as a huge field, into UserErrors."""
  try:
    yield
  except csv.Error as error:
    raise errors.UserError(
      f'{path} line {reader.reader.line_num} cannot be read: {error}; check '
      'for an unclosed quotation mark'
    ) from error


def _check_row(row: dict[str, str], where: str, num_columns: int) -> None:
  """Strips the values of a row; raises UserError if one is invalid."""
  if None in row or None in row.values():
    raise errors.UserError(f'{where} must hold {num_columns} values')
  for name, value in row.items():
    row[name] = value = value.strip()
    shown = repr(value[:80])
    if name == 'file':
      if not value or '\0' in value:
        raise errors.UserError(f'{where}: {shown} is not a file name')
    elif name == 'split':
      if value not in tables.SPLITS:
        raise errors.UserError(
          f'{where}: the split is {shown}, not one of '
          f'{", ".join(tables.SPLITS)}'
        )
    elif value not in _VALUES:
      raise errors.UserError(
        f'{where}: {name} is {shown}, it must be 1, 0 or -1'
      )


def _make_identify(root: pathlib.Path) -> Callable[[str], tuple[str, str]]:
  """Builds a function that normalises a file name and identifies the file.

  Args:
    root: the folder that names are relative to.

  Returns:
    name -> (normalised name, relative to `root` if the file is inside it; path
    with symbolic links of folders resolved, equal for all names of one file).
  """
  real_folder = functools.cache(os.path.realpath)
  prefix = f'{os.path.abspath(root)}/'

  def identify(name: str) -> tuple[str, str]:
    name = paths.normal(name).removeprefix(prefix)
    folder, base = os.path.split(os.path.join(root, name))
    return name, os.path.join(real_folder(folder), base)

  return identify


def _split_by_name(name: str) -> str:
  """The split of a file if the table has no column `split`."""
  digest = hashlib.blake2b(name.encode(), digest_size=8).digest()
  share = int.from_bytes(digest) / 2**64
  return 'train' if share < 0.8 else 'validation' if share < 0.9 else 'test'


def _is_grey(path: pathlib.Path) -> bool:
  with pictures.reading(path), Image.open(path) as opened:
    return pixels.is_grey(opened)
