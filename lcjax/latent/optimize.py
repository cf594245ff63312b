"""Optimizer-G: each latent moved by its own optax loop, all under one jit."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

# cost_fn(z [Z], target) -> (cost, satisfied): of one row alone.
CostFn = Callable[[jax.Array, Any], tuple[jax.Array, jax.Array]]


class Optimized(NamedTuple):
  """What `optimize_latents` returns, a row per start.

  Attributes:
    z: [B, Z] moved latents.
    cost: [B] cost at z.
    steps: [B] int32 updates that the row took.
    satisfied: [B] whether the row's constraints hold at z.
  """

  z: jax.Array
  cost: jax.Array
  steps: jax.Array
  satisfied: jax.Array


def optimize_latents(
  cost_fn: CostFn,
  start: jax.Array,
  target: Any,
  tx: optax.GradientTransformation,
  max_steps: int | jax.Array,
) -> Optimized:
  """Moves each row of `start` towards its target, alone.

  arXiv:1711.05772, section 5. A row rests at the first step at which it is
  satisfied; the loop ends when all rest, or after `max_steps`. Under `vmap` a
  while-loop runs until its last row is done and leaves the finished ones as
  they are, which is just that: row i never depends on row j or on B.

  Args:
    cost_fn: the cost of one row and whether the row is satisfied.
    start: [B, Z] latents.
    target: a tree of arrays with B rows, given to `cost_fn` row by row: what
      is asked for, and what to stay close to.
    tx: moves z itself; its state is per row.
    max_steps: at most so many updates.

  Returns:
    The moved latents with cost, steps and satisfied flags.
  """
  value_and_grad = jax.value_and_grad(cost_fn, has_aux=True)

  def move_one(start: jax.Array, target: Any) -> Optimized:
    def goes_on(carry: tuple) -> jax.Array:
      step, _, _, _, satisfied, _ = carry
      return (step < max_steps) & ~satisfied

    def update(carry: tuple) -> tuple:
      step, z, opt_state, _, _, grad = carry
      updates, opt_state = tx.update(grad, opt_state, z)
      z = optax.apply_updates(z, updates)
      # One evaluation serves twice: whether z rests here, and where it goes.
      (cost, satisfied), grad = value_and_grad(z, target)
      return step + 1, z, opt_state, cost, satisfied, grad

    (cost, satisfied), grad = value_and_grad(start, target)
    carry = jnp.int32(0), start, tx.init(start), cost, satisfied, grad
    step, z, _, cost, satisfied, _ = jax.lax.while_loop(goes_on, update, carry)
    return Optimized(z, cost, step, satisfied)

  return jax.vmap(move_one)(start, target)


def keep_best(tries: Sequence[Optimized]) -> Optimized:
  """The best of several tries of every row: satisfied first, then the cost.

  Args:
    tries: of the same targets, from different starts; arrays of [B, ...].

  Returns:
    A try for each row, with the steps of all its tries together.
  """
  cost = np.stack([found.cost for found in tries])
  satisfied = np.stack([found.satisfied for found in tries])
  best = np.lexsort((cost, ~satisfied), axis=0)[0]
  rows = np.arange(len(best))
  return Optimized(
    np.stack([found.z for found in tries])[best, rows],
    cost[best, rows],
    jnp.asarray(np.sum([found.steps for found in tries], axis=0)),
    satisfied[best, rows],
  )
