"""Optimizer-G: moves each latent with optax, all rows under one jit."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

# cost_fn(z [Z], target) -> (cost, satisfied), for a single row.
CostFn = Callable[[jax.Array, Any], tuple[jax.Array, jax.Array]]


class Optimized(NamedTuple):
  """The result of `optimize_latents`.

  Attributes:
    z: [B, Z] moved latents.
    cost: [B] cost at z.
    steps: [B] int32, updates of each row.
    satisfied: [B] whether the row's constraints hold at z.
  """

  z: jax.Array
  cost: jax.Array
  steps: jax.Array
  satisfied: jax.Array


class _Moving(NamedTuple):
  """Rows being optimized: `Optimized` plus the state for the next update."""

  step: jax.Array
  z: jax.Array
  opt_state: Any
  cost: jax.Array
  satisfied: jax.Array
  grad: jax.Array


def optimize_latents(
  cost_fn: CostFn,
  start: jax.Array,
  target: Any,
  tx: optax.GradientTransformation,
  max_steps: int | jax.Array,
  smallest: int | None = None,
) -> Optimized:
  """Moves each row of `start` towards its target, independently of the others.

  arXiv:1711.05772, section 5. A row converges at the first step at which it
  is satisfied; the loop ends when all rows have converged, or after
  `max_steps`. Row i does not depend on other rows or on B.

  A loop over B rows computes all of them until the last one has converged. So,
  once at most half of the rows are left, they continue in a loop of half the
  size, and so on. All sizes are known at compile time, and nothing waits for
  the host.

  Args:
    cost_fn: the cost of one row and whether the row is satisfied.
    start: [B, Z] latents.
    target: a tree of arrays with B rows, passed to `cost_fn` row by row, such
      as requested attributes and a reference to stay close to.
    tx: the optimiser of z; every row has a separate state.
    max_steps: maximum number of updates per row.
    smallest: minimum number of rows of a loop. None uses a single loop of B
      rows, which compiles faster and suits few steps.

  Returns:
    The moved latents with cost, steps and satisfied flags.
  """
  value_and_grad = jax.value_and_grad(cost_fn, has_aux=True)

  def begin(z: jax.Array, target: Any) -> _Moving:
    (cost, satisfied), grad = value_and_grad(z, target)
    return _Moving(jnp.int32(0), z, tx.init(z), cost, satisfied, grad)

  def update(row: _Moving, target: Any) -> _Moving:
    updates, opt_state = tx.update(row.grad, row.opt_state, row.z)
    z = optax.apply_updates(row.z, updates)
    # One evaluation gives convergence at z and the gradient of the next update.
    (cost, satisfied), grad = value_and_grad(z, target)
    return _Moving(row.step + 1, z, opt_state, cost, satisfied, grad)

  def goes_on(rows: _Moving) -> jax.Array:
    return (rows.step < max_steps) & ~rows.satisfied

  def move(rows: _Moving, target: Any) -> _Moving:
    size = len(rows.step)
    half = size // 2
    if smallest is None or half < smallest:
      half = 0

    def too_many(rows: _Moving) -> jax.Array:
      return jnp.sum(goes_on(rows)) > half

    def update_all(rows: _Moving) -> _Moving:
      moves = goes_on(rows)

      def choose(new: jax.Array, old: jax.Array) -> jax.Array:
        return jnp.where(moves.reshape(-1, *[1] * (new.ndim - 1)), new, old)

      return jax.tree.map(choose, jax.vmap(update)(rows, target), rows)

    rows = jax.lax.while_loop(too_many, update_all, rows)
    if not half:
      return rows
    first = jnp.argsort(~goes_on(rows))[:half]  # all active rows, and others
    picked = jax.tree.map(lambda array: array[first], (rows, target))
    return jax.tree.map(
      lambda array, part: array.at[first].set(part), rows, move(*picked)
    )

  rows = move(jax.vmap(begin)(start, target), target)
  return Optimized(rows.z, rows.cost, rows.step, rows.satisfied)
