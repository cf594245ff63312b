"""Movers made of other movers: then, retry and backtrack."""

from collections.abc import Callable

import flax
import jax
import numpy as np

from lcjax import errors
from lcjax.constraints import base as constraints
from lcjax.latent import backtrack as backtrack_lib
from lcjax.latent import samplers
from lcjax.movers import base, starts

# (z [B, Z], target) -> [B] whether each row is good enough, on the host.
Accept = Callable[[np.ndarray, constraints.Target], np.ndarray]


@flax.struct.dataclass
class Stay:
  """Leaves latents where they are: a baseline, or `retry`'s pure rejection."""

  def __call__(
    self,
    start: np.ndarray,
    target: constraints.Target,
    rows: np.ndarray | None = None,
    key: jax.Array | None = None,
  ) -> base.Moved:
    """See `base.Mover`; draws no noise."""
    del target, rows, key
    start = np.asarray(start, np.float32)
    return base.Moved(start, start, evaluations={})


@flax.struct.dataclass
class Then:
  """One mover, then another from where the first one ended.

  References, such as that of `near`, stay the first start.

  Attributes:
    first: moves the start.
    second: moves the result.
    references: names of the second one's references; static.
  """

  first: base.Mover
  second: base.Mover
  references: tuple[str, ...] = flax.struct.field(pytree_node=False)

  def __call__(
    self,
    start: np.ndarray,
    target: constraints.Target,
    rows: np.ndarray | None = None,
    key: jax.Array | None = None,
  ) -> base.Moved:
    """See `base.Mover`."""
    first_key, second_key = (
      (None, None) if key is None else jax.random.split(key)
    )
    found = self.first(start, target, rows, first_key)
    full = dict.fromkeys(self.references, found.start) | dict(target)
    moved = self.second(found.z, full, rows, second_key)
    both = base.add_evaluations((found.evaluations, moved.evaluations))
    return moved._replace(start=found.start, evaluations=both)


@flax.struct.dataclass
class Backtrack:
  """Goes back on the line to the start while a constraint is met.

  A mover often goes further than needed. So each row keeps just the part of its
  move that the constraint needs, and an edit more of the original.

  Attributes:
    mover: whose moves are shortened.
    want: must stay met on the way back.
    num_points: that are tried, evenly spaced; static.
    batch_size: latents per call; static.
  """

  mover: base.Mover
  want: constraints.Constraint
  num_points: int = flax.struct.field(pytree_node=False)
  batch_size: int = flax.struct.field(pytree_node=False)

  def __call__(
    self,
    start: np.ndarray,
    target: constraints.Target,
    rows: np.ndarray | None = None,
    key: jax.Array | None = None,
  ) -> base.Moved:
    """See `base.Mover`; satisfied and cost are those of `want`."""
    moved = self.mover(start, target, rows, key)
    full = dict.fromkeys(self.want.references(), moved.start) | dict(target)

    def met(z: np.ndarray) -> np.ndarray:
      return base.verdicts(self.want, z, full, self.batch_size).met

    z = backtrack_lib.backtrack(met, moved.start, moved.z, self.num_points)
    found = base.verdicts(self.want, z, full, self.batch_size)
    asked = base.evaluated(self.want, self.num_points + 1, len(z))
    both = base.add_evaluations((moved.evaluations, asked))
    return moved._replace(
      z=z, satisfied=found.met, cost=found.loss, evaluations=both
    )


@flax.struct.dataclass
class Retry:
  """Moves rows again, from new starts, until they are accepted.

  Of each row's tries, an accepted one is kept before a rejected one, then the
  one of least cost; without costs, the first accepted or else the last one.
  Runs on the host, as acceptance may be any function. A row's tries depend on
  its number and the key only, whichever other rows are tried again.

  Attributes:
    mover: of every try.
    draw: draws the starts of all tries but the first; static.
    accept: a constraint, a function, or None for the mover's own `satisfied`.
    tries: of every row, at most; static.
    always: whether accepted rows are tried again, too, for a lower cost;
      static.
    batch_size: latents per call of a constraint; static.
  """

  mover: base.Mover
  draw: starts.Start = flax.struct.field(pytree_node=False)
  accept: constraints.Constraint | Accept | None
  tries: int = flax.struct.field(pytree_node=False)
  always: bool = flax.struct.field(pytree_node=False)
  batch_size: int = flax.struct.field(pytree_node=False)

  def __call__(
    self,
    start: np.ndarray,
    target: constraints.Target,
    rows: np.ndarray | None = None,
    key: jax.Array | None = None,
  ) -> base.Moved:
    """See `base.Mover`.

    Raises:
      UserError: the mover does not say whether a row is satisfied, and there
        is nothing else to accept by; or `accept` gives another shape.
    """
    start = np.asarray(start, np.float32)
    numbers = np.arange(len(start)) if rows is None else np.asarray(rows)
    if key is None:
      raise errors.UserError('key: retry draws new starts, give a key')
    draw_key, move_key = jax.random.split(key)
    steps = np.zeros(len(start), np.int32)
    tries = np.zeros(len(start), np.int32)
    evaluations: dict[str, np.ndarray] | None = {}
    known = {'steps': False, 'cost': False}

    def attempt(asked: np.ndarray, number: int) -> samplers.Tried:
      nonlocal evaluations
      own = jax.tree.map(lambda leaf: np.asarray(leaf)[asked], dict(target))
      begun = start[asked]
      if number:
        round_key = jax.random.fold_in(draw_key, number)
        begun = self.draw(own, numbers[asked], round_key)
      round_key = jax.random.fold_in(move_key, number)
      moved = self.mover(begun, own, numbers[asked], round_key)
      tries[asked] += 1
      if moved.steps is not None:
        known['steps'] = True
        steps[asked] += moved.steps
      of_all = None
      if moved.evaluations is not None:
        of_all = {
          name: _scattered(counts, asked, len(start))
          for name, counts in moved.evaluations.items()
        }
      evaluations = base.add_evaluations((evaluations, of_all))
      accepted, cost = self._judge(moved, own)
      known['cost'] = cost is not None
      if cost is None:  # the last rejected try is kept
        cost = np.full(len(asked), -float(number), np.float32)
      return samplers.Tried((moved.z, moved.start, cost), accepted, cost)

    best = samplers.retry(
      attempt, len(start), self.tries, only_refused=not self.always
    )
    z, begun, cost = best.found
    if evaluations is not None and self.accept is not None:
      evaluations['acceptance'] = tries
    return base.Moved(
      z,
      begun,
      steps if known['steps'] else None,
      best.accepted,
      cost if known['cost'] else None,
      tries,
      evaluations,
    )

  def _judge(
    self, moved: base.Moved, target: constraints.Target
  ) -> tuple[np.ndarray, np.ndarray | None]:
    """Whether each row is accepted, and its cost if there is one."""
    if self.accept is None:
      if moved.satisfied is None:
        raise errors.UserError(
          'retry: this mover does not say which rows are satisfied: give accept'
        )
      return moved.satisfied, moved.cost
    if isinstance(self.accept, constraints.Constraint):
      full = dict.fromkeys(self.accept.references(), moved.start) | dict(target)
      found = base.verdicts(self.accept, moved.z, full, self.batch_size)
      return found.met, found.loss
    accepted = np.asarray(self.accept(moved.z, target))
    if accepted.shape != (len(moved.z),):
      raise errors.UserError(
        f'accept: {len(moved.z)} rows give an array of shape {accepted.shape}, '
        f'it must be ({len(moved.z)},)'
      )
    return accepted.astype(bool), None


def _scattered(
  counts: np.ndarray, rows: np.ndarray, num_rows: int
) -> np.ndarray:
  """[num_rows] counts of some rows, 0 for the others."""
  found = np.zeros(num_rows, np.int64)
  found[rows] = counts
  return found


@flax.struct.dataclass
class StartAt:
  """A mover that draws its own start instead of the one that it is given.

  Attributes:
    draw: draws the start; static.
    mover: moves it.
  """

  draw: starts.Start = flax.struct.field(pytree_node=False)
  mover: base.Mover

  def __call__(
    self,
    start: np.ndarray,
    target: constraints.Target,
    rows: np.ndarray | None = None,
    key: jax.Array | None = None,
  ) -> base.Moved:
    """See `base.Mover`; of the start only the number of rows matters."""
    if key is None:
      raise errors.UserError('key: start_at draws starts, give a key')
    rows = np.arange(len(start)) if rows is None else np.asarray(rows)
    draw_key, move_key = jax.random.split(key)
    return self.mover(self.draw(target, rows, draw_key), target, rows, move_key)


def start_at(draw: starts.Start, mover: base.Mover) -> StartAt:
  """A mover that draws its own start, such as from a mixture.

  Args:
    draw: (target, rows, key) -> z [B, Z].
    mover: moves it.
  """
  return StartAt(draw, mover)


def stay() -> Stay:
  """Leaves latents where they are: a baseline, or `retry`'s pure rejection."""
  return Stay()


def then(first: base.Mover, second: base.Mover) -> Then:
  """One mover, then another: such as an actor, then optimizer-G.

  Args:
    first: moves the start.
    second: moves the result; its references, such as that of `near`, are the
      first one's start.
  """
  found = jax.tree.leaves(second, is_leaf=_is_constraint)
  names = [n for c in found if _is_constraint(c) for n in c.references()]
  return Then(first, second, tuple(dict.fromkeys(names)))


def _is_constraint(node: object) -> bool:
  return isinstance(node, constraints.Constraint)


def backtrack(
  mover: base.Mover,
  want: constraints.Constraint,
  num_points: int = 40,
  batch_size: int = base.BATCH_SIZE,
) -> Backtrack:
  """Goes back on the line to the start while a constraint is met.

  Args:
    mover: whose moves are shortened, such as an actor.
    want: must stay met.
    num_points: on the line, evenly spaced; the last one is the start.
    batch_size: latents per call.

  Raises:
    UserError: there are no points.
  """
  if num_points < 1:
    raise errors.UserError(f'num_points={num_points} must be at least 1')
  return Backtrack(mover, want, num_points, batch_size)


def retry(
  mover: base.Mover,
  draw: starts.Start,
  accept: constraints.Constraint | Accept | None = None,
  tries: int = 10,
  always: bool = False,
  batch_size: int = base.BATCH_SIZE,
) -> base.Mover:
  """Moves rows again, from new starts, until they are accepted.

  Args:
    mover: of every try; `stay()` for rejection of the draws themselves.
    draw: draws new starts.
    accept: a constraint, such as `re_encoded(model, classes)`; any function
      (z [B, Z], target) -> [B] booleans; None for the mover's own `satisfied`.
    tries: of every row, at most; with one, the mover is returned as it is.
    always: whether accepted rows are tried again, too, for a lower cost.
    batch_size: latents per call of a constraint.

  Raises:
    UserError: there are no tries.
  """
  if tries < 1:
    raise errors.UserError(f'tries={tries} must be at least 1')
  if tries == 1:
    return mover
  return Retry(mover, draw, accept, tries, always, batch_size)
