"""CelebA's own files, read in place: aligned images and two text tables."""

import pathlib

import numpy as np

from lcjax import errors, types
from lcjax.data import archives, paths, tables

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
    attributes [N, Y] float32, and their names as `Bits`.

  Raises:
    UserError: a file is missing or damaged, an image occurs twice, or there is
      no such attribute.
  """
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
  chosen = labels(attributes)
  bits = _read_attributes(table_path, names[rows], chosen.names)
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
  return images[rows], bits, chosen


def labels(attributes: tuple[str, ...]) -> types.Bits:
  """Labels of some attributes, or of `DEFAULT_ATTRIBUTES`."""
  return types.Bits(attributes or DEFAULT_ATTRIBUTES)


def _find(folder: str, *names: str) -> pathlib.Path:
  """The first of some files that is there."""
  root = tables.root(folder, 'img_align_celeba.zip and list_attr_celeba.txt')
  for name in names:
    for inner in _FOLDERS:
      if paths.exists(root / inner / name):
        return root / inner / name
  raise errors.UserError(
    f'config.data.dir={folder} holds no {", nor ".join(names)}'
  )


def _read_partition(path: pathlib.Path) -> dict[str, str]:
  """Split of every file name."""
  split_of: dict[str, str] = {}
  for number, line in enumerate(tables.iterate_lines(path), 1):
    words = line.split()
    if len(words) != 2 or words[1] not in _SPLITS:
      raise errors.UserError(
        f'{path} line {number} is {line[:80]!r}: it must be a file name and '
        '0, 1 or 2'
      )
    name, split = paths.normal(words[0]), _SPLITS[words[1]]
    if name.startswith(('/', '..')):
      raise errors.UserError(
        f'{path} line {number} names {words[0]}, which leads out of the folder '
        'of the images: name a file in it'
      )
    if name in split_of:
      first = list(split_of).index(name) + 1  # every line has added a name
      raise errors.UserError(
        f'{path} line {number} puts {words[0]} into {split}, line {first} the '
        f'same image into {split_of[name]}: delete one of them'
      )
    split_of[name] = split
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
  tables.check_names(header, path)
  columns = tables.choose(header, attributes, path)
  row_of = {name: row for row, name in enumerate(names)}
  bits = np.empty((len(names), len(columns)), np.float32)
  line_of = np.zeros(len(names), int)  # 0: none yet
  wrong = None
  number = 2
  for number, line in enumerate(lines, 3):
    name, *values = line.split()
    row = row_of.get(paths.normal(name))
    if row is None:
      continue
    if line_of[row]:
      raise errors.UserError(
        f'{path} line {number} and line {line_of[row]} are both of the image '
        f'{names[row]}: delete one of them'
      )
    line_of[row] = number
    if len(values) != len(header) or not {'1', '-1'}.issuperset(values):
      wrong = wrong or (number, name)
      continue
    bits[row] = [values[column] == '1' for column in columns]
  if number - 2 != int(size):
    raise errors.UserError(
      f'{path} is damaged: it promises {int(size)} rows and holds {number - 2}'
    )
  if wrong is not None:
    raise errors.UserError(
      f'{path} line {wrong[0]}, of {wrong[1]}, must hold {len(header)} values '
      'of 1 or -1'
    )
  if not line_of.all():
    missing = names[int(np.argmin(line_of))]
    raise errors.UserError(f'{path} has no row for {missing}')
  return bits
