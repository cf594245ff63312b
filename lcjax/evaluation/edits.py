"""What changing one attribute of a real image did, and what else it changed.

`predicted` and `before` are a judge's decisions, [N, Y] of 0 and 1, on edited
images and on the unedited reconstructions that they came from. `changed` is
[N], the attribute (or the class) that each edit was asked to change.
"""

import numpy as np


def succeeded(
  predicted: np.ndarray, requested: np.ndarray, changed: np.ndarray
) -> np.ndarray:
  """Whether the judge sees the changed attribute as requested.

  For one-hot attributes `changed` is the class that was asked for.

  Args:
    predicted: [N, Y].
    requested: [N, Y] attributes that were asked for.
    changed: [N].

  Returns:
    [N] booleans.
  """
  rows = np.arange(len(changed))
  return predicted[rows, changed] == requested[rows, changed]


def leakage(
  predicted: np.ndarray, before: np.ndarray, changed: np.ndarray
) -> np.ndarray:
  """How often an attribute changes that nobody asked to change.

  For independent attributes; of classes, one cannot change alone.

  Args:
    predicted: [N, Y].
    before: [N, Y].
    changed: [N].

  Returns:
    [Y] share of the edits of other attributes that flip this one; NaN where
    no other attribute was edited.
  """
  others = changed[:, None] != np.arange(predicted.shape[1])
  flipped = (predicted != before) & others
  total = others.sum(axis=0)
  return np.where(total > 0, flipped.sum(axis=0) / np.maximum(total, 1), np.nan)


def leakage_table(
  predicted: np.ndarray, before: np.ndarray, changed: np.ndarray
) -> np.ndarray:
  """`leakage` by what was changed: glasses that change the gender, say.

  Args:
    predicted: [N, Y].
    before: [N, Y].
    changed: [N].

  Returns:
    [Y, Y]: share of the edits of attribute i that flip attribute j; NaN on the
    diagonal and in rows that nobody edited.
  """
  rows = [changed == i for i in range(predicted.shape[1])]
  return np.stack([leakage(predicted[r], before[r], changed[r]) for r in rows])


def mean_by(values: np.ndarray, groups: np.ndarray, count: int) -> np.ndarray:
  """[count] means of `values` by group number; NaN for an empty group."""
  total = np.bincount(groups, minlength=count)
  sums = np.bincount(groups, weights=values, minlength=count)
  return np.where(total > 0, sums / np.maximum(total, 1), np.nan)


def pixel_errors(images: np.ndarray, others: np.ndarray) -> np.ndarray:
  """[N] mean squared differences of uint8 images, as pixels in [0, 1]."""
  images, others = np.asarray(images), np.asarray(others)
  if images.dtype != np.uint8 or others.dtype != np.uint8:
    raise ValueError(f'uint8 images, not {images.dtype} and {others.dtype}')
  error = (images.astype(np.float32) - others.astype(np.float32)) / 255.0
  return np.mean(np.square(error), axis=tuple(range(1, images.ndim)))
