"""A user's own images, from files, in the shape that a model takes."""

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

# What Pillow, NumPy and zipfile raise of a file that is damaged or of a kind
# that they do not know. Parsers fail in many ways when bytes are wrong.
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
_SUFFIX_OF = {  # by first bytes; an archive of nothing has others
  b'\x93NUM': '.npy',
  b'PK\x03\x04': '.npz',
  b'PK\x05\x06': '.npz',
}


@contextlib.contextmanager
def reading(place: str | os.PathLike[str]) -> Iterator[None]:
  """Makes one line, with the name of the file, of all that reading it raises.

  Args:
    place: the file.

  Raises:
    UserError: in place of any of `UNREADABLE`.
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
  """Decodes a picture: upright, cut around the centre, resized (antialiased).

  Args:
    opened: by Pillow.
    image_shape: (H, W, C), grey for C = 1, otherwise RGB.
    crop_size: pixels a side of the square to cut; 0: all that the aspect ratio
      of `image_shape` leaves.
    background: 'black' or 'white', seen where the picture is transparent.

  Returns:
    [H, W, C] uint8.

  Raises:
    UserError: it is too small, or holds a value out of range; does not name
      the file.
  """
  height, width, channels = image_shape
  picture = pixels.flatten(opened, channels, background)
  if crop_size > min(picture.size):
    raise errors.UserError(
      f'config.data.crop_size={crop_size} exceeds an image of '
      f'{picture.width}x{picture.height} pixels; 0 cuts the largest square'
    )
  if crop_size:
    left = float((picture.width - crop_size) // 2)  # no blur by half a pixel
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
  """Reads image files, or one .npz with an array 'images'.

  Pictures become grey or RGB as the model needs, are cut around the centre and
  resized (antialiased). An array is taken as it is.

  Args:
    paths: files that Pillow reads, or .npz / .npy.
    image_shape: (H, W, C) of the model.
    crop_size: pixels a side of the square to cut, as from the data; 0, and for
      smaller pictures, which were cut before: all that the model's aspect
      ratio leaves.
    background: 'black' or 'white', seen where a picture is transparent.

  Returns:
    [N, H, W, C] uint8.

  Raises:
    UserError: a file is missing or unreadable, or an array has another shape.
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
  """The images of an .npy or an .npz, [N, H, W, C] uint8."""
  height, width, channels = image_shape
  wanted = f'the model takes uint8 [N, {height}, {width}, {channels}]'
  try:
    images = _load_array(path, suffix)
  except errors.UserError:
    raise
  except Exception as error:  # NumPy evaluates a header, which may be anything
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
      f'{path} cannot be read: it is no {suffix} file of NumPy'
    )
  if found != suffix:
    raise errors.UserError(
      f'{path} cannot be read: it is a {found} file of another name, rename it '
      f'to end in {found}'
    )
  loaded = np.load(path)
  if suffix == '.npy':
    return loaded
  with loaded:
    if 'images' not in loaded:
      raise errors.UserError(
        f"{path} cannot be read: it holds no array 'images', but "
        f'{", ".join(loaded) or "nothing"}'
      )
    images = loaded['images']
  if not isinstance(images, np.ndarray):
    raise errors.UserError(f"{path} cannot be read: 'images' is no array")
  return images
