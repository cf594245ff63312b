"""CelebA's own files, read in place: aligned images and two text tables."""

import os
import pathlib

import numpy as np

from lcjax import errors
from lcjax.data import archives, tables

# The ten of Engel, Hoffman & Roberts, arXiv:1711.05772.
DEFAULT_ATTRIBUTES = (
  'Bald',
  'Black_Hair',
  'Blond_Hair',
  'Brown_Hair',
  'Eyeglasses',
  'Male',
  'No_Beard',
  'Smiling',
  'Wearing_Hat',
  'Young',
)
# A folder with everything in it, or the folders of the official download.
_FOLDERS = ('', 'Img', 'Anno', 'Eval')
_SPLITS = dict(zip('012', tables.SPLITS, strict=True))


def load(
  split: str,
  dir: str,
  image_size: int,
  crop_size: int,
  attributes: tuple[str, ...],
  cache_dir: str,
  background: str,
) -> tables.Parts:
  """Loads one split of the official partition, of the images that are there.

  Args:
    split: 'train', 'validation' or 'test'.
    dir: folder of img_align_celeba (or img_align_celeba.zip),
      list_attr_celeba.txt, and subset_partition.txt or
      list_eval_partition.txt.
    image_size: pixels a side.
    crop_size: pixels a side of what is cut from the middle before.
    attributes: their names; empty for `DEFAULT_ATTRIBUTES`.
    cache_dir: of the decoded images; empty: decoded into memory.
    background: 'black' or 'white', seen where an image is transparent.

  Returns:
    images [N, image_size, image_size, 3] uint8, a slice of the mapped cache;
    attributes [N, Y] float32, their names, and that they are not exclusive.

  Raises:
    UserError: a file is missing or damaged, or there is no such attribute.
  """
  if not dir:
    raise errors.UserError(
      'config.data.dir is empty: name the folder that holds '
      'img_align_celeba.zip and list_attr_celeba.txt'
    )
  table_path = _find(dir, 'list_attr_celeba.txt')
  partition_path = _find(dir, 'subset_partition.txt', 'list_eval_partition.txt')
  archive_path = _find(dir, 'img_align_celeba', 'img_align_celeba.zip')
  archive: archives.Folder | archives.Zip = (
    archives.Folder(archive_path)
    if archive_path.is_dir()
    else archives.Zip(archive_path)
  )
  split_of = _read_partition(partition_path)
  names, rows = tables.order_by_split(
    split_of, archive.present(split_of), split, partition_path, archive_path
  )
  chosen = attributes or DEFAULT_ATTRIBUTES
  bits = _read_attributes(table_path, names[rows], chosen)
  images = archives.decode(
    archive,
    names,
    lambda: 3,
    image_size,
    crop_size,
    cache_dir,
    f'celeba_{image_size}_of_{crop_size}',
    background,
  )
  return images[rows], bits, chosen, False


def _find(folder: str, *names: str) -> pathlib.Path:
  """The first of some files that is there."""
  root = pathlib.Path(os.path.expanduser(folder))
  for name in names:
    for inner in _FOLDERS:
      if (root / inner / name).exists():
        return root / inner / name
  raise errors.UserError(
    f'config.data.dir={folder} holds no {", nor ".join(names)}'
  )


def _read_partition(path: pathlib.Path) -> dict[str, str]:
  """Split of every file name."""
  split_of = {}
  for number, line in enumerate(tables.iterate_lines(path), 1):
    words = line.split()
    if len(words) != 2 or words[1] not in _SPLITS:
      raise errors.UserError(
        f'{path} line {number} is {line[:80]!r}: it must be a file name and '
        '0, 1 or 2'
      )
    split_of[words[0]] = _SPLITS[words[1]]
  return split_of


def _read_attributes(
  path: pathlib.Path, names: list[str], attributes: tuple[str, ...]
) -> np.ndarray:
  """[len(names), Y] float32 of zeros and ones.

  Line by line: the table has a row for every image there is, and a list of
  them all takes more memory than the pixels of a few thousand.
  """
  lines = tables.iterate_lines(path)
  size, header = next(lines, ''), next(lines, '').split()
  if not size.strip().isdigit() or not header:
    raise errors.UserError(
      f'{path} is damaged: it must begin with the number of rows, then the '
      'names of the attributes'
    )
  columns = tables.choose(header, attributes, path)
  row_of = {name: row for row, name in enumerate(names)}
  bits = np.empty((len(names), len(columns)), np.float32)
  found = np.zeros(len(names), bool)
  wrong = None
  number = 2
  for number, line in enumerate(lines, 3):
    name, _, rest = line.partition(' ')
    row = row_of.get(name)
    if row is None:
      continue
    values = rest.split()
    if len(values) != len(header) or not {'1', '-1'}.issuperset(values):
      wrong = wrong or (number, name)
      continue
    bits[row] = [values[column] == '1' for column in columns]
    found[row] = True
  if number - 2 != int(size):
    raise errors.UserError(
      f'{path} is damaged: it promises {int(size)} rows and holds {number - 2}'
    )
  if wrong is not None:
    raise errors.UserError(
      f'{path} line {wrong[0]}, of {wrong[1]}, must hold {len(header)} values '
      'of 1 or -1'
    )
  if not found.all():
    missing = names[int(np.argmin(found))]
    raise errors.UserError(f'{path} has no row for {missing}')
  return bits
