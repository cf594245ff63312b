"""Image files in a folder or a zip, decoded in parallel into the cache."""

import hashlib
import io
import json
import os
import pathlib
import posixpath
import zipfile
from collections.abc import Callable, Iterable, Sequence
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from lcjax import errors
from lcjax.data import cache, paths, pictures, pixels


class Folder:
  """Files under one folder."""

  def __init__(self, path: pathlib.Path) -> None:
    """Stores the path; opens no file."""
    self.path = path

  def present(self, names: Iterable[str]) -> set[str]:
    """The subset of `names` that exists in the folder."""
    return {
      name for name in names if paths.exists(self.path / name, is_file=True)
    }

  def open(self, name: str) -> BinaryIO:
    """Opens one file; thread-safe."""
    return open(self.path / name, 'rb')

  def manifest(self, names: Sequence[str]) -> dict[str, Any]:
    """JSON that changes when the files or their order change."""
    stats = [os.stat(self.path / name) for name in names]
    members = [
      (name, stat.st_size, stat.st_mtime_ns)
      for name, stat in zip(names, stats, strict=True)
    ]
    return {'name': self.path.name, 'members': _digest(members)}


class Zip:
  """Members of a zip archive, looked up by base name."""

  def __init__(self, path: pathlib.Path) -> None:
    """Reads the table of contents."""
    self.path = path
    with pictures.reading(path):
      self._zip = zipfile.ZipFile(path)
    self._members: dict[str, zipfile.ZipInfo] = {}
    self._duplicates: dict[str, zipfile.ZipInfo] = {}
    for info in self._zip.infolist():
      name = posixpath.basename(paths.normal(info.filename))
      if not info.is_dir():
        known = name in self._members
        (self._duplicates if known else self._members)[name] = info

  def present(self, names: Iterable[str]) -> set[str]:
    """The subset of `names` that exists in the archive.

    Raises:
      UserError: two members have the same one of these base names.
    """
    found = self._members.keys() & set(names)
    for name in sorted(found & self._duplicates.keys()):
      members = self._members[name].filename, self._duplicates[name].filename
      raise errors.UserError(
        f'{self.path} holds {members[0]} and {members[1]}, which both match '
        f'the image {name}: remove one of them from the archive'
      )
    return found

  def open(self, name: str) -> BinaryIO:
    """Reads one member into memory; thread-safe.

    Raises:
      UserError: the archive is encrypted or uses an unsupported compression.
    """
    try:
      return io.BytesIO(self._zip.read(self._members[name]))
    except RuntimeError as error:  # includes NotImplementedError
      raise errors.UserError(
        f'{error}; unpack the archive and use the folder instead'
      ) from error

  def manifest(self, names: Sequence[str]) -> dict[str, Any]:
    """JSON that changes when the file or the order of members changes."""
    stat = self.path.stat()
    infos = [self._members[name] for name in names]
    return {
      'name': self.path.name,
      'size': stat.st_size,
      'mtime_ns': stat.st_mtime_ns,
      'members': _digest([(i.filename, i.file_size, i.CRC) for i in infos]),
    }


def decode(
  archive: Folder | Zip,
  names: Sequence[str],
  get_channels: Callable[[], int],
  image_size: int,
  crop_size: int,
  cache_dir: str,
  cache_name: str,
  background: str,
) -> np.ndarray:
  """Decodes images once; later calls memory-map the cached file.

  Args:
    archive: folder or zip that contains the image files.
    names: file names of all images, in row order.
    get_channels: returns 1 for grey or 3 for RGB; called only when decoding.
    image_size: side of the decoded images, in pixels.
    crop_size: side in pixels of the central square that is cut out before
      resizing; 0: the largest square.
    cache_dir: folder of the cache; empty: the images are decoded into memory.
    cache_name: prefix of the names of the cache files.
    background: 'black' or 'white', shown where an image is transparent.

  Returns:
    [len(names), image_size, image_size, C] uint8.

  Raises:
    UserError: an image cannot be read.
  """

  def make_shapes() -> dict[str, tuple[int, ...]]:
    return {'images': (len(names), image_size, image_size, get_channels())}

  def fill(rows: range, out: cache.Arrays) -> None:
    for image, row in zip(out['images'], rows, strict=True):
      with (
        pictures.reading(archive.path / names[row]),
        archive.open(names[row]) as opened,
        Image.open(opened) as picture,
      ):
        image[:] = pictures.fit(picture, image.shape, crop_size, background)

  source = {
    **archive.manifest(names),
    'image_size': image_size,
    'crop_size': crop_size,
    'decoding': pixels.DECODING,
    'background': background,
  }
  return cache.load(cache_dir, cache_name, source, make_shapes, fill)['images']


def _digest(rows: Sequence[tuple[Any, ...]]) -> str:
  return hashlib.sha256(json.dumps(rows).encode()).hexdigest()
