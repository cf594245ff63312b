"""Scores of edits that change one attribute of a real image.

`predicted` and `before` are a judge's decisions, [N, Y] of 0 and 1, on the
edited images and on the unedited reconstructions. `changed` is [N], the index
of the attribute that each edit should change, or of the requested class.
"""

import numpy as np


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
