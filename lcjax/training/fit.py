"""Trains one network in memory, without files or a config."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import tqdm

from lcjax.training import loop, optimizer_spec, steps
from lcjax.training import state as state_lib

_STEPS_PER_CALL = 50


@functools.lru_cache(maxsize=64)  # the same loss and optimiser compile once
def _compiled(
  loss_fn: steps.LossFn, optimizer: optimizer_spec.OptimizerSpec
) -> steps.Step:
  update = steps.make_update(loss_fn, optimizer.make())
  step = steps.make_train_step({'network': update})
  compiled: steps.Step = jax.jit(steps.scan_steps(step), donate_argnums=0)
  return compiled


def fit(
  name: str,
  loss_fn: steps.LossFn,
  params: Any,
  optimizer: optimizer_spec.OptimizerSpec,
  make_batches: Callable[[int, int], dict[str, np.ndarray]],
  key: jax.Array,
  num_steps: int,
  progress: bool,
) -> Any:
  """Minimises a loss from given parameters.

  Args:
    name: shown with the progress, and in errors.
    loss_fn: hashable, and equal to another of the same meaning, so that it is
      compiled once.
    params: before the first step.
    optimizer: of the parameters.
    make_batches: (first step, K) -> stacked batches, a pure function.
    key: of all steps.
    num_steps: in total.
    progress: whether to show a bar.

  Returns:
    The parameters after the last step.

  Raises:
    UserError: a metric is not finite.
  """
  network = state_lib.create_network(params, optimizer.make(), average=False)
  state = state_lib.create({'network': network})
  # The state is donated; the caller's parameters are not ours.
  state = jax.tree.map(lambda leaf: jax.numpy.array(leaf, copy=True), state)
  with tqdm.tqdm(total=num_steps, desc=name, disable=not progress) as bar:

    def show(step: int, state: Any, metrics: steps.Metrics) -> None:
      del state
      values = {key: float(value) for key, value in metrics.items()}
      loop.check_finite(name, step, values)
      bar.set_postfix({key: f'{value:.4g}' for key, value in values.items()})
      bar.update(step - bar.n)

    state = loop.train(
      _compiled(loss_fn, optimizer),
      state,
      make_batches,
      key,
      num_steps,
      _STEPS_PER_CALL,
      [show],
    )
  return state['network'].params
