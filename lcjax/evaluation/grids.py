"""Grids of images, as pixels or as PNG bytes."""

import io
import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont


def tile(images: np.ndarray, pad: int = 1, scale: int = 1) -> np.ndarray:
  """Arranges images in a grid, separated by white lines.

  Args:
    images: [R, C, H, W, ch] uint8 pixels.
    pad: pixels between images, after scaling.
    scale: factor of enlargement: a pixel becomes a square with this side.

  Returns:
    [R * (H * scale + pad) - pad, C * (W * scale + pad) - pad, ch] uint8.
  """
  images = np.asarray(images)
  if images.ndim != 5 or images.dtype != np.uint8:
    raise ValueError(
      'images must be uint8 [R, C, H, W, ch], not '
      f'{images.dtype} {images.shape}'
    )
  images = images.repeat(scale, axis=2).repeat(scale, axis=3)
  edge = ((0, 0), (0, 0), (0, pad), (0, pad), (0, 0))
  padded = np.pad(images, edge, constant_values=255)
  rows, columns, height, width, channels = padded.shape
  grid = padded.transpose(0, 2, 1, 3, 4)
  grid = grid.reshape(rows * height, columns * width, channels)
  return grid[: rows * height - pad, : columns * width - pad]


def labelled_grid(
  images: np.ndarray,
  row_labels: Sequence[str],
  column_labels: Sequence[str],
  cell_pixels: int = 64,
) -> np.ndarray:
  """A grid with a label left of every row and above every column.

  Column labels wider than a column are rotated.

  Args:
    images: [R, C, H, W, ch] uint8 pixels, grey or RGB.
    row_labels: R labels, or none.
    column_labels: C labels, or none.
    cell_pixels: images are enlarged by an integer factor to about this width.

  Returns:
    [height, width, 3] uint8, black text on white.
  """
  rows, columns, _, width, _ = images.shape
  if len(row_labels) not in (0, rows) or len(column_labels) not in (0, columns):
    raise ValueError(
      f'{len(row_labels)} row and {len(column_labels)} column labels for '
      f'{rows} x {columns} images'
    )
  scale, pad = max(1, round(cell_pixels / width)), 2
  body = Image.fromarray(as_rgb(tile(images, pad, scale)))
  # All row-label images have one size, all column-label images another.
  left = _label_images(row_labels)
  above = _label_images(column_labels, centred=True)
  if above and above[0].width > width * scale:
    turn = Image.Transpose.ROTATE_90
    above = [label.transpose(turn) for label in _label_images(column_labels)]
  margin = left[0].width if left else 0
  head = above[0].height if above else 0
  page = Image.new('RGB', (margin + body.width, head + body.height), 'white')
  page.paste(body, (margin, head))
  row_step = (body.height + pad) / rows
  for index, label in enumerate(left):
    middle = head + (index + 0.5) * row_step - label.height / 2
    page.paste(label, (0, round(middle)))
  column_step = (body.width + pad) / columns
  for index, label in enumerate(above):
    middle = margin + (index + 0.5) * column_step - label.width / 2
    page.paste(label, (round(middle), 0))
  return np.asarray(page)


def png_bytes(array: np.ndarray) -> bytes:
  """Encodes [H, W], [H, W, 1] or [H, W, 3] uint8 pixels as PNG."""
  array = np.asarray(array)
  if array.ndim == 3 and array.shape[-1] == 1:
    array = array[..., 0]
  stream = io.BytesIO()
  Image.fromarray(array).save(stream, format='PNG', optimize=True)
  return stream.getvalue()


def as_rgb(array: np.ndarray) -> np.ndarray:
  """Grey pixels [..., 1] as RGB, others as they are."""
  return array.repeat(3, axis=-1) if array.shape[-1] == 1 else array


def _label_images(
  labels: Sequence[str], centred: bool = False
) -> list[Image.Image]:
  """Labels on white, all with the size that the largest one needs."""
  font, margin = ImageFont.load_default(size=13), 4
  boxes = [font.getbbox(label) for label in labels]
  width = math.ceil(max((box[2] for box in boxes), default=0)) + 2 * margin
  height = math.ceil(max((box[3] for box in boxes), default=0)) + 2 * margin
  images = []
  for label, box in zip(labels, boxes, strict=True):
    image = Image.new('RGB', (width, height), 'white')
    left = (width - box[2]) / 2 if centred else margin
    ImageDraw.Draw(image).text((left, margin), label, 'black', font)
    images.append(image)
  return images
