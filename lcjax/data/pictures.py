"""A user's own images, from files, in the shape that a model takes."""

import os
import zipfile
from collections.abc import Sequence

import numpy as np
from PIL import Image

from lcjax import errors


def read(
  paths: Sequence[str | os.PathLike[str]], image_shape: tuple[int, int, int]
) -> np.ndarray:
  """Reads image files, or one .npz with an array 'images'.

  Pictures become grey or RGB as the model needs, are cut to its aspect ratio
  around the centre and resized (antialiased).

  Args:
    paths: files that Pillow reads, or a single .npz / .npy.
    image_shape: (H, W, C) of the model.

  Returns:
    [N, H, W, C] uint8.

  Raises:
    UserError: a file is missing or unreadable, or an array has another shape.
  """
  arrays = [_read_one(os.fspath(path), image_shape) for path in paths]
  return np.concatenate(arrays)


def _read_one(path: str, image_shape: tuple[int, int, int]) -> np.ndarray:
  height, width, channels = image_shape
  try:
    if path.endswith(('.npz', '.npy')):
      loaded = np.load(path)
      images = loaded['images'] if path.endswith('.npz') else loaded
    else:
      with Image.open(path) as opened:
        picture = opened.convert('L' if channels == 1 else 'RGB')
      scale = min(picture.width / width, picture.height / height)
      left = (picture.width - scale * width) / 2
      top = (picture.height - scale * height) / 2
      box = (left, top, left + scale * width, top + scale * height)
      resized = picture.resize((width, height), Image.Resampling.LANCZOS, box)
      images = np.asarray(resized).reshape(1, height, width, channels)
  except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
    raise errors.UserError(f'{path} cannot be read: {error}') from error
  if images.shape[1:] != image_shape or images.dtype != np.uint8:
    raise errors.UserError(
      f'{path} holds {images.dtype} {images.shape}: the model takes uint8 '
      f'[N, {height}, {width}, {channels}]'
    )
  return images
