"""Converts images of any Pillow mode to opaque 8-bit grey or RGB."""

from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageOps

from lcjax import errors

# Grey level of each value of `config.data.background`.
BACKGROUNDS = {'black': 0, 'white': 255}
# Version of the decoding: increase it whenever the same file would give
# different pixels. Caches of another version are decoded again.
DECODING = 2

_GREY_MODES = ('1', 'L', 'LA', 'La', 'I', 'F')
# Formats whose mode 'I' has 16-bit values: Pillow scales PPM to 16 bits, and
# before version 11 it opens a 16-bit PNG as 'I'.
_SIXTEEN_BITS = ('PNG', 'PPM')
_BITS_PER_SAMPLE, _PHOTOMETRIC, _SAMPLE_FORMAT = 258, 262, 339  # of TIFF
_UNSIGNED, _WHITE_IS_ZERO = 1, 0


def is_grey(opened: Image.Image) -> bool:
  """Whether an unloaded image has a single channel, alpha not counted.

  A palette counts as colour, whatever it contains.
  """
  # Pillow has no 16-bit 'LA' and opens such a PNG as 'RGBA'.
  return (
    opened.mode in _GREY_MODES
    or opened.mode.startswith('I;16')
    or _raw_mode(opened).startswith('LA')
  )


def flatten(
  opened: Image.Image, channels: int, background: str = 'black'
) -> Image.Image:
  """Converts an image to 8 bits without alpha, upright.

  Integers are scaled from the range of their type, floats from [0, 1].

  Args:
    opened: the image as opened by Pillow. It must not be loaded yet: loading
      discards how the file stores its pixels.
    channels: 1 for grey, 3 for RGB.
    background: a key of `BACKGROUNDS`, shown where the image is transparent.

  Returns:
    The image, of mode 'L' or 'RGB'.

  Raises:
    UserError: a value is out of range; the message does not name the file.
  """
  storage = _storage_of(opened)
  picture = ImageOps.exif_transpose(opened)
  level = BACKGROUNDS[background]
  if picture.mode in ('I', 'F') or picture.mode.startswith('I;16'):
    picture = _scale(picture, storage, level)
  elif picture.has_transparency_data:
    picture = _composite(picture, storage, level)
  return picture.convert('L' if channels == 1 else 'RGB')


class _Storage(NamedTuple):
  """How a file stores its pixels.

  Attributes:
    raw_mode: Pillow's name of the pixel layout; empty if the format has none.
    maximum: the value of white in an integer mode of more than 8 bits.
    unsigned: whether mode 'I', which is signed, contains unsigned integers.
    inverted: whether 0 is white; Pillow handles this for 8 bits only.
  """

  raw_mode: str
  maximum: int
  unsigned: bool
  inverted: bool


def _raw_mode(opened: Image.Image) -> str:
  tiles = getattr(opened, 'tile', None)
  arguments = tiles[0][3] if tiles else ''
  first = arguments[0] if isinstance(arguments, tuple) else arguments
  return first if isinstance(first, str) else ''


def _storage_of(opened: Image.Image) -> _Storage:
  tags = getattr(opened, 'tag_v2', {})
  bits = 16 if opened.mode != 'I' or opened.format in _SIXTEEN_BITS else 32
  unsigned = bits == 16
  if tags:
    bits = tags.get(_BITS_PER_SAMPLE, (bits,))[0]
    unsigned = tags.get(_SAMPLE_FORMAT, (_UNSIGNED,))[0] == _UNSIGNED
  return _Storage(
    raw_mode=_raw_mode(opened),
    maximum=2 ** (bits if unsigned else bits - 1) - 1,
    unsigned=unsigned,
    inverted=tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO,
  )


def _scale(picture: Image.Image, storage: _Storage, level: int) -> Image.Image:
  """Scales integers of more than 8 bits, or floats, to 8-bit grey."""
  values: Any = np.asarray(picture)
  if picture.mode == 'F':
    outside = ~((values >= 0) & (values <= 1))  # also true for NaN
    if outside.any():
      raise errors.UserError(
        f'it holds the value {values[outside][0]:g}: floating-point pixels '
        'must be in [0, 1]'
      )
    levels = values * 255
  else:
    if picture.mode == 'I' and storage.unsigned:
      values = values.view(np.uint32)
    _check_integers(values, storage.maximum)
    precise = np.float32 if storage.maximum < 2**24 else np.float64
    levels = values.astype(precise) * (255 / storage.maximum)
  levels = np.rint(255 - levels if storage.inverted else levels)
  transparent = picture.info.get('transparency')
  if isinstance(transparent, int):
    levels[values == transparent] = level
  return Image.fromarray(levels.astype(np.uint8))


def _check_integers(values: np.ndarray, maximum: int) -> None:
  """Raises UserError if the values do not use the range of their type."""
  least, most = int(values.min()), int(values.max())
  if least < 0:
    raise errors.UserError(
      f'it holds the value {least}: integer pixels must not be negative'
    )
  if most > maximum:
    raise errors.UserError(
      f'it holds the value {most}: its format allows at most {maximum}'
    )
  # 8- or 16-bit values saved with 32 bits: scaled, they would all be black.
  if maximum > 65535 and 0 < most < maximum / 510:
    raise errors.UserError(
      f'its largest value is {most}, which is black because white is '
      f'{maximum}: save it with 8 or 16 bits'
    )


def _composite(
  picture: Image.Image, storage: _Storage, level: int
) -> Image.Image:
  """Composites an image with transparency onto a grey level."""
  transparent = picture.info.get('transparency')
  # PNG gives the transparent colour at the stored depth; Pillow compares it
  # with 8-bit values.
  factor = {'L;2': 85, 'L;4': 17}.get(storage.raw_mode)
  if factor and isinstance(transparent, int):
    picture.info['transparency'] = transparent * factor
  if storage.raw_mode.startswith('RGB;16') and isinstance(transparent, tuple):
    picture.info['transparency'] = tuple(value >> 8 for value in transparent)
  if picture.mode == 'La':
    picture = picture.convert('LA')
  colours = picture.convert('RGBA')
  canvas = Image.new('RGB', picture.size, (level,) * 3)
  canvas.paste(colours, mask=colours.getchannel('A'))
  return canvas
