"""A folder of anybody's images, with a table of what holds in them."""

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
  -1) and perhaps a column `split`. Without one, a digest of the file name
  decides, about 80:10:10, so that an image stays where it is when others come.

  Args:
    split: 'train', 'validation' or 'test'.
    dir: the folder.
    image_size: pixels a side.
    crop_size: pixels a side of what is cut from the middle before; 0: the
      largest square.
    attributes: their names; empty for all columns.
    cache_dir: of the decoded images; empty: decoded into memory.
    background: 'black' or 'white', seen where an image is transparent.

  Returns:
    images [N, image_size, image_size, C] uint8, grey if all files are;
    attributes [N, Y] float32, and their names: `Classes` where exactly one of
    several holds in every row of the table, else `Bits`.

  Raises:
    UserError: a file is missing or damaged, an image occurs twice, or there is
      no such attribute.
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
  """The labels that `load` gives, from the table alone: nothing is decoded.

  Args:
    split: as in `load`, also the two others.
    dir: the folder.
    attributes: their names; empty for all columns.

  Raises:
    UserError: the table is missing or damaged, names no image of the split, or
      has no such attribute.
  """
  return _list_images(split, dir, attributes).labels


class _Listed(NamedTuple):
  """What a table says of the images that are there.

  Attributes:
    root: the folder.
    names: of N files in it, split after split.
    part: which of them are the split's.
    bits: [N, Y] float32 of zeros and ones.
    labels: of the Y attributes.
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
    raise errors.UserError(f'{path} has no column of an attribute')
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
  """The names of the columns, and the rows by file name in one spelling."""
  reader = csv.DictReader(tables.read_lines(path), skipinitialspace=True)
  with _one_line_errors(path, reader):
    header = list(reader.fieldnames or ())
    if 'file' not in header:
      raise errors.UserError(f'{path} has no column `file`')
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
          f'{first}: delete one of them'
        )
      rows[name] = row
  return header, rows


class _Occurrence(NamedTuple):
  """Where a table names an image, as what, and for which split."""

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
  """Turns what the csv module raises, as of a huge field, into one line."""
  try:
    yield
  except csv.Error as error:
    raise errors.UserError(
      f'{path} line {reader.reader.line_num} cannot be read: {error}; is there '
      'a quotation mark that nothing closes?'
    ) from error


def _check_row(row: dict[str, str], where: str, num_columns: int) -> None:
  """Strips the values of a row; raises UserError where one is wrong."""
  if None in row or None in row.values():
    raise errors.UserError(f'{where} must hold {num_columns} values')
  for name, value in row.items():
    row[name] = value = value.strip()
    shown = repr(value[:80])
    if name == 'file':
      if not value or '\0' in value:
        raise errors.UserError(f'{where}: {shown} is not the name of a file')
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
  """Builds what finds one spelling of a file's name, and the file behind it.

  Args:
    root: the folder that names are relative to.

  Returns:
    name -> (its spelling, relative to `root` if it leads there; a path that is
    the same for all names of one file, whatever folders are linked).
  """
  real_folder = functools.cache(os.path.realpath)
  prefix = f'{os.path.abspath(root)}/'

  def identify(name: str) -> tuple[str, str]:
    name = paths.normal(name).removeprefix(prefix)
    folder, base = os.path.split(os.path.join(root, name))
    return name, os.path.join(real_folder(folder), base)

  return identify


def _split_by_name(name: str) -> str:
  """The split of a file that no table assigns."""
  digest = hashlib.blake2b(name.encode(), digest_size=8).digest()
  share = int.from_bytes(digest) / 2**64
  return 'train' if share < 0.8 else 'validation' if share < 0.9 else 'test'


def _is_grey(path: pathlib.Path) -> bool:
  with pictures.reading(path), Image.open(path) as opened:
    return pixels.is_grey(opened)
