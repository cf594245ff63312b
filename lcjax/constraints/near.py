"""The constraint that a latent stays close to a reference."""

import flax
import jax
import jax.numpy as jnp

from lcjax import errors
from lcjax.constraints import base
from lcjax.losses import distance


@flax.struct.dataclass
class Near(base.Constraint):
  """The distance penalty L_dist(z, reference); arXiv:1711.05772, section 3.

  Its target is the reference [Z]. It is always met: a distance has no
  natural threshold.

  Attributes:
    mean_scale: [Z] what counts as near: training mean of the encoder's scale.
    name: of the constraint and its target; static.
  """

  mean_scale: jax.Array
  name: str = flax.struct.field(pytree_node=False, default='near')

  def __call__(self, z: jax.Array, target: base.Target) -> base.Verdict:
    """See the class for the target."""
    loss = distance.distance_penalty(z, target[self.name], self.mean_scale)
    return base.Verdict(loss, jnp.bool_(True))

  def negated(self) -> base.Constraint:
    """Raises UserError: a distance has no opposite without a margin."""
    raise errors.UserError(
      f'negate({self.name!r}): a distance has no opposite without a margin; '
      'leave it out of what is negated'
    )

  def names(self) -> tuple[str, ...]:
    """Its own."""
    return (self.name,)

  def references(self) -> tuple[str, ...]:
    """Its own name."""
    return (self.name,)

  def targets(self) -> tuple[str, ...]:
    """Its own name."""
    return (self.name,)
