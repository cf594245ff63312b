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
    """Opens nothing yet."""
    self.path = path

  def present(self, names: Iterable[str]) -> set[str]:
    """Those of the names that are there."""
    return {
      name for name in names if paths.exists(self.path / name, is_file=True)
    }

  def open(self, name: str) -> BinaryIO:
    """Opens one file; any thread may."""
    return open(self.path / name, 'rb')

  def manifest(self, names: Sequence[str]) -> dict[str, Any]:
    """JSON that changes when files, or their order, do."""
    stats = [os.stat(self.path / name) for name in names]
    members = [
      (name, stat.st_size, stat.st_mtime_ns)
      for name, stat in zip(names, stats, strict=True)
    ]
    return {'name': self.path.name, 'members': _digest(members)}


class Zip:
  """Members of a zip by the last part of their names."""

  def __init__(self, path: pathlib.Path) -> None:
    """Reads the table of contents."""
    self.path = path
    with pictures.reading(path):
      self._zip = zipfile.ZipFile(path)
    self._members: dict[str, zipfile.ZipInfo] = {}
    self._again: dict[str, zipfile.ZipInfo] = {}
    for info in self._zip.infolist():
      name = posixpath.basename(paths.normal(info.filename))
      if not info.is_dir():
        (self._again if name in self._members else self._members)[name] = info

  def present(self, names: Iterable[str]) -> set[str]:
    """Those of the names that are there.

    Raises:
      UserError: one of them is there twice.
    """
    found = self._members.keys() & set(names)
    for name in sorted(found & self._again.keys()):
      members = self._members[name].filename, self._again[name].filename
      raise errors.UserError(
        f'{self.path} holds {members[0]} and {members[1]}, both of which could '
        f'be the image {name}: take one of them out of the archive'
      )
    return found

  def open(self, name: str) -> BinaryIO:
    """Reads one member; any thread may.

    Raises:
      UserError: the archive is encrypted, or compressed in an unusual way.
    """
    try:
      return io.BytesIO(self._zip.read(self._members[name]))
    except RuntimeError as error:  # and NotImplementedError, which is one
      raise errors.UserError(
        f'{error}; unpack the archive and put the folder in its place'
      ) from error

  def manifest(self, names: Sequence[str]) -> dict[str, Any]:
    """JSON that changes when the file, or the order of members, does."""
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
  """Decodes pictures once; later calls map the cached file.

  Args:
    archive: that holds them.
    names: of all pictures, in the order of the rows.
    get_channels: 1 for grey, 3 for RGB; called only to decode.
    image_size: pixels a side.
    crop_size: pixels a side of what is cut from the middle before; 0: the
      largest square.
    cache_dir: folder of the cache; empty: none, the images are in memory.
    cache_name: of its files.
    background: 'black' or 'white', seen where a picture is transparent.

  Returns:
    [len(names), image_size, image_size, C] uint8.

  Raises:
    UserError: a picture cannot be read.
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
