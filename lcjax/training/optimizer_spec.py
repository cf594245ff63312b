"""Optimisers as values: two of the same settings are equal and hash alike.

Two `optax.adam(0.1)` are never equal, so whatever depends on one would be
compiled anew for the other.
"""

import dataclasses
from typing import Any, Protocol

import optax

from lcjax import errors


class Spec(Protocol):
  """Makes an optimiser; hashable, and equal to another of the same meaning."""

  def make(self) -> optax.GradientTransformation:
    """The optax transformation."""


@dataclasses.dataclass(frozen=True)
class OptimizerSpec:
  """An optax optimiser by name.

  Attributes:
    name: of a function of optax.
    learning_rate: its first argument.
    arguments: its further arguments, as sorted (name, value) pairs.
  """

  name: str
  learning_rate: float
  arguments: tuple[tuple[str, Any], ...] = ()

  def make(self) -> optax.GradientTransformation:
    """The optax transformation."""
    make = getattr(optax, self.name, None)
    try:
      made: optax.GradientTransformation = make(  # type: ignore[misc]
        self.learning_rate, **dict(self.arguments)
      )
    except (TypeError, ValueError) as error:
      raise errors.UserError(
        f'{self} is no optimiser of optax whose first argument is the learning '
        f'rate: {error}'
      ) from error
    return made


def adam(learning_rate: float, **arguments: float) -> OptimizerSpec:
  """`optax.adam` as a value.

  Args:
    learning_rate: constant.
    **arguments: of optax.adam, such as b1.
  """
  return OptimizerSpec('adam', learning_rate, tuple(sorted(arguments.items())))
