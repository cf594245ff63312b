"""MNIST's four official files, and other data sets in that format."""

import gzip
import hashlib
import math
import pathlib
import zlib

import numpy as np

from lcjax import errors, types
from lcjax.data import paths, tables

# Value of `config.data.name` -> names of the classes 0, 1, ...
CLASSES = {
  'mnist': tuple('0123456789'),
  'fashion_mnist': (
    'T-shirt/top',
    'Trouser',
    'Pullover',
    'Dress',
    'Coat',
    'Sandal',
    'Shirt',
    'Sneaker',
    'Bag',
    'Ankle boot',
  ),
}
_UNSIGNED_BYTES = 0x08
# One in 12 official training rows: 5,000 of 60,000.
_VALIDATION_SHARE = 12


def load(split: str, name: str, dir: str) -> tables.Parts:
  """Loads one split: 55,000 train, 5,000 validation, 10,000 test rows.

  Args:
    split: 'train', 'validation' or 'test'.
    name: a key of `CLASSES`.
    dir: folder of {train,t10k}-{images-idx3,labels-idx1}-ubyte[.gz].

  Returns:
    images [N, H, W, 1] uint8, one-hot classes [N, Y] float32, and their
    names as `Classes`.

  Raises:
    UserError: a file is missing or damaged, or does not match the others.
  """
  official = 't10k' if split == 'test' else 'train'
  images_path = _find(dir, f'{official}-images', 3)
  labels_path = _find(dir, f'{official}-labels', 1)
  images, numbers = read(images_path, 3), read(labels_path, 1)
  if len(images) != len(numbers):
    raise errors.UserError(
      f'{labels_path} holds {len(numbers)} labels for the {len(images)} images '
      f'in {images_path}: both must be of the same data set'
    )
  known = labels(name)
  if len(numbers) and numbers.max() >= len(known):
    raise errors.UserError(
      f'{labels_path} holds the label {numbers.max()}: {name} has only '
      f'{len(known)} classes, so it must be of another data set'
    )
  pixels, classes = split_rows(images[..., None], numbers, known.names, split)
  return pixels, classes, known


def labels(name: str) -> types.Classes:
  """The classes of a data set; `name` is a key of `CLASSES`."""
  return types.Classes(CLASSES[name])


def split_rows(
  images: np.ndarray, labels: np.ndarray, names: tuple[str, ...], split: str
) -> tuple[np.ndarray, np.ndarray]:
  """Sorts the official rows into a canonical order and selects a split.

  Rows are sorted by a digest of their content, and the first twelfth of the
  official training rows becomes the validation split. So a split has the same
  rows in the same order whatever the order on disk, which TFDS shuffles.

  Args:
    images: [N, H, W, C] uint8: the official test set for 'test', the official
      training set otherwise.
    labels: [N] class numbers.
    names: names of the classes.
    split: 'train', 'validation' or 'test'.

  Returns:
    The split's images, and its one-hot classes as float32.
  """
  digests = b''.join(
    hashlib.blake2b(bytes((label,)) + image.tobytes(), digest_size=8).digest()
    for image, label in zip(images, labels, strict=True)
  )
  rows = np.argsort(np.frombuffer(digests, '>u8'), kind='stable')
  num_validation = len(rows) // _VALIDATION_SHARE
  if split == 'validation':
    rows = rows[:num_validation]
  elif split == 'train':
    rows = rows[num_validation:]
  return images[rows], np.eye(len(names), dtype=np.float32)[labels[rows]]


def read(path: pathlib.Path, num_axes: int) -> np.ndarray:
  """Reads one IDX file of unsigned bytes, gzipped or not.

  Args:
    path: path of the file.
    num_axes: 3 for images, 1 for labels.

  Returns:
    The array, uint8, read-only.

  Raises:
    UserError: the file cannot be read, or does not match its header.
  """
  try:
    data = path.read_bytes()
    if data[:2] == b'\x1f\x8b':
      data = gzip.decompress(data)
  except (OSError, EOFError, zlib.error) as error:
    raise errors.UserError(f'{path} cannot be read: {error}') from error
  start = 4 + 4 * num_axes
  magic = bytes((0, 0, _UNSIGNED_BYTES, num_axes))
  if data[:4] != magic or len(data) < start:
    raise errors.UserError(
      f'{path} is no IDX file of unsigned bytes with {num_axes} axes: it '
      f'begins with {data[:4].hex(" ")}, not {magic.hex(" ")}'
    )
  shape = tuple(int(size) for size in np.frombuffer(data[4:start], '>u4'))
  if len(data) - start != math.prod(shape):
    raise errors.UserError(
      f'{path} is damaged: its header promises {math.prod(shape)} bytes, '
      f'{len(data) - start} follow; download it again'
    )
  return np.frombuffer(data, np.uint8, offset=start).reshape(shape)


def _find(folder: str, stem: str, num_axes: int) -> pathlib.Path:
  """Finds a file by official name, or with .idx for -idx; gzipped or not."""
  official = f'{stem}-idx{num_axes}-ubyte'
  root = tables.root(folder, f'{official}.gz')
  for name in (official, f'{stem}.idx{num_axes}-ubyte'):
    for path in (root / f'{name}.gz', root / name):
      if paths.exists(path, is_file=True):
        return path
  raise errors.UserError(
    f'config.data.dir={folder} holds no {official}.gz or {official}: name the '
    'folder of these files'
  )
