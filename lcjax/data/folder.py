"""A folder of anybody's images, with a table of what holds in them."""

import csv
import hashlib
import os
import pathlib

import numpy as np
from PIL import Image

from lcjax import errors
from lcjax.data import archives, pictures, pixels, tables

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
    attributes [N, Y] float32, their names, and whether exactly one holds in
    every row of the table.

  Raises:
    UserError: a file is missing or damaged, or there is no such attribute.
  """
  if not dir:
    raise errors.UserError(
      f'config.data.dir is empty: name the folder that holds {TABLE}'
    )
  root = pathlib.Path(os.path.expanduser(dir))
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
  archive = archives.Folder(root)
  names, part = tables.order_by_split(
    split_of, archive.present(split_of), split, path, root
  )
  bits = np.array(
    [[_VALUES[rows[name][a]] for a in chosen] for name in names], np.float32
  )

  def get_channels() -> int:
    return 1 if all(_is_grey(root / name) for name in names) else 3

  images = archives.decode(
    archive,
    names,
    get_channels,
    image_size,
    crop_size,
    cache_dir,
    f'folder_{image_size}_of_{crop_size}',
    background,
  )
  exclusive = len(chosen) > 1 and bool((bits.sum(axis=1) == 1).all())
  return images[part], bits[part], chosen, exclusive


def _read_table(
  path: pathlib.Path,
) -> tuple[list[str], dict[str, dict[str, str]]]:
  """The names of the columns, and the rows by file name."""
  reader = csv.DictReader(tables.read_lines(path), skipinitialspace=True)
  header = list(reader.fieldnames or ())
  if 'file' not in header:
    raise errors.UserError(f'{path} has no column `file`')
  for name in header:
    if header.count(name) > 1:
      raise errors.UserError(f'{path} names the column {name} twice')
  rows: dict[str, dict[str, str]] = {}
  for row in reader:
    where = f'{path} line {reader.line_num}'
    if None in row or None in row.values():
      raise errors.UserError(f'{where} must hold {len(header)} values')
    for name, value in row.items():
      row[name] = value = value.strip()
      if name == 'split' and value not in tables.SPLITS:
        raise errors.UserError(
          f'{where}: the split is {value!r}, not one of '
          f'{", ".join(tables.SPLITS)}'
        )
      if name not in ('file', 'split') and value not in _VALUES:
        raise errors.UserError(
          f'{where}: {name} is {value!r}, it must be 1, 0 or -1'
        )
    if row['file'] in rows:
      raise errors.UserError(f'{where} names {row["file"]} a second time')
    rows[row['file']] = row
  return header, rows


def _split_by_name(name: str) -> str:
  """The split of a file that no table assigns."""
  digest = hashlib.blake2b(name.encode(), digest_size=8).digest()
  share = int.from_bytes(digest) / 2**64
  return 'train' if share < 0.8 else 'validation' if share < 0.9 else 'test'


def _is_grey(path: pathlib.Path) -> bool:
  with pictures.reading(path), Image.open(path) as opened:
    return pixels.is_grey(opened)
