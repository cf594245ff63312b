"""CelebA's official files, read in place: aligned images and two tables."""

import pathlib

import numpy as np

from lcjax import errors, types
from lcjax.data import archives, paths, tables

# The ten attributes of Engel, Hoffman & Roberts, arXiv:1711.05772.
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
# Files are searched for in the folder and in the download's subfolders.
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
  """Loads one split of the official partition; missing images are left out.

  Args:
    split: 'train', 'validation' or 'test'.
    dir: folder of img_align_celeba (or img_align_celeba.zip),
      list_attr_celeba.txt, and subset_partition.txt or
      list_eval_partition.txt.
    image_size: side of the decoded images, in pixels.
    crop_size: side in pixels of the central square that is cut out before
      resizing; 0: the largest square.
    attributes: names; empty: `DEFAULT_ATTRIBUTES`.
    cache_dir: cache of the decoded images; empty: decoded into memory.
    background: 'black' or 'white', shown where an image is transparent.

  Returns:
    images [N, image_size, image_size, 3] uint8, a slice of the memory-mapped
    cache; attributes [N, Y] float32; their names as `Bits`.

  Raises:
    UserError: a file is missing or damaged, an image occurs twice, or an
      attribute does not exist.
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
  """Labels of the given attributes; if empty, of `DEFAULT_ATTRIBUTES`."""
  return types.Bits(attributes or DEFAULT_ATTRIBUTES)


def _find(folder: str, *names: str) -> pathlib.Path:
  """The path of the first of `names` that exists."""
  root = tables.root(folder, 'img_align_celeba.zip and list_attr_celeba.txt')
  for name in names:
    for inner in _FOLDERS:
      if paths.exists(root / inner / name):
        return root / inner / name
  raise errors.UserError(
    f'config.data.dir={folder} holds no {" or ".join(names)}: name the folder '
    'of the CelebA files'
  )


def _read_partition(path: pathlib.Path) -> dict[str, str]:
  """Maps every file name to its split."""
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
        f'{path} line {number} names {words[0]}, which leads out of the image '
        'folder: name a file inside it'
      )
    if name in split_of:
      first = list(split_of).index(name) + 1  # each line added one name
      raise errors.UserError(
        f'{path} line {number} assigns {words[0]} to {split}, line {first} '
        f'assigns the same image to {split_of[name]}: delete one of the lines'
      )
    split_of[name] = split
  return split_of


def _read_attributes(
  path: pathlib.Path, names: list[str], attributes: tuple[str, ...]
) -> np.ndarray:
  """[len(names), Y] float32 of zeros and ones.

  Read line by line: the table lists all of CelebA, and holding its text takes
  more memory than the pixels of a few thousand images.
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
        f'{path} line {number} and line {line_of[row]} both describe the image '
        f'{names[row]}: delete one of the lines'
      )
    line_of[row] = number
    if len(values) != len(header) or not {'1', '-1'}.issuperset(values):
      wrong = wrong or (number, name)
      continue
    bits[row] = [values[column] == '1' for column in columns]
  if number - 2 != int(size):
    raise errors.UserError(
      f'{path} is damaged: its first line promises {int(size)} rows, but it '
      f'has {number - 2}; restore the file'
    )
  if wrong is not None:
    raise errors.UserError(
      f'{path} line {wrong[0]} ({wrong[1]}) must hold {len(header)} values, '
      'each 1 or -1'
    )
  if not line_of.all():
    missing = names[int(np.argmin(line_of))]
    raise errors.UserError(
      f'{path} has no row for {missing}: add one or remove the image'
    )
  return bits
