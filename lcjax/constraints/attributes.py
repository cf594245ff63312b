"""The constraint that a latent has the requested attributes."""

import dataclasses
from collections.abc import Callable
from typing import Any

import flax
import jax
import jax.numpy as jnp

from lcjax import errors, types
from lcjax.constraints import base


@flax.struct.dataclass
class Attributes(base.Constraint):
  """The cross-entropy of requested labels under a classifier of latents.

  Its target is (y [Y], mask [Y]): zeros and ones to reach, and which of them
  matter; or y alone, of which all do.

  Attributes:
    params: of the classifier.
    tolerance: met if every attribute that matters has |y - p| below this.
    classifier_fn: (params, z [Z]) -> logits [Y]; static.
    labels: of the attributes; static.
    name: of the constraint and its target; static.
    opposite: whether this asks for anything but y: loss -log(1 - p(y)), met if
      p(y) is below the tolerance; static.
    noised_params: of a classifier of noised latents, for a guided denoiser;
      None if there is none.
    noised_fn: (noised params, z_t [Z], t []) -> logits [Y], where z_t is in
      standard units of q(z); None if there is none; static.
  """

  params: Any
  tolerance: jax.Array | float
  classifier_fn: Callable[[Any, jax.Array], jax.Array] = flax.struct.field(
    pytree_node=False
  )
  labels: types.Labels = flax.struct.field(pytree_node=False)
  name: str = flax.struct.field(pytree_node=False, default='attributes')
  opposite: bool = flax.struct.field(pytree_node=False, default=False)
  noised_params: Any = None
  noised_fn: Callable[[Any, jax.Array, jax.Array], jax.Array] | None = (
    flax.struct.field(pytree_node=False, default=None)
  )

  def __call__(self, z: jax.Array, target: base.Target) -> base.Verdict:
    """See the class for the target."""
    return self._judge(self.classifier_fn(self.params, z), target)

  def noisy(
    self, unit: jax.Array, t: jax.Array, clean: jax.Array, target: base.Target
  ) -> jax.Array:
    """By the classifier of noised latents, if there is one."""
    if self.noised_fn is None:
      return super().noisy(unit, t, clean, target)
    return self._judge(self.noised_fn(self.noised_params, unit, t), target).loss

  def complete(self, z: jax.Array, target: base.Target) -> base.Target:
    """With what the classifier predicts at z where the mask is 0."""
    wanted = target[self.name]
    if not isinstance(wanted, tuple):
      return target
    y, mask = wanted
    predicted = self.labels.predict(self.classifier_fn(self.params, z)[None])[0]
    return {**target, self.name: (jnp.where(mask > 0, y, predicted), mask)}

  def _judge(self, logits: jax.Array, target: base.Target) -> base.Verdict:
    wanted = target[self.name]
    y, mask = wanted if isinstance(wanted, tuple) else (wanted, None)
    if jnp.shape(y) != jnp.shape(logits):
      raise errors.UserError(
        f'target[{self.name!r}]: a row has the shape {jnp.shape(y)}, it must '
        f'be {jnp.shape(logits)}: zeros and ones of each label, not class '
        'numbers'
      )
    mask = jnp.ones_like(y) if mask is None else mask
    if self.opposite:
      loss = self.labels.complement_cross_entropy(logits, y, mask)
      # -log(1 - p) is below -log(1 - tolerance) just where p < tolerance.
      return base.Verdict(loss, loss < -jnp.log1p(-jnp.asarray(self.tolerance)))
    return base.Verdict(
      self.labels.cross_entropy(logits, y, mask),
      self.labels.within(logits, y, mask, self.tolerance),
    )

  def negated(self) -> 'Attributes':
    """Anything but the requested labels."""
    return dataclasses.replace(self, opposite=not self.opposite)

  def names(self) -> tuple[str, ...]:
    """Its own."""
    return (self.name,)

  def targets(self) -> tuple[str, ...]:
    """Its own name."""
    return (self.name,)
