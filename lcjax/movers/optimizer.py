"""Optimizer-G as a mover: gradient steps on each latent itself."""

import functools
from typing import Any

import flax
import jax
import numpy as np

from lcjax.constraints import base as constraints
from lcjax.latent import encodings, optimize
from lcjax.movers import base
from lcjax.training import optimizer_spec, parallel

_ADAM = optimizer_spec.adam(0.1)
_SMALLEST_LOOP = 16  # a loop of fewer rows would cost no less


@flax.struct.dataclass
class Optimizer:
  """Minimises a constraint's loss until it is met; arXiv:1711.05772, section 5.

  A pytree: two of the same structure share a compiled program.

  Attributes:
    want: the constraint.
    max_steps: of every row; it stops at the first step at which it is met.
    spec: the optimiser of z; static.
    batch_size: latents per call; static.
  """

  want: constraints.Constraint
  max_steps: int
  spec: optimizer_spec.Spec = flax.struct.field(pytree_node=False)
  batch_size: int = flax.struct.field(
    pytree_node=False, default=base.BATCH_SIZE
  )

  def __call__(
    self,
    start: np.ndarray,
    target: constraints.Target,
    rows: np.ndarray | None = None,
    key: jax.Array | None = None,
  ) -> base.Moved:
    """See `base.Mover`; draws no noise."""
    del rows, key
    start = np.asarray(start, np.float32)
    own = base.own_target(self.want, start, target)
    found = encodings.in_batches(
      parallel.over_devices(functools.partial(_optimize, self)),
      start,
      own,
      batch_size=self.batch_size,
    )
    moved = base.Moved(
      found.z,
      start,
      found.steps,
      found.satisfied,
      found.cost,
      evaluations=base.evaluated(self.want, found.steps, len(start)),
    )
    base.check_moved(moved)
    return moved


@jax.jit
def _optimize(
  mover: Optimizer, start: jax.Array, target: Any
) -> optimize.Optimized:
  tx = mover.spec.make()
  return optimize.optimize_latents(
    mover.want, start, target, tx, mover.max_steps, _SMALLEST_LOOP
  )


def optimizer(
  want: constraints.Constraint,
  spec: optimizer_spec.Spec = _ADAM,
  max_steps: int = 100,
) -> Optimizer:
  """Optimizer-G for a constraint.

  Args:
    want: what to meet.
    spec: the optimiser of z.
    max_steps: of every row, at most.
  """
  return Optimizer(want, max_steps, spec)
