"""The constraint that a latent has the class of a Gaussian mixture."""

import flax
import jax
import jax.numpy as jnp

from lcjax import errors
from lcjax.constraints import base
from lcjax.latent import mixtures


@flax.struct.dataclass
class MixtureClass(base.Constraint):
  """-log p(y|z) under a Gaussian mixture per class, exact at any noise time.

  Its target is y [Y], or (y [Y], mask [Y]), of which all attributes count.

  Attributes:
    mixture: in standard units of q(z).
    mean: [Z] mean of q(z).
    std: [Z] standard deviation of q(z).
    name: of the constraint and its target; static.
  """

  mixture: mixtures.Noised
  mean: jax.Array
  std: jax.Array
  name: str = flax.struct.field(pytree_node=False, default='attributes')

  def __call__(self, z: jax.Array, target: base.Target) -> base.Verdict:
    """Met if the class is likelier than all others together."""
    unit = (z - self.mean) / self.std
    loss = self.noisy(unit, jnp.zeros((), z.dtype), z, target)
    return base.Verdict(loss, loss < jnp.log(2.0))

  def noisy(
    self, unit: jax.Array, t: jax.Array, clean: jax.Array, target: base.Target
  ) -> jax.Array:
    """Of the noised mixture."""
    del clean
    wanted = target[self.name]
    y = wanted[0] if isinstance(wanted, tuple) else wanted
    log_probability = mixtures.class_log_probabilities(
      self.mixture, unit[None], t[None], y[None]
    )
    return -log_probability[0]

  def negated(self) -> base.Constraint:
    """Raises UserError: negate a learned classifier instead."""
    raise errors.UserError(
      f'negate({self.name!r}): a mixture of classes has no opposite here: '
      'negate the constraint of learn_attributes'
    )

  def names(self) -> tuple[str, ...]:
    """Its own."""
    return (self.name,)

  def targets(self) -> tuple[str, ...]:
    """Its own name."""
    return (self.name,)
