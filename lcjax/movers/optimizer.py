"""Optimizer-G as a mover: gradient steps on each latent itself."""

import functools
from typing import Any

import flax
import jax
import numpy as np

from lcjax.constraints import base as constraints
from lcjax.latent import encodings, optimize
from lcjax.movers import base
from lcjax.training import optimizer_spec

_ADAM = optimizer_spec.adam(0.1)
_BATCH_SIZE = 1024
_SMALLEST_LOOP = 16  # a loop of fewer rows would cost no less


@functools.partial(jax.jit, static_argnums=1)
def _optimize(
  want: constraints.Constraint,
  spec: optimizer_spec.OptimizerSpec,
  max_steps: jax.Array,
  start: jax.Array,
  target: Any,
) -> optimize.Optimized:
  return optimize.optimize_latents(
    want, start, target, spec.make(), max_steps, _SMALLEST_LOOP
  )


@flax.struct.dataclass
class Optimizer:
  """Minimises a constraint's loss until it is met; arXiv:1711.05772, section 5.

  A pytree: two of the same structure share a compiled program.

  Attributes:
    want: the constraint.
    max_steps: of every row; it stops at the first step at which it is met.
    spec: the optimiser of z; static.
  """

  want: constraints.Constraint
  max_steps: int
  spec: optimizer_spec.OptimizerSpec = flax.struct.field(pytree_node=False)

  def __call__(
    self,
    start: np.ndarray,
    target: constraints.Target,
    rows: np.ndarray | None = None,
    key: jax.Array | None = None,
  ) -> base.Moved:
    """Moves latents.

    Args:
      start: [B, Z].
      target: arrays of B rows by name of the constraint that reads them; the
        reference of `near` is the start if it is not given.
      rows: not used: every row follows from its start and target alone.
      key: not used.

    Raises:
      UserError: a target is missing or has another number of rows, or the
        constraint is not finite somewhere.
    """
    del rows, key
    start = np.asarray(start, np.float32)
    target = dict.fromkeys(self.want.references(), start) | dict(target)
    base.check_request(self.want, start, target)
    own = {name: target[name] for name in self.want.targets()}
    leaves, tree = jax.tree.flatten(own)

    def move(start: jax.Array, *leaves: jax.Array) -> optimize.Optimized:
      targets = jax.tree.unflatten(tree, leaves)
      return _optimize(self.want, self.spec, self.max_steps, start, targets)

    found = encodings.in_batches(
      move, start, *map(np.asarray, leaves), batch_size=_BATCH_SIZE
    )
    moved = base.Moved(found.z, start, found.steps, found.satisfied, found.cost)
    base.check_moved(moved)
    return moved


def optimizer(
  want: constraints.Constraint,
  spec: optimizer_spec.OptimizerSpec = _ADAM,
  max_steps: int = 100,
) -> Optimizer:
  """Optimizer-G for a constraint.

  Args:
    want: what to meet.
    spec: the optimiser of z.
    max_steps: of every row, at most.
  """
  return Optimizer(want, max_steps, spec)
