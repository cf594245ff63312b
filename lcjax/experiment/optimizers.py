"""Which names of optax are optimisers, and whether one can take a step."""

import inspect
from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from lcjax import errors


def _is_optimizer(name: str) -> bool:
  """Whether optax has an optimiser of that name.

  Its parts (`scale_by_adam`), wrappers (`lookahead`) and helpers (`clip`,
  `global_norm`) are callable, too, but take no learning rate, or do not turn a
  gradient's sign.
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
  except ValueError:  # an alias of a type
    return False


def find(name: str, key: str) -> Callable[..., optax.GradientTransformation]:
  """An optimiser of optax by its name.

  Args:
    name: such as 'adam'.
    key: dotted name of its section of the config, for errors.

  Raises:
    UserError: there is no such optimiser.
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
    tx: called with gradients, its state and the parameters, and nothing else.
    what: it is, for errors.
  """
  params = {'kernel': jnp.ones((2, 3)), 'bias': jnp.ones(3)}

  def step(params: dict[str, jax.Array]) -> dict[str, jax.Array]:
    updates, _ = tx.update(params, tx.init(params), params)
    return optax.apply_updates(params, updates)

  # Whatever optax raises of a wrong argument, or of an optimiser that asks for
  # more than gradients.
  try:
    jax.eval_shape(step, params)
  except Exception as error:
    reason = str(error).partition('\n')[0]
    raise errors.UserError(
      f'{what} cannot take a step: {type(error).__name__}: {reason}'
    ) from error
