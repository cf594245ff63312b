"""Watches adversarial trainings: what is measured, and a name for how it goes.

For any training of a mover, which may be a generator, against a critic.
"""

import numpy as np


def measure(
  moved: np.ndarray,
  real: np.ndarray,
  of_moved: np.ndarray,
  of_real: np.ndarray,
  labels: np.ndarray | None = None,
  unit: np.ndarray | float = 1.0,
) -> dict[str, float]:
  """What tells how a training goes, of held-out rows: validation metrics.

  Args:
    moved: [N, ...] moved or generated rows.
    real: [N, ...] real rows.
    of_moved: [N] outputs of the critic.
    of_real: [N] of real rows, with the same labels.
    labels: [N, Y] of both, if any.
    unit: [...] that distances are measured in, such as the encoder's mean
      scale: a latent that means nothing should not count.

  Returns:
    'diversity': mean squared distance of moved rows from their mean, 1 for that
    of real rows. 'label_diversity': the same within rows of one label, so that
    a mover that knows one answer to each request is not varied. 'gap': mean
    squared distance between the means of moved and of real rows of one label,
    where 1 is that of a real row from the mean; without what chance adds, and
    at least 0. 'real_above_moved': share of pairs in which the critic scores
    the real row above the moved one, 1/2 if it cannot tell; unlike the two
    scores, it means the same for outputs of any scale, and noisy labels do not
    bound it.
  """
  size = len(moved)
  z, x = (
    (np.asarray(rows, np.float64) / unit).reshape(size, -1)
    for rows in (moved, real)
  )
  of_moved, of_real = np.asarray(of_moved), np.asarray(of_real)
  whole = np.zeros(size, int)
  groups = whole
  if labels is not None:
    groups = np.unique(labels, axis=0, return_inverse=True)[1].ravel()
    if groups.max() + 1 > size / 2:  # most labels are of one row
      groups = whole
  means_of_moved, inner = _within(z, groups)
  means, own = _within(x, groups)
  counts = np.bincount(groups)
  apart = np.sum(counts * np.mean(np.square(means_of_moved - means), axis=1))
  apart -= len(counts) * (inner + own)
  return {
    'diversity': _ratio(_within(z, whole)[1], _within(x, whole)[1]),
    'label_diversity': _ratio(inner, own),
    'gap': max(float(apart) / size / own, 0.0) if own > 0 else 0.0,
    'real_above_moved': float(
      np.mean((of_real > of_moved) + 0.5 * (of_real == of_moved))
    ),
  }


def _within(z: np.ndarray, groups: np.ndarray) -> tuple[np.ndarray, float]:
  """Means of groups [G, D], and the variance within, averaged over D."""
  sums = np.zeros((groups.max() + 1, z.shape[1]))
  np.add.at(sums, groups, z)
  means = sums / np.bincount(groups)[:, None]
  squares = np.sum(np.mean(np.square(z - means[groups]), axis=1))
  return means, float(squares) / max(len(z) - len(means), 1)


def _ratio(moved: float, real: float) -> float:
  """1 if real rows do not differ: there is nothing to lose."""
  return moved / real if real > 0 else 1.0
