"""Realism + attributes + distance as one cost of a latent.

The actor minimises its mean over G(z, y), optimizer-G minimises it per row.
"""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from lcjax.losses import adversarial


class Weights(NamedTuple):
  """What each term counts in `cost`."""

  realism: float
  attribute: float
  distance: float


def distance_penalty(
  z: jax.Array, start: jax.Array, mean_scale: jax.Array
) -> jax.Array:
  """L_dist(z, start) = mean over Z of log(1 + (z - start)^2) / mean_scale^2.

  arXiv:1711.05772, section 3. The paper's sum over dimensions is a mean here,
  as in the authors' code: a sum would be Z times larger for the same weight.

  Args:
    z: [..., Z] moved latents.
    start: [..., Z] where they started.
    mean_scale: [Z] training mean of the encoder's scale, not a batch's.

  Returns:
    [...] penalties.
  """
  chex.assert_equal_shape([z, start])
  variance = jnp.broadcast_to(jnp.square(mean_scale), z.shape)
  return jnp.mean(jnp.log1p(jnp.square(z - start)) / variance, axis=-1)


def cost(
  realism_logits: jax.Array,
  attribute_losses: jax.Array | float,
  distances: jax.Array,
  weights: Weights,
) -> jax.Array:
  """w_real L_{c=1}(D(z)) + w_attr BCE(D_attr(z), y) + w_dist L_dist(z, start).

  Args:
    realism_logits: [...] critic logits; D(z, y) for the actor, whose critic
      judges realism and attributes at once, D_realism(z) for optimizer-G.
    attribute_losses: [...] cross-entropies, or 0.
    distances: [...] distance penalties.
    weights: of the three terms.

  Returns:
    [...] costs.
  """
  return (
    weights.realism * adversarial.real_loss(realism_logits)
    + weights.attribute * attribute_losses
    + weights.distance * distances
  )
