"""Constraints by a critic of latents: realism, or a rule that was learned."""

import dataclasses
from collections.abc import Callable
from typing import Any

import flax
import jax
import jax.numpy as jnp
import numpy as np

from lcjax.constraints import base
from lcjax.losses import divergences


@flax.struct.dataclass
class Critic(base.Constraint):
  """The loss -log D(z) of a critic's output v(z); arXiv:1711.05772, section 3.

  D = ratio / (1 + ratio), with the density ratio real / fake that v means for
  the divergence that the critic was trained with; sigmoid(v) for 'gan'. For one
  without a ratio, the loss is -log of the probability that v wins a comparison
  with the median of real encodings, and D the share of these that score less.

  Attributes:
    params: of the critic.
    threshold: met if D(z) is at least this; 0 is always met.
    critic_fn: (params, z [Z]) -> output v []; static.
    name: of the constraint; static.
    opposite: whether this is the opposite: loss -log(1 - D(z)), met if
      D(z) is below 1 - threshold, the same margin on the other side; static.
    of_density: whether D says where the data lie. A denoiser is not guided by
      it then: its score says the same, at every noise level; static.
    divergence: that the critic was trained with; static.
    check_fn: samples [B, ...] -> [B] booleans: what the critic has learned,
      such as a rule; None if nothing else can say; static.
    quantiles: of real encodings, see `Divergence.calibrate`; not read if the
      divergence has a density ratio.

  Raises:
    UserError: when called, if quantiles are needed and missing.
  """

  params: Any
  threshold: jax.Array | float
  critic_fn: Callable[[Any, jax.Array], jax.Array] = flax.struct.field(
    pytree_node=False
  )
  name: str = flax.struct.field(pytree_node=False, default='realism')
  opposite: bool = flax.struct.field(pytree_node=False, default=False)
  of_density: bool = flax.struct.field(pytree_node=False, default=False)
  divergence: divergences.Divergence = flax.struct.field(
    pytree_node=False, default=divergences.GAN
  )
  check_fn: Callable[[np.ndarray], np.ndarray] | None = flax.struct.field(
    pytree_node=False, default=None
  )
  quantiles: jax.Array | None = None

  def __call__(self, z: jax.Array, target: base.Target) -> base.Verdict:
    """Needs no target."""
    del target
    v, least = self.critic_fn(self.params, z), jnp.asarray(self.threshold)
    divergence, quantiles = self.divergence, self.quantiles
    if self.opposite:
      most = divergence.output_at((1.0 - least) / least, quantiles)
      return base.Verdict(self.loss(v), v < most)
    met = v >= divergence.output_at(least / (1.0 - least), quantiles)
    return base.Verdict(self.loss(v), met)

  def loss(self, v: jax.Array) -> jax.Array:
    """Of outputs of any shape."""
    reference = self.divergence.reference(self.quantiles)
    if self.opposite:
      return self.divergence.opposite_loss(v, reference)
    return self.divergence.mover_loss(v, reference)

  def noisy(
    self, unit: jax.Array, t: jax.Array, clean: jax.Array, target: base.Target
  ) -> jax.Array:
    """0 for a critic of the density."""
    if self.of_density and not self.opposite:
      return jnp.zeros((), clean.dtype)
    return super().noisy(unit, t, clean, target)

  def check(
    self, samples: np.ndarray, target: base.Target
  ) -> np.ndarray | None:
    """By what it has learned; the opposite is all that does not obey."""
    del target
    if self.check_fn is None:
      return None
    obeyed = np.asarray(self.check_fn(samples), bool)
    return ~obeyed if self.opposite else obeyed

  def negated(self) -> 'Critic':
    """Low D(z) instead of high."""
    return dataclasses.replace(self, opposite=not self.opposite)

  def names(self) -> tuple[str, ...]:
    """Its own."""
    return (self.name,)

  def targets(self) -> tuple[str, ...]:
    """None: a critic knows what it was trained for."""
    return ()


@jax.jit
def log_odds(critic: Critic, z: jax.Array) -> jax.Array:
  """log(D / (1 - D)) of latents [B, Z]: [B]; the opposite is not minded."""
  v = critic.critic_fn(critic.params, z)
  return critic.divergence.known_odds(v, critic.quantiles)
