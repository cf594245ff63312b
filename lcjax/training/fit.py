"""Trains in memory, without files or a config."""

import dataclasses
import functools
import sys
from collections.abc import Callable, Hashable, Mapping
from typing import Any, Protocol

import jax
import tqdm

from lcjax.training import loop, optimizer_spec, steps
from lcjax.training import state as state_lib

_STEPS_PER_CALL = 50


class Recipe(Hashable, Protocol):
  """What is trained, as a value: equal recipes share a compiled program."""

  def make_step(self, constants: Any) -> steps.Step:
    """Builds the pure step, given a tree of arrays that it does not train."""


@dataclasses.dataclass(frozen=True)
class OneNetwork:
  """Minimises a loss of the network named 'network'.

  Attributes:
    loss_fn: hashable, and equal to another of the same meaning.
    optimizer: of its parameters.
    average_decay: of their moving average, if the state keeps one.

  Its constants are a dict of arrays, which the loss finds in every batch.
  """

  loss_fn: steps.LossFn
  optimizer: optimizer_spec.OptimizerSpec
  average_decay: float = 0.0

  def make_step(self, constants: Any) -> steps.Step:
    """See `Recipe`."""

    def loss_fn(
      params: Any, batch: steps.Batch, key: jax.Array
    ) -> tuple[jax.Array, steps.Metrics]:
      return self.loss_fn(params, batch | constants, key)

    update = steps.make_update(
      loss_fn, self.optimizer.make(), self.average_decay
    )
    return steps.make_train_step({'network': update})


@functools.lru_cache(maxsize=64)
def _compiled(recipe: Recipe) -> Callable[..., Any]:
  def many(state: Any, constants: Any, batches: Any, key: jax.Array) -> Any:
    step = steps.scan_steps(recipe.make_step(constants))
    return step(state, batches, key)

  return jax.jit(many, donate_argnums=0)


def fit(
  name: str,
  recipe: Recipe,
  constants: Any,
  state: state_lib.TrainState,
  make_batches: Callable[[int, int], Any],
  key: jax.Array,
  num_steps: int,
  progress: bool,
) -> state_lib.TrainState:
  """Trains from a given state.

  Args:
    name: shown with the progress, and in errors.
    recipe: what to train.
    constants: arrays that its step needs.
    state: before the first step; copied, not donated.
    make_batches: (first step, K) -> stacked batches, a pure function.
    key: of all steps.
    num_steps: in total.
    progress: whether to show a bar.

  Returns:
    The state after the last step.

  Raises:
    UserError: a metric is not finite.
  """
  compiled = _compiled(recipe)
  state = jax.tree.map(lambda leaf: jax.numpy.array(leaf, copy=True), state)
  with tqdm.tqdm(
    total=num_steps,
    desc=name,
    disable=not progress,
    # A log is not flooded.
    mininterval=0.1 if sys.stderr.isatty() else 10.0,
  ) as bar:

    def show(step: int, state: Any, metrics: steps.Metrics) -> None:
      del state
      values = {key: float(value) for key, value in metrics.items()}
      loop.check_finite(name, step, values)
      shown = {key: f'{value:.4g}' for key, value in values.items()}
      bar.set_postfix(shown, refresh=False)
      bar.update(step - bar.n)

    return loop.train(
      lambda state, batches, key: compiled(state, constants, batches, key),
      state,
      make_batches,
      key,
      num_steps,
      _STEPS_PER_CALL,
      [show],
    )


def fit_network(
  name: str,
  loss_fn: steps.LossFn,
  params: Any,
  optimizer: optimizer_spec.OptimizerSpec,
  make_batches: Callable[[int, int], Any],
  key: jax.Array,
  num_steps: int,
  progress: bool,
  average_decay: float = 0.0,
  constants: Mapping[str, Any] | None = None,
) -> Any:
  """Minimises a loss of one network, see `fit` and `OneNetwork`.

  Returns:
    Its parameters, averaged if there is a decay.
  """
  network = state_lib.create_network(
    params, optimizer.make(), average_decay > 0
  )
  state = fit(
    name,
    OneNetwork(loss_fn, optimizer, average_decay),
    dict(constants or {}),
    state_lib.create({'network': network}),
    make_batches,
    key,
    num_steps,
    progress,
  )
  return state_lib.averaged(state['network'], average_decay)
