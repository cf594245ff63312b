"""The distance penalty between a moved latent and its reference."""

import chex
import jax
import jax.numpy as jnp


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
