"""The loop around a compiled step: batches in, state out, periodic hooks."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from lcjax import errors
from lcjax.training import steps

# hook(step, state, metrics), after every call of the compiled step.
Hook = Callable[[int, Any, steps.Metrics], None]


def crossed(step: int, count: int, period: int) -> bool:
  """Whether a multiple of `period` is among the last `count` steps."""
  return step // period > (step - count) // period


def train(
  step_fn: steps.Step,
  state: Any,
  make_batches: Callable[[int, int], dict[str, np.ndarray]],
  key: jax.Array,
  num_steps: int,
  steps_per_call: int,
  hooks: Sequence[Hook],
  should_stop: Callable[[], bool] = lambda: False,
) -> Any:
  """Trains from `state.step` until `num_steps`.

  Does not wait for the device: the next batch is made while it computes.

  Args:
    step_fn: compiled; (state, batches [K, B, ...], key) -> (state, metrics).
    state: has `step`.
    make_batches: (first step, K) -> stacked batches, a pure function.
    key: of the complete run, the same at every step.
    num_steps: total number of steps.
    steps_per_call: K. Calls end at multiples of K, also in a resumed run.
    hooks: called in order after every call.
    should_stop: checked before every call.

  Returns:
    The state, at fewer than `num_steps` steps if `should_stop` returned True.
  """
  step = int(state.step)
  while step < num_steps and not should_stop():
    count = min(steps_per_call - step % steps_per_call, num_steps - step)
    state, metrics = step_fn(state, make_batches(step, count), key)
    step += count
    for hook in hooks:
      hook(step, state, metrics)
  return state


def check_finite(name: str, step: int, values: dict[str, float]) -> None:
  """Raises UserError that names the first metric that is NaN or infinite."""
  for metric, value in values.items():
    if not np.isfinite(value):
      raise errors.UserError(
        f'{name}: {metric} is {value} at step {step}; training stops, earlier '
        'checkpoints are kept. Lower the learning rate or the loss weights'
      )
