"""A user's own images, from files, in the shape that a model takes."""

import os
import zipfile
import zlib
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageOps

from lcjax import errors

# What Pillow and zipfile raise of a damaged file.
UNREADABLE = (
  OSError,
  EOFError,
  SyntaxError,
  ValueError,
  zipfile.BadZipFile,
  zlib.error,
  Image.DecompressionBombError,
)


def fit(
  opened: Image.Image, image_shape: tuple[int, int, int], crop_size: int = 0
) -> np.ndarray:
  """Decodes a picture: upright, cut around the centre, resized (antialiased).

  Args:
    opened: by Pillow.
    image_shape: (H, W, C), grey for C = 1, otherwise RGB.
    crop_size: pixels a side of the square to cut; 0: all that the aspect ratio
      of `image_shape` leaves.

  Returns:
    [H, W, C] uint8.
  """
  height, width, channels = image_shape
  picture = ImageOps.exif_transpose(opened)
  picture = picture.convert('L' if channels == 1 else 'RGB')
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
) -> np.ndarray:
  """Reads image files, or one .npz with an array 'images'.

  Pictures become grey or RGB as the model needs, are cut around the centre and
  resized (antialiased). An array is taken as it is.

  Args:
    paths: files that Pillow reads, or a single .npz / .npy.
    image_shape: (H, W, C) of the model.
    crop_size: pixels a side of the square to cut, as from the data; 0, and for
      smaller pictures, which were cut before: all that the model's aspect
      ratio leaves.

  Returns:
    [N, H, W, C] uint8.

  Raises:
    UserError: a file is missing or unreadable, or an array has another shape.
  """
  arrays = [
    _read_one(os.fspath(path), image_shape, crop_size) for path in paths
  ]
  return np.concatenate(arrays)


def _read_one(
  path: str, image_shape: tuple[int, int, int], crop_size: int
) -> np.ndarray:
  try:
    if path.endswith(('.npz', '.npy')):
      loaded = np.load(path)
      images = loaded['images'] if path.endswith('.npz') else loaded
    else:
      with Image.open(path) as opened:
        crop = crop_size if crop_size <= min(opened.size) else 0
        images = fit(opened, image_shape, crop)[None]
  except (KeyError, *UNREADABLE) as error:
    raise errors.UserError(f'{path} cannot be read: {error}') from error
  if images.shape[1:] != image_shape or images.dtype != np.uint8:
    height, width, channels = image_shape
    raise errors.UserError(
      f'{path} holds {images.dtype} {images.shape}: the model takes uint8 '
      f'[N, {height}, {width}, {channels}]'
    )
  return images
