"""Constraints: a differentiable loss of one latent, and whether it is met."""

import abc
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from lcjax import errors

# The request of one row, by name of the constraint that reads it.
Target = Mapping[str, Any]


class Verdict(NamedTuple):
  """The result of a constraint for one latent.

  Attributes:
    loss: [] at least 0, in nats, differentiable in z.
    met: [] bool.
  """

  loss: jax.Array
  met: jax.Array


class Constraint(abc.ABC):
  """A constraint on one latent z [Z].

  Subclasses are `flax.struct.dataclass`es: parameters, weights and thresholds
  are leaves, everything else is static and hashable, so that constraints of
  one structure share a compiled program and stack under `vmap`.

  A call returns a `Verdict`, which unpacks into the (cost, satisfied) that
  `lcjax.latent.optimize` minimises.
  """

  @abc.abstractmethod
  def __call__(self, z: jax.Array, target: Target) -> Verdict:
    """Judges one latent.

    Args:
      z: [Z].
      target: what is requested of this row, by name of the constraint; may
        hold targets of other constraints, too.
    """

  @abc.abstractmethod
  def negated(self) -> 'Constraint':
    """The opposite constraint.

    Raises:
      UserError: it has no sound opposite.
    """

  @abc.abstractmethod
  def names(self) -> tuple[str, ...]:
    """Names of this constraint and of those that it is composed of."""

  @abc.abstractmethod
  def targets(self) -> tuple[str, ...]:
    """Names that must be in `target`."""

  def references(self) -> tuple[str, ...]:
    """Those of `targets` that are reference latents, by default the start."""
    return ()

  def check(self, samples: np.ndarray, target: Target) -> np.ndarray | None:
    """Whether decoded samples meet what the constraint stands for, on the host.

    Not asked by movers: a comparison judges by it, as a critic errs where it
    was moved against. By default, None: the constraint cannot say.

    Args:
      samples: [B, ...] as the model decodes them.
      target: arrays of B rows by name.

    Returns:
      [B] booleans, or None.
    """
    del samples, target
    return None

  def complete(self, z: jax.Array, target: Target) -> Target:
    """The target with what a mask leaves out as it is at a latent z [Z].

    For an actor that is not told masks: it then asks for what is there already.
    Unless a subclass can tell, the target as it is.
    """
    del z
    return target

  def noisy(
    self, unit: jax.Array, t: jax.Array, clean: jax.Array, target: Target
  ) -> jax.Array:
    """The loss at a noise time, for the guidance of a denoiser.

    Unless a subclass knows more about noised latents, the loss at the latent
    that the denoiser expects to end at. Its gradient does not pass through the
    denoiser: that would cost a backward pass of it in every step.

    Args:
      unit: [Z] the noised latent, in standard units of q(z).
      t: [] noise time; 0 is none.
      clean: [Z] the denoiser's estimate of the latent without noise.
      target: as in a call.

    Returns:
      [] loss in nats.
    """
    del unit, t
    return self(clean, target).loss


def condition(
  constraint: Constraint, target: Target, masked: bool, num_rows: int
) -> jax.Array:
  """What an actor is told of a target: [B, C].

  A constraint without targets, such as a rule, tells it a constant: [B, 1].

  Args:
    constraint: whose targets to tell, except for references.
    target: arrays of B rows by name. An array, or (y, mask).
    masked: whether an actor is told masks, as (y * mask, mask); otherwise y.
    num_rows: B.
  """
  parts: list[jax.Array] = []
  for name in constraint.targets():
    if name in constraint.references():
      continue
    wanted = target[name]
    y, mask = wanted if isinstance(wanted, tuple) else (wanted, None)
    if masked:
      mask = jnp.ones_like(y) if mask is None else mask
      parts += [y * mask, mask]
    else:
      parts.append(y)
  flat = [jnp.reshape(part, (num_rows, -1)) for part in parts]
  return jnp.concatenate(flat, axis=1) if flat else jnp.ones((num_rows, 1))


def check_target(constraint: Constraint, target: Target) -> None:
  """Raises UserError unless a target has every name that is needed."""
  for name in constraint.targets():
    if name not in target:
      raise errors.UserError(
        f'target: no {name!r}, which the constraint of that name needs; there '
        f'is {errors.listed(list(target)) or "nothing"}'
      )
