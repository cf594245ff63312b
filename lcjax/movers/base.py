"""The result of a mover, and the checks that all movers share."""

from typing import NamedTuple

import jax
import numpy as np

from lcjax import errors
from lcjax.constraints import base


class Moved(NamedTuple):
  """Moved latents.

  Attributes:
    z: [B, Z].
    start: [B, Z] where they started: as given, or further noise if a row was
      tried again.
    steps: [B] updates taken, or None without an optimiser.
    satisfied: [B] whether the constraint is met, or None if it was not asked.
    cost: [B] loss of the constraint at z, or None if it was not asked.
  """

  z: np.ndarray
  start: np.ndarray
  steps: np.ndarray | None = None
  satisfied: np.ndarray | None = None
  cost: np.ndarray | None = None


def check_request(
  want: base.Constraint, start: np.ndarray, target: base.Target
) -> None:
  """Raises UserError unless every row has a start and all targets it needs."""
  if start.ndim != 2 or not len(start):
    raise errors.UserError(
      f'start: the shape is {start.shape}, it must be (B, Z) with B at least 1'
    )
  if not np.isfinite(start).all():
    raise errors.UserError('start: a latent has a NaN or an infinity')
  base.check_target(want, target)
  for name in want.targets():
    for leaf in jax.tree.leaves(target[name]):
      if np.shape(leaf)[:1] != (len(start),):
        raise errors.UserError(
          f'target[{name!r}]: the shape is {np.shape(leaf)}, its first axis '
          f'must be the {len(start)} rows of start'
        )


def check_moved(moved: Moved) -> None:
  """Raises UserError if a latent or its cost is not finite."""
  finite = np.isfinite(moved.z).all(axis=1)
  if moved.cost is not None:
    finite &= np.isfinite(moved.cost)
  if not finite.all():
    row = int(np.argmin(finite))
    raise errors.UserError(
      f'row {row}: the constraint or its gradient is not finite there: check '
      'its critics, penalties and decoder at this start'
    )
