"""Image files of users, decoded to the image shape of a model."""

import contextlib
import lzma
import os
import struct
import zipfile
import zlib
from collections.abc import Iterator, Sequence

import numpy as np
from PIL import Image

from lcjax import errors
from lcjax.data import pixels

# What Pillow, NumPy and zipfile raise for damaged or unknown files. Parsers
# fail in many ways on wrong bytes.
UNREADABLE = (
  OSError,
  EOFError,
  SyntaxError,
  ValueError,
  TypeError,
  LookupError,
  ArithmeticError,
  MemoryError,
  RuntimeError,
  struct.error,
  zipfile.BadZipFile,
  zlib.error,
  lzma.LZMAError,
  Image.DecompressionBombError,
)
_SUFFIX_OF = {  # by the first four bytes; an empty archive has its own
  b'\x93NUM': '.npy',
  b'PK\x03\x04': '.npz',
  b'PK\x05\x06': '.npz',
}


@contextlib.contextmanager
def reading(place: str | os.PathLike[str]) -> Iterator[None]:
  """Turns errors while reading a file into a UserError that names the file.

  Args:
    place: the file.

  Raises:
    UserError: instead of any of `UNREADABLE`, and of a UserError without name.
  """
  try:
    yield
  except errors.UserError as error:
    raise errors.UserError(f'{place}: {error}') from error
  except UNREADABLE as error:
    reason = str(error) or type(error).__name__
    raise errors.UserError(f'{place} cannot be read: {reason}') from error


def fit(
  opened: Image.Image,
  image_shape: tuple[int, ...],
  crop_size: int = 0,
  background: str = 'black',
) -> np.ndarray:
  """Decodes an image: upright, cropped at the centre, resized (antialiased).

  Args:
    opened: the image as opened by Pillow.
    image_shape: (H, W, C), grey for C = 1, otherwise RGB.
    crop_size: side in pixels of the central square to cut out; 0: the largest
      area with the aspect ratio of `image_shape`.
    background: 'black' or 'white', shown where the image is transparent.

  Returns:
    [H, W, C] uint8.

  Raises:
    UserError: the image is smaller than the crop, or a value is out of range;
      the message does not name the file.
  """
  height, width, channels = image_shape
  picture = pixels.flatten(opened, channels, background)
  if crop_size > min(picture.size):
    raise errors.UserError(
      f'config.data.crop_size={crop_size} exceeds the image size of '
      f'{picture.width}x{picture.height} pixels: lower it, or set it to 0 for '
      'the largest square'
    )
  if crop_size:
    left = float((picture.width - crop_size) // 2)  # whole pixels avoid blur
    top = float((picture.height - crop_size) // 2)
    box = (left, top, left + crop_size, top + crop_size)
  else:
    scale = min(picture.width / width, picture.height / height)
    left = (picture.width - scale * width) / 2
    top = (picture.height - scale * height) / 2
    box = (left, top, left + scale * width, top + scale * height)
  resized = picture.resize((width, height), Image.Resampling.LANCZOS, box)
  return np.asarray(resized).reshape(height, width, channels)


def read(
  paths: Sequence[str | os.PathLike[str]],
  image_shape: tuple[int, int, int],
  crop_size: int = 0,
  background: str = 'black',
) -> np.ndarray:
  """Reads image files, .npy files, and .npz files with an array 'images'.

  Images become grey or RGB as the model needs, are cropped around the centre
  and resized (antialiased). Arrays are used unchanged.

  Args:
    paths: files that Pillow reads, or .npz / .npy.
    image_shape: (H, W, C) of the model.
    crop_size: side in pixels of the central square to cut out, as for the
      training data. If 0, or if the image is smaller and so was probably
      cropped before: the largest area with the model's aspect ratio.
    background: 'black' or 'white', shown where an image is transparent.

  Returns:
    [N, H, W, C] uint8.

  Raises:
    UserError: a file is missing or unreadable, or an array has the wrong shape
      or dtype.
  """
  arrays = []
  for path in [os.fspath(path) for path in paths]:
    suffix = os.path.splitext(path)[1].lower()
    if suffix in ('.npz', '.npy'):
      arrays.append(_read_array(path, suffix, image_shape))
      continue
    with reading(path), Image.open(path) as opened:
      crop = crop_size if crop_size <= min(opened.size) else 0
      arrays.append(fit(opened, image_shape, crop, background)[None])
  return np.concatenate(arrays)


def _read_array(
  path: str, suffix: str, image_shape: tuple[int, int, int]
) -> np.ndarray:
  """The images of a .npy or .npz file, [N, H, W, C] uint8."""
  height, width, channels = image_shape
  wanted = f'the model takes uint8 [N, {height}, {width}, {channels}]'
  try:
    images = _load_array(path, suffix)
  except errors.UserError:
    raise
  except Exception as error:  # NumPy evaluates the header: may raise anything
    reason = str(error) or type(error).__name__
    raise errors.UserError(
      f'{path} cannot be read: {reason}; {wanted}'
    ) from error
  if images.shape[1:] != image_shape or images.dtype != np.uint8:
    raise errors.UserError(
      f'{path} holds {images.dtype} {images.shape}: {wanted}'
    )
  if not len(images):
    raise errors.UserError(f'{path} holds no image: its array has 0 rows')
  return images


def _load_array(path: str, suffix: str) -> np.ndarray:
  with open(path, 'rb') as file:
    start = file.read(4)
  found = _SUFFIX_OF.get(start)
  if found is None:
    raise errors.UserError(
      f'{path} cannot be read: it is not a {suffix} file of NumPy'
    )
  if found != suffix:
    raise errors.UserError(
      f'{path} cannot be read: it is a {found} file with the wrong suffix, '
      f'rename it to end in {found}'
    )
  loaded = np.load(path)
  if suffix == '.npy':
    return loaded
  with loaded:
    if 'images' not in loaded:
      raise errors.UserError(
        f"{path} cannot be read: it has no array 'images', its arrays are: "
        f'{", ".join(loaded) or "none"}'
      )
    images = loaded['images']
  if not isinstance(images, np.ndarray):
    raise errors.UserError(f"{path} cannot be read: 'images' is not an array")
  return images
