"""Train steps: pure functions `(state, batch, key) -> (state, metrics)`.

A batch is a dict of arrays with one row per example; its 'row' is the global
number of each row in the batch, which its noise depends on. The key is the same
for the complete run: every step folds its step number into it.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import optax

from lcjax.training import state as state_lib

Batch = dict[str, jax.Array]
Metrics = dict[str, jax.Array]
# loss_fn(params, batch, key) -> (scalar mean over the batch, metrics)
LossFn = Callable[[Any, Any, jax.Array], tuple[jax.Array, Metrics]]
# (network, batch, key), and the step's number if it does not update in each
Update = Callable[..., tuple[state_lib.NetworkState, Metrics]]


class Step(Protocol):
  """A train step, compiled or not."""

  def __call__(
    self, state: Any, batch: Any, /, key: jax.Array
  ) -> tuple[Any, Metrics]:
    """Returns the state after the step, and metrics."""


MakeRows = Callable[[state_lib.TrainState, Batch, jax.Array], Batch]


def may_be_nonzero(weight: float | jax.Array) -> bool:
  """Whether a loss term of this weight must be computed.

  True for a traced weight: the members of an ensemble may differ in it.
  """
  return isinstance(weight, jax.core.Tracer) or bool(weight)


def all_finite(tree: Any) -> jax.Array:
  """Whether no array of a tree has a NaN or an infinity; bool scalar."""
  leaves = [
    jnp.all(jnp.isfinite(leaf))
    for leaf in jax.tree.leaves(tree)
    if jnp.issubdtype(leaf.dtype, jnp.inexact)
  ]
  return jnp.all(jnp.stack(leaves))


def count_nonfinite(state: Any) -> jax.Array:
  """Number of updates with gradients that were not finite, of all networks.

  Args:
    state: any tree that contains `NetworkState`s.
  """

  def is_network(node: Any) -> bool:
    return isinstance(node, state_lib.NetworkState)

  nodes = jax.tree.leaves(state, is_leaf=is_network)
  counts = [node.nonfinite for node in nodes if is_network(node)]
  return jnp.sum(jnp.stack(counts)) if counts else jnp.int32(0)


def make_update(
  loss_fn: LossFn,
  tx: optax.GradientTransformation,
  average_decay: float = 0.0,
  axis_name: str | None = None,
  skip_nonfinite: bool = False,
  norm: str = '',
  every: int = 1,
) -> Update:
  """Builds `update(network, batch, key) -> (network, metrics)`.

  The network's state counts the updates whose gradients are not finite.

  Args:
    loss_fn: scalar mean over the batch, and metrics.
    tx: the optimiser.
    average_decay: of the moving average, if the state keeps one.
    axis_name: axis to average gradients and metrics over, if any.
    skip_nonfinite: whether an update with gradients that are not finite only
      changes the counters; otherwise it is applied and ruins the network.
    norm: name of the metric that is the norm of all gradients, 0 in steps
      without an update; none if empty.
    every: updates in one of this many steps, the last of them. If not 1, the
      update takes the number of the step as a fourth argument.

  Returns:
    The update, not compiled.
  """

  def update(
    network: state_lib.NetworkState, batch: Batch, key: jax.Array
  ) -> tuple[state_lib.NetworkState, Metrics]:
    key = jax.random.fold_in(key, network.step)
    grad_fn = jax.value_and_grad(loss_fn, has_aux=True)
    (_, metrics), grads = grad_fn(network.params, batch, key)
    if axis_name is not None:
      grads, metrics = jax.lax.pmean((grads, metrics), axis_name)
    if norm:
      metrics = metrics | {norm: optax.tree.norm(grads)}
    updates, opt_state = tx.update(grads, network.opt_state, network.params)
    params = optax.apply_updates(network.params, updates)
    average = network.average
    if average is not None:
      average = optax.incremental_update(params, average, 1.0 - average_decay)
    finite = all_finite(grads)
    new = state_lib.NetworkState(
      network.step + 1,
      params,
      opt_state,
      average,
      network.nonfinite + ~finite,
    )
    if skip_nonfinite:
      kept = dataclasses.replace(
        network, step=new.step, nonfinite=new.nonfinite
      )
      new = jax.tree.map(lambda a, b: jnp.where(finite, a, b), new, kept)
    return new, metrics

  def keep(
    network: state_lib.NetworkState, batch: Batch, key: jax.Array
  ) -> tuple[state_lib.NetworkState, Metrics]:
    # Metrics are computed without an update, too: any step may be logged.
    found = loss_fn(network.params, batch, key)[1]
    if axis_name is not None:
      found = jax.lax.pmean(found, axis_name)
    return network, found | ({norm: jnp.zeros(())} if norm else {})

  def in_turn(
    network: state_lib.NetworkState,
    batch: Batch,
    key: jax.Array,
    step: jax.Array | int = 0,
  ) -> tuple[state_lib.NetworkState, Metrics]:
    if every == 1:
      return update(network, batch, key)
    return jax.lax.cond(
      step % every == every - 1,
      lambda own: update(own, batch, key),
      lambda own: keep(own, batch, key),
      network,
    )

  return in_turn


def make_train_step(
  updates: Mapping[str, Update], make_rows: MakeRows | None = None
) -> Step:
  """Builds the step of a training whose networks are updated independently.

  Args:
    updates: of every network, by name. All get the same batch and key.
    make_rows: (state, batch, key of the step) -> what the updates get instead
      of the batch, if they share more than it.

  Returns:
    The step of a state with these networks; its metrics are those of all
    updates.
  """

  def step(
    state: state_lib.TrainState, batch: Batch, key: jax.Array
  ) -> tuple[state_lib.TrainState, Metrics]:
    if make_rows is not None:
      key = jax.random.fold_in(key, state.step)
      batch = make_rows(state, batch, key)
    networks: dict[str, state_lib.NetworkState] = {}
    metrics: Metrics = {}
    for name, update in updates.items():
      networks[name], found = update(state[name], batch, key)
      metrics |= found
    return state_lib.TrainState(state.step + 1, networks), metrics

  return step


def scan_steps(step: Step, skip_nonfinite: bool = False) -> Step:
  """Runs several steps in one dispatch, on batches stacked on a leading axis.

  Args:
    step: of one batch.
    skip_nonfinite: whether the step skips updates that are not finite.

  Returns:
    The step over [K, B, ...] arrays. Its metrics are means over the K steps,
    and `nonfinite_gradients`, the count so far. A mean is NaN if any of its
    values is; with `skip_nonfinite`, it ignores values that are not finite. For
    K = 1 there is no loop: convolutions are slow inside lax loops on CPU.
  """

  def mean(values: jax.Array) -> jax.Array:
    where = jnp.isfinite(values) if skip_nonfinite else None
    return jnp.mean(values, where=where)

  def many(state: Any, batches: Batch, key: jax.Array) -> tuple[Any, Metrics]:
    if len(jax.tree.leaves(batches)[0]) == 1:
      batch = jax.tree.map(lambda a: a[0], batches)
      state, metrics = step(state, batch, key)
    else:
      body = functools.partial(step, key=key)
      state, metrics = jax.lax.scan(body, state, batches)
    metrics = jax.tree.map(mean, metrics)
    return state, metrics | {'nonfinite_gradients': count_nonfinite(state)}

  return many
