"""Movers: what they take and return, and the checks that all of them share.

A mover is called with latents, a target, row numbers and a key, and returns
`Moved`. Row i of the result follows from row i of the arguments and the key.
"""

import functools
from collections.abc import Iterable
from typing import Any, NamedTuple, Protocol

import jax
import numpy as np

from lcjax import errors
from lcjax.constraints import base
from lcjax.latent import encodings
from lcjax.training import parallel

BATCH_SIZE = 1024  # latents per call


class Moved(NamedTuple):
  """Moved latents.

  Attributes:
    z: [B, Z].
    start: [B, Z] where they started: as given, or further noise if a row was
      tried again.
    steps: [B] updates taken, of all tries; None without an optimiser.
    satisfied: [B] whether the constraint is met, or None if it was not asked.
    cost: [B] loss of the constraint at z, or None if it was not asked.
    tries: [B] tries made, or None for a mover that tries once.
    evaluations: by name of a network or constraint, [B] how often it was
      evaluated, of all tries; one with its gradient counts once. None if the
      mover does not say.
  """

  z: np.ndarray
  start: np.ndarray
  steps: np.ndarray | None = None
  satisfied: np.ndarray | None = None
  cost: np.ndarray | None = None
  tries: np.ndarray | None = None
  evaluations: dict[str, np.ndarray] | None = None


def evaluated(
  want: base.Constraint, times: np.ndarray | int, num_rows: int
) -> dict[str, np.ndarray]:
  """Counts evaluations of a constraint, as `Moved` has them.

  Args:
    want: the constraint; those that only compare with a reference cost nothing.
    times: [B], or one number for all rows.
    num_rows: B.
  """
  counts = np.broadcast_to(times, num_rows)
  return {
    name: counts for name in want.names() if name not in want.references()
  }


def add_evaluations(
  parts: Iterable[dict[str, np.ndarray] | None],
) -> dict[str, np.ndarray] | None:
  """Sums evaluations of the same rows by name; None if any is not known."""
  total: dict[str, np.ndarray] = {}
  for part in parts:
    if part is None:
      return None
    for name, counts in part.items():
      total[name] = total.get(name, 0) + np.asarray(counts)
  return total


class Verdicts(NamedTuple):
  """`Verdict`s of B rows, on the host: loss [B] and met [B]."""

  loss: np.ndarray
  met: np.ndarray


class Mover(Protocol):
  """Moves latents; its parameters and constraint are bound."""

  def __call__(
    self,
    start: np.ndarray,
    target: base.Target,
    rows: np.ndarray | None = None,
    key: jax.Array | None = None,
  ) -> Moved:
    """Moves latents.

    Args:
      start: [B, Z].
      target: arrays of B rows by name of the constraint that reads them;
        references that are missing are the start.
      rows: [B] global row numbers, which noise depends on; 0 to B - 1 if None.
      key: of the noise; only movers that draw noise need one.

    Raises:
      UserError: a target is missing or has another number of rows, or a result
        is not finite.
    """


def own_target(
  want: base.Constraint, start: np.ndarray, target: base.Target
) -> dict[str, Any]:
  """The targets that a constraint reads; missing references are the start.

  Raises:
    UserError: see `check_request`.
  """
  full = dict.fromkeys(want.references(), start) | dict(target)
  check_request(want, start, full)
  return {name: full[name] for name in want.targets()}


@jax.jit
def _verdicts(want: base.Constraint, z: jax.Array, target: Any) -> base.Verdict:
  return jax.vmap(want)(z, target)


def verdicts(
  want: base.Constraint,
  z: np.ndarray,
  target: base.Target,
  batch_size: int = BATCH_SIZE,
) -> Verdicts:
  """Asks a constraint of every row, on the host.

  Args:
    want: the constraint.
    z: [B, Z].
    target: arrays of B rows by name; missing references are z itself.
    batch_size: rows per call.

  Returns:
    Losses and met, [B] each.

  Raises:
    UserError: see `check_request`.
  """
  z = np.asarray(z, np.float32)
  own = own_target(want, z, target)
  # One shape, as rejection sampling asks of fewer rows in every round.
  found = encodings.in_batches(
    parallel.over_devices(functools.partial(_verdicts, want)),
    z,
    own,
    batch_size=batch_size,
    one_shape=True,
  )
  return Verdicts(found.loss, found.met)


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
