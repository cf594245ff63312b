"""The cost of a latent: realism + attributes + distance.

The actor minimises its mean over G(z, y); optimizer-G minimises it per row.
"""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from lcjax.losses import adversarial


class Weights(NamedTuple):
  """Weight of each term in `cost`."""

  realism: float
  attribute: float
  distance: float


def distance_penalty(
  z: jax.Array, start: jax.Array, mean_scale: jax.Array
) -> jax.Array:
  """L_dist(z, start) = mean over Z of log(1 + (z - start)^2) / mean_scale^2.

  arXiv:1711.05772, section 3. The paper sums over dimensions. This is a mean,
  as in the authors' code: a sum would be Z times larger for the same weight.

  Args:
    z: [..., Z] moved latents.
    start: [..., Z] latents before the move.
    mean_scale: [Z] mean of the encoder's scale over the training set, not over
      a batch.

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
    realism_logits: [...] critic logits: for the actor D(z, y), which covers
      realism and attributes, for optimizer-G D_realism(z).
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
