"""Finds optax optimisers by name, and checks that they can take a step."""

import inspect
from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from lcjax import errors


def _is_optimizer(name: str) -> bool:
  """Whether optax has an optimiser of that name.

  Excludes other callables: wrappers (`lookahead`) and helpers (`clip`,
  `global_norm`), which take no learning rate, and the `scale_by_*` parts, which
  do not negate the gradient.
  """
  make = getattr(optax, name, None)
  if (
    not callable(make)
    or name.startswith(('_', 'scale_by_'))
    or inspect.isclass(make)
  ):
    return False
  try:
    return 'learning_rate' in inspect.signature(make).parameters
  except ValueError:  # a type alias has no signature
    return False


def find(name: str, key: str) -> Callable[..., optax.GradientTransformation]:
  """Finds an optax optimiser by its name.

  Args:
    name: such as 'adam'.
    key: dotted key of the optimiser's config section, for errors.

  Raises:
    UserError: optax has no optimiser of that name.
  """
  if not _is_optimizer(name):
    known = [one for one in dir(optax) if _is_optimizer(one)]
    raise errors.UserError(
      f'config.{key}.name={name!r} is not an optax optimiser: '
      f'{errors.nearest(name, known)}'
    )
  make: Callable[..., optax.GradientTransformation] = getattr(optax, name)
  return make


def check_step(tx: optax.GradientTransformation, what: str) -> None:
  """Raises UserError unless an optimiser can take a training step.

  Args:
    tx: the optimiser; its `update` gets gradients, state and parameters only.
    what: a name for the optimiser, for errors.
  """
  params = {'kernel': jnp.ones((2, 3)), 'bias': jnp.ones(3)}

  def step(params: dict[str, jax.Array]) -> dict[str, jax.Array]:
    updates, _ = tx.update(params, tx.init(params), params)
    return optax.apply_updates(params, updates)

  # optax may raise anything, for wrong arguments or for an optimiser whose
  # `update` needs further inputs.
  try:
    jax.eval_shape(step, params)
  except Exception as error:
    reason = str(error).partition('\n')[0]
    raise errors.UserError(
      f'{what} cannot take a step: {type(error).__name__}: {reason}'
    ) from error
