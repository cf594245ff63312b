"""Scores of edits that change one attribute of a real image.

`predicted` and `before` are a judge's decisions, [N, Y] of 0 and 1, on the
edited images and on the unedited reconstructions. `changed` is [N], the index
of the attribute that each edit should change, or of the requested class.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from lcjax import types
from lcjax.data import dataset
from lcjax.evaluation import metrics


def succeeded(
  predicted: np.ndarray, requested: np.ndarray, changed: np.ndarray
) -> np.ndarray:
  """Whether the judge sees the changed attribute as requested.

  Args:
    predicted: [N, Y].
    requested: [N, Y] requested attributes.
    changed: [N].

  Returns:
    [N] booleans.
  """
  rows = np.arange(len(changed))
  return predicted[rows, changed] == requested[rows, changed]


def leakage(
  predicted: np.ndarray, before: np.ndarray, changed: np.ndarray
) -> np.ndarray:
  """How often an edit flips an attribute that it should not change.

  Only for independent attributes: a class cannot change alone.

  Args:
    predicted: [N, Y].
    before: [N, Y].
    changed: [N].

  Returns:
    [Y] for each attribute, the share of the edits of other attributes that flip
    it; NaN if no other attribute was edited.
  """
  others = changed[:, None] != np.arange(predicted.shape[1])
  flipped = (predicted != before) & others
  total = others.sum(axis=0)
  return np.where(total > 0, flipped.sum(axis=0) / np.maximum(total, 1), np.nan)


def leakage_table(
  predicted: np.ndarray, before: np.ndarray, changed: np.ndarray
) -> np.ndarray:
  """`leakage` by edited attribute, such as glasses that change the gender.

  Args:
    predicted: [N, Y].
    before: [N, Y].
    changed: [N].

  Returns:
    [Y, Y] share of the edits of attribute i that flip attribute j; NaN on the
    diagonal and in rows of attributes that were never edited.
  """
  rows = [changed == i for i in range(predicted.shape[1])]
  return np.stack([leakage(predicted[r], before[r], changed[r]) for r in rows])


def mean_by(values: np.ndarray, groups: np.ndarray, count: int) -> np.ndarray:
  """[count] means of `values` by group number; NaN for an empty group."""
  total = np.bincount(groups, minlength=count)
  sums = np.bincount(groups, weights=values, minlength=count)
  return np.where(total > 0, sums / np.maximum(total, 1), np.nan)


def pixel_errors(images: np.ndarray, others: np.ndarray) -> np.ndarray:
  """[N] mean squared differences of uint8 images, pixels scaled to [0, 1]."""
  images, others = np.asarray(images), np.asarray(others)
  if images.dtype != np.uint8 or others.dtype != np.uint8:
    raise ValueError(
      f'images must be uint8, not {images.dtype} and {others.dtype}'
    )
  error = (images.astype(np.float32) - others.astype(np.float32)) / 255.0
  return np.mean(np.square(error), axis=tuple(range(1, images.ndim)))


class Requests(NamedTuple):
  """Held-out images, each with a requested change of one attribute.

  Attributes:
    images: [N, H, W, C] uint8.
    y: [N, Y] their attributes.
    asked: [N, Y] requested attributes.
    changed: [N] the attribute, or class, to change.
    mask: [N, Y] attributes that the mover's loss includes: the changed one, or
      the complete vector of classes.
    start: [N, Z] encodings of the images.
    reconstructions: [N, H, W, C] uint8.
    before: [N, Y] the judge's decisions on the reconstructions.
  """

  images: np.ndarray
  y: np.ndarray
  asked: np.ndarray
  changed: np.ndarray
  mask: np.ndarray
  start: np.ndarray
  reconstructions: np.ndarray
  before: np.ndarray


def make_requests(
  test: dataset.Dataset,
  encode: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]],
  decode: Callable[[np.ndarray], np.ndarray],
  predict: Callable[[np.ndarray], np.ndarray],
  num_images: int,
  seed: int,
) -> Requests:
  """Draws a random change for each of `num_images` held-out images.

  Args:
    test: the held-out split.
    encode: uint8 images -> (mean [B, Z], scale [B, Z]).
    decode: z -> uint8 images.
    predict: uint8 images -> the judge's decisions [B, Y].
    num_images: at most.
    seed: of the choice of images and changes.
  """
  order = np.random.default_rng(seed).permutation(len(test))
  rows = np.sort(order[:num_images])
  images, y = test.images[rows], test.attributes[rows]
  changed = test.labels.draw_changes(y, seed)
  asked, mask = test.labels.change(y, changed)
  start, _ = encode(images)
  decoded = decode(start)
  before = predict(decoded)
  return Requests(images, y, asked, changed, mask, start, decoded, before)


def score(
  requests: Requests,
  predicted: np.ndarray,
  z: np.ndarray,
  images: np.ndarray,
  labels: types.Labels,
  mean_scale: np.ndarray,
) -> dict[str, Any]:
  """Scores edited images by the judge's decisions and by their pixels.

  Args:
    requests: what was to change.
    predicted: [N, Y] the judge's decisions on `images`.
    z: [N, Z] the edited latents.
    images: [N, H, W, C] uint8, decoded from z.
    labels: of the attributes.
    mean_scale: [Z] training mean of the encoder's scale.
  """
  count, changed = len(labels), requests.changed
  success = succeeded(predicted, requests.asked, changed)
  scores = {
    'success': success.mean(),
    'z_distance': metrics.z_distance(z, requests.start, mean_scale),
    'pixel_mse_original': pixel_errors(images, requests.images).mean(),
    'pixel_mse_reconstruction': pixel_errors(
      images, requests.reconstructions
    ).mean(),
    'success_by_attribute': mean_by(success, changed, count),
  }
  if isinstance(labels, types.Classes):
    return scores  # one class cannot change alone
  held = requests.y[np.arange(len(changed)), changed] > 0.5
  leaks = leakage(predicted, requests.before, changed)
  return scores | {
    'leakage': np.nanmean(leaks),
    'leakage_by_attribute': leaks,
    'leakage_by_change': leakage_table(predicted, requests.before, changed),
    'success_added': mean_by(success[~held], changed[~held], count),
    'success_removed': mean_by(success[held], changed[held], count),
  }


def score_turn(
  predicted: np.ndarray,
  before: np.ndarray,
  y: np.ndarray,
  asked: Sequence[int],
) -> dict[str, float]:
  """Scores images to which attributes were added in turns, the last one new.

  An image counts for an attribute that it lacks, by its own label.

  Args:
    predicted: [N, Y].
    before: [N, Y].
    y: [N, Y] labels of the originals.
    asked: columns of the attributes that were added, in order.

  Returns:
    Shares: `added`, of images that lack the new attribute, in which it holds;
    `before`, the same on the reconstructions; `earlier`, in which all others
    that were added still hold; `all`, in which all that were added hold; and
    `leakage`, of decisions on attributes never asked for that differ from
    those on the reconstructions. NaN where nothing counts.
  """
  columns = list(asked)
  lacks = np.less(y[:, columns], 0.5)
  held = np.greater(predicted[:, columns], 0.5)

  def together(count: int) -> float:
    """Share in which the first `count` hold where they were added."""
    counts = lacks[:, :count].any(axis=1)
    right = (held | ~lacks)[:, :count].all(axis=1)
    return _share(right[counts])

  others = [i for i in range(y.shape[1]) if i not in columns]
  new = lacks[:, -1]
  return {
    'added': _share(held[new, -1]),
    'before': _share(before[new, columns[-1]] > 0.5),
    'earlier': together(len(columns) - 1),
    'all': together(len(columns)),
    'leakage': _share((predicted != before)[:, others]),
    'num_lacking': int(new.sum()),
  }


def _share(right: np.ndarray) -> float:
  return float(right.mean()) if right.size else float('nan')


def random_images(
  requests: Requests, test: dataset.Dataset, seed: int
) -> np.ndarray:
  """For every request, a real image with the requested attribute.

  Args:
    requests: of edits.
    test: the held-out split that images are drawn from.
    seed: of the choice.

  Returns:
    [N, H, W, C] uint8; the split's first image if no image has the attribute.
  """
  rng = np.random.default_rng(seed)
  wanted = requests.asked[np.arange(len(requests.changed)), requests.changed]
  columns = test.attributes[:, requests.changed].T  # [N, rows of the split]
  picked = [
    rng.choice(found) if len(found) else 0
    for found in (
      np.flatnonzero(column == value)
      for column, value in zip(columns, wanted, strict=True)
    )
  ]
  return test.images[np.asarray(picked)]
