"""Gradient penalties of a critic, of latents or of images."""

from collections.abc import Callable

import chex
import jax
import jax.numpy as jnp


def gradient_penalty(
  critic_fn: Callable[[jax.Array], jax.Array],
  real: jax.Array,
  fake: jax.Array,
  mix: jax.Array,
) -> jax.Array:
  """(|grad_z v| - 1)^2 at points between real and fake, per row.

  Gulrajani et al., arXiv:1704.00028, equation 3, without the factor 10, which
  is a weight in the config.

  Args:
    critic_fn: rows [B, ...] -> outputs v [B]; output i may depend on row i
      only.
    real: [B, ...].
    fake: [B, ...].
    mix: [B] in [0, 1]: 1 evaluates at `real`, 0 at `fake`.

  Returns:
    [B] penalties.
  """
  chex.assert_equal_shape([real, fake])
  mix = mix.reshape(-1, *(1,) * (real.ndim - 1))
  between = mix * real + (1.0 - mix) * fake
  # Rows are independent, so the gradient of the sum has every row's gradient.
  grads = jax.grad(lambda z: jnp.sum(critic_fn(z)))(between)
  # The small constant keeps the gradient of the norm finite at 0.
  norms = jnp.sqrt(_sum_of_squares(grads) + 1e-12)
  return jnp.square(norms - 1.0)


def zero_centred_penalty(
  critic_fn: Callable[[jax.Array], jax.Array],
  z: jax.Array,
  spread: jax.Array | float,
) -> jax.Array:
  """|grad_z v|^2 / 2 with z in units of its spread, per row.

  Mescheder et al., arXiv:1801.04406, equation 9: R1 at real rows, R2 at fakes;
  the weight is their gamma. Gradients are per standard deviation of encodings,
  so that a weight means the same for latents of another scale.

  Args:
    critic_fn: rows [B, ...] -> outputs v [B]; output i may depend on row i
      only.
    z: [B, ...] where the gradient is taken.
    spread: [...] standard deviations of encodings; 1 for gradients of z itself,
      as of images.

  Returns:
    [B] penalties.
  """
  grads = jax.grad(lambda rows: jnp.sum(critic_fn(rows)))(z)
  scaled = jnp.broadcast_to(spread, grads.shape) * grads
  return 0.5 * _sum_of_squares(scaled)


def _sum_of_squares(rows: jax.Array) -> jax.Array:
  """Of each row [B, ...]: [B]."""
  return jnp.sum(jnp.square(rows), axis=tuple(range(1, rows.ndim)))
