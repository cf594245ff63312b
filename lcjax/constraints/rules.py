"""Rules of images: functions of decoded samples, to learn constraints from.

    dark = rules.holes(low=1)
    scores = dark(images)  # [B] in [0, 1]

Each function here takes settings and returns a rule: images [B, H, W, C] or
[B, H, W] in [0, 1], on the host -> scores [B] in [0, 1]. A rule measures one
number of each image and asks that it lies between `low` and `high`. The score
is then 1, otherwise 0. With a `softness` above 0, it is 1/2 at both ends of the
band and 1 or 0 that far inside or outside of it: as many images have a score of
at least 1/2, and a critic learns from fewer of them how near each one is. An
image without the property, such as the slant of an empty one, has the score 0.
"""

from collections.abc import Callable, Sequence

import numpy as np
from scipy import ndimage

from lcjax import errors

Rule = Callable[[np.ndarray], np.ndarray]
_NO_LIMIT = float('inf')


def _check_band(name: str, low: float, high: float, softness: float) -> None:
  if not low <= high:
    raise errors.UserError(
      f'rule {name}: low={low} must be at most high={high}'
    )
  if not 0 <= softness < _NO_LIMIT:
    raise errors.UserError(
      f'rule {name}: softness={softness} must be at least 0, and finite'
    )


def _band(
  name: str,
  measure: Callable[[np.ndarray], np.ndarray],
  low: float,
  high: float,
  softness: float,
) -> Rule:
  """The rule that a measure of images [B, H, W, C] lies in a band."""
  _check_band(name, low, high, softness)

  def rule(images: np.ndarray) -> np.ndarray:
    x = np.asarray(images, np.float32)
    if x.ndim == 3:
      x = x[..., None]
    if x.ndim != 4:
      raise errors.UserError(
        f'rule {name}: the samples have the shape {x.shape}: it needs images '
        '[B, H, W, C] or [B, H, W]'
      )
    value = measure(x)
    inside = np.asarray(np.minimum(value - low, high - value), np.float64)
    score: np.ndarray
    if softness:
      score = np.clip(0.5 + 0.5 * inside / softness, 0.0, 1.0)
    else:
      score = (inside >= 0) * 1.0
    return np.where(np.isnan(value), 0.0, score).astype(np.float32)

  return rule


def _divide(above: np.ndarray, below: np.ndarray) -> np.ndarray:
  """NaN where the denominator is 0."""
  return np.divide(
    above, below, out=np.full(np.shape(above), np.nan), where=below > 0
  )


def _check_brightness(name: str, brightness: float) -> None:
  if not 0 <= brightness < 1:
    raise errors.UserError(
      f'rule {name}: brightness={brightness} must be in [0, 1)'
    )


def ink(
  low: float = 0.0,
  high: float = 1.0,
  brightness: float = 0.5,
  softness: float = 0.0,
) -> Rule:
  """The share of pixels whose mean over channels is above `brightness`.

  Raises:
    UserError: a setting is out of range.
  """
  _check_brightness('ink', brightness)

  def measure(x: np.ndarray) -> np.ndarray:
    return np.mean(x.mean(axis=3) > brightness, axis=(1, 2))

  return _band('ink', measure, low, high, softness)


def slant(
  low: float = 0.0, high: float = _NO_LIMIT, softness: float = 0.0
) -> Rule:
  """How far an image leans to the right, in pixels per row.

  Minus the regression of columns on rows, weighted by brightness: cov(row,
  column) / var(row), of second moments. 0 is upright, 1 leans by 45 degrees.

  Raises:
    UserError: a setting is out of range.
  """

  def measure(x: np.ndarray) -> np.ndarray:
    weight = x.mean(axis=3).astype(np.float64)
    height, width = weight.shape[1:]
    total = weight.sum(axis=(1, 2))
    rows, columns = weight.sum(axis=2), weight.sum(axis=1)
    row = _divide(rows @ np.arange(height), total)
    column = _divide(columns @ np.arange(width), total)
    from_row = np.arange(height) - row[:, None]
    from_column = np.arange(width) - column[:, None]
    together = np.einsum('bhw,bh,bw->b', weight, from_row, from_column)
    return _divide(-together, np.sum(rows * from_row**2, axis=1))

  return _band('slant', measure, low, high, softness)


def thickness(
  low: float = 0.0,
  high: float = _NO_LIMIT,
  brightness: float = 0.5,
  softness: float = 0.0,
) -> Rule:
  """The mean width of strokes of bright pixels, in pixels.

  Twice the area by the perimeter, of all bright regions: the width of a stroke
  that is much longer than wide. The border of the image counts as dark.

  Raises:
    UserError: a setting is out of range.
  """
  _check_brightness('thickness', brightness)

  def measure(x: np.ndarray) -> np.ndarray:
    bright = x.mean(axis=3) > brightness
    framed = np.pad(bright, ((0, 0), (1, 1), (1, 1)))
    perimeter = sum(
      np.sum(np.diff(framed, axis=axis), axis=(1, 2)) for axis in (1, 2)
    )
    return _divide(2.0 * bright.sum(axis=(1, 2)), np.asarray(perimeter))

  return _band('thickness', measure, low, high, softness)


def symmetry(
  low: float = 0.9, high: float = 1.0, softness: float = 0.0
) -> Rule:
  """How much of an image is the same in the mirror, left to right.

  1 - sum |x - mirrored x| / (2 sum x): 1 for a symmetric image, 0 for one that
  does not overlap with its mirror image.

  Raises:
    UserError: a setting is out of range.
  """

  def measure(x: np.ndarray) -> np.ndarray:
    gaps = np.abs(x - x[:, :, ::-1]).sum(axis=(1, 2, 3), dtype=np.float64)
    total = x.sum(axis=(1, 2, 3), dtype=np.float64)
    return 1.0 - _divide(gaps, 2.0 * total)

  return _band('symmetry', measure, low, high, softness)


def holes(
  low: float = 1.0,
  high: float = _NO_LIMIT,
  brightness: float = 0.5,
  least_pixels: int = 1,
  softness: float = 0.0,
) -> Rule:
  """The number of dark regions that bright pixels enclose, as in 0, 6, 8, 9.

  Regions are connected by edges, not corners; one at the border of the image is
  not enclosed.

  Args:
    low: least number.
    high: greatest number.
    brightness: pixels above it are bright.
    least_pixels: smaller regions do not count.
    softness: above 0, the score is the share of five levels of brightness, this
      far around `brightness`, at which the number is in the band.

  Raises:
    UserError: a setting is out of range.
  """
  _check_band('holes', low, high, softness)
  for level in (brightness - softness, brightness + softness):
    _check_brightness('holes', level)
  in_plane = np.zeros((3, 3, 3), bool)
  in_plane[1] = ndimage.generate_binary_structure(2, 1)

  def count_holes(grey: np.ndarray, above: float) -> np.ndarray:
    regions, count = ndimage.label(grey <= above, in_plane)
    sizes = np.bincount(regions.ravel(), minlength=count + 1)
    enclosed = sizes >= least_pixels
    enclosed[0] = False  # bright pixels
    for edge in (
      regions[:, 0],
      regions[:, -1],
      regions[..., 0],
      regions[..., -1],
    ):
      enclosed[edge.ravel()] = False
    # The image of each region: that of any of its pixels.
    owner = np.zeros(count + 1, int)
    owner[regions] = np.arange(len(grey))[:, None, None]
    return np.bincount(owner[enclosed], minlength=len(grey)).astype(np.float64)

  around = np.linspace(-softness, softness, 5 if softness else 1)

  def share(x: np.ndarray) -> np.ndarray:
    grey = x.mean(axis=3)
    counts = np.stack([count_holes(grey, brightness + by) for by in around])
    return np.mean((counts >= low) & (counts <= high), axis=0)

  return _band('holes', share, 0.5, _NO_LIMIT, 0.5 if softness else 0.0)


def mean_colour(
  colour: Sequence[float], tolerance: float = 0.1, softness: float = 0.0
) -> Rule:
  """The mean over all pixels of each channel is near a colour.

  Args:
    colour: [C] in [0, 1], as red, green and blue.
    tolerance: of the channel that is farthest from it.
    softness: see the module.

  Raises:
    UserError: a setting is out of range, or images have other channels.
  """
  wanted = np.asarray(colour, np.float64)
  if wanted.ndim != 1 or not ((wanted >= 0) & (wanted <= 1)).all():
    raise errors.UserError(
      f'rule mean_colour: colour={colour} must be a value in [0, 1] for each '
      'channel'
    )

  def measure(x: np.ndarray) -> np.ndarray:
    if x.shape[3] != len(wanted):
      raise errors.UserError(
        f'rule mean_colour: colour has {len(wanted)} values, the images have '
        f'{x.shape[3]} channels'
      )
    return np.abs(x.mean(axis=(1, 2), dtype=np.float64) - wanted).max(axis=1)

  return _band('mean_colour', measure, 0.0, tolerance, softness)


TABLE: dict[str, Callable[..., Rule]] = {
  'ink': ink,
  'slant': slant,
  'thickness': thickness,
  'symmetry': symmetry,
  'holes': holes,
  'mean_colour': mean_colour,
}
