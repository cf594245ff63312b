"""Constraints composed by AND, OR and NOT."""

import functools
import operator
from collections.abc import Sequence

import flax
import jax
import jax.numpy as jnp

from lcjax import errors
from lcjax.constraints import base


class _Composed(base.Constraint):
  """What compositions share: they read the targets of all their parts."""

  parts: tuple[base.Constraint, ...]
  weights: tuple[jax.Array | float, ...]

  def names(self) -> tuple[str, ...]:
    """Those of all parts."""
    return tuple(name for part in self.parts for name in part.names())

  def targets(self) -> tuple[str, ...]:
    """Those of all parts."""
    found = (name for part in self.parts for name in part.targets())
    return tuple(dict.fromkeys(found))

  def references(self) -> tuple[str, ...]:
    """Those of all parts."""
    return tuple(name for part in self.parts for name in part.references())

  def complete(self, z: jax.Array, target: base.Target) -> base.Target:
    """By all parts."""
    for part in self.parts:
      target = part.complete(z, target)
    return target


@flax.struct.dataclass
class AllOf(_Composed):
  """Every part holds: loss sum_i w_i L_i, met if all are.

  Attributes:
    parts: constraints of different names.
    weights: w_i, one for every part.
  """

  parts: tuple[base.Constraint, ...]
  weights: tuple[jax.Array | float, ...]

  def __call__(self, z: jax.Array, target: base.Target) -> base.Verdict:
    """Each part reads its own target."""
    verdicts = [part(z, target) for part in self.parts]
    terms = [w * v.loss for w, v in zip(self.weights, verdicts, strict=True)]
    loss, met = terms[0], verdicts[0].met
    for term, verdict in zip(terms[1:], verdicts[1:], strict=True):
      loss, met = loss + term, met & verdict.met
    return base.Verdict(loss, met)

  def noisy(
    self, unit: jax.Array, t: jax.Array, clean: jax.Array, target: base.Target
  ) -> jax.Array:
    """The weighted sum of the parts' losses there."""
    losses = [part.noisy(unit, t, clean, target) for part in self.parts]
    terms = [w * v for w, v in zip(self.weights, losses, strict=True)]
    return functools.reduce(operator.add, terms)

  def negated(self) -> 'AnyOf':
    """De Morgan: any one of the parts' opposites, see `negate`."""
    return AnyOf(tuple(part.negated() for part in self.parts), self.weights)


@flax.struct.dataclass
class AnyOf(_Composed):
  """Loss -log((sum_i w_i exp(-L_i)) / sum_i w_i), met if any part is.

  A soft minimum: the part with the largest w_i exp(-L_i) has the largest share
  of the gradient.

  Attributes:
    parts: constraints of different names, with losses in nats.
    weights: w_i, one for every part, positive.
  """

  parts: tuple[base.Constraint, ...]
  weights: tuple[jax.Array | float, ...]

  def __call__(self, z: jax.Array, target: base.Target) -> base.Verdict:
    """Each part reads its own target."""
    verdicts = [part(z, target) for part in self.parts]
    loss = self._soft_minimum([verdict.loss for verdict in verdicts])
    return base.Verdict(loss, jnp.any(jnp.stack([v.met for v in verdicts])))

  def noisy(
    self, unit: jax.Array, t: jax.Array, clean: jax.Array, target: base.Target
  ) -> jax.Array:
    """The soft minimum of the parts' losses there."""
    return self._soft_minimum(
      [part.noisy(unit, t, clean, target) for part in self.parts]
    )

  def _soft_minimum(self, parts: Sequence[jax.Array]) -> jax.Array:
    losses = jnp.stack(parts)
    weights = jnp.stack([jnp.asarray(w, losses.dtype) for w in self.weights])
    return -jax.nn.logsumexp(-losses, b=weights / jnp.sum(weights))

  def negated(self) -> AllOf:
    """De Morgan: all of the parts' opposites, see `negate`."""
    return AllOf(tuple(part.negated() for part in self.parts), self.weights)


def _checked_weights(
  what: str,
  parts: Sequence[base.Constraint],
  weights: Sequence[jax.Array | float] | None,
) -> tuple[jax.Array | float, ...]:
  """The weights, all 1 if None, after checking the parts and their number."""
  if not parts:
    raise errors.UserError(f'{what}: give at least one constraint')
  seen: set[str] = set()
  for part in parts:
    for name in part.names():
      if name in seen:
        raise errors.UserError(
          f'{what}: two constraints are named {name!r}: give one of them '
          "another name, as by constraint.replace(name='other')"
        )
      seen.add(name)
  if weights is None:
    return (1.0,) * len(parts)
  if len(weights) != len(parts):
    raise errors.UserError(
      f'{what}: {len(weights)} weights for {len(parts)} constraints: give one '
      'for each'
    )
  return tuple(weights)


def all_of(
  *parts: base.Constraint, weights: Sequence[jax.Array | float] | None = None
) -> AllOf:
  """AND: loss sum_i w_i L_i, met if every part is.

  Args:
    *parts: constraints of different names.
    weights: one for every part; all 1 if None.

  Raises:
    UserError: no parts, two of the same name, or the wrong number of weights.
  """
  return AllOf(parts, _checked_weights('all_of', parts, weights))


def any_of(
  *parts: base.Constraint, weights: Sequence[jax.Array | float] | None = None
) -> AnyOf:
  """OR: loss -log of the weighted mean of exp(-L_i), met if any part is.

  Args:
    *parts: constraints of different names.
    weights: one for every part, positive; all 1 if None. Losses are compared,
      so they should be in nats.

  Raises:
    UserError: no parts, two of the same name, the wrong number of weights, or
      one that is not positive.
  """
  checked = _checked_weights('any_of', parts, weights)
  for weight in checked:
    if isinstance(weight, int | float) and not weight > 0:
      raise errors.UserError(
        f'any_of: a weight is {weight}: it must be positive'
      )
  return AnyOf(parts, checked)


def negate(constraint: base.Constraint) -> base.Constraint:
  """NOT, by De Morgan's laws for compositions.

  An opposite may be stricter than "not met": that of a critic with threshold .9
  is D(z) < .1, so a latent in between meets neither.

  Raises:
    UserError: a part has no sound opposite.
  """
  return constraint.negated()
