"""Attributes as targets: one-hot classes or independent bits."""

import chex
import jax
import jax.numpy as jnp


def probabilities(logits: jax.Array, exclusive: bool) -> jax.Array:
  """Probability of every attribute: softmax if exclusive, else sigmoids.

  Args:
    logits: [..., Y].
    exclusive: whether exactly one attribute holds.

  Returns:
    [..., Y].
  """
  return jax.nn.softmax(logits) if exclusive else jax.nn.sigmoid(logits)


def cross_entropy(
  logits: jax.Array, y: jax.Array, mask: jax.Array, exclusive: bool
) -> jax.Array:
  """Cross-entropy of y under the logits, per row, in nats.

  Args:
    logits: [..., Y].
    y: [..., Y] zeros and ones; one-hot if exclusive.
    mask: [..., Y] or [Y]; attributes at 0 are left out.
    exclusive: one softmax over Y, summed; else a sigmoid each, averaged over
      the attributes left in, so that a weight does not depend on their number.

  Returns:
    [...] losses.
  """
  chex.assert_equal_shape([logits, y])
  mask = jnp.broadcast_to(mask, y.shape)
  # Both forms keep a small loss: softplus(v) - y v, or log_softmax, would be
  # the difference of two large numbers, 0 from v = 17 on in float32.
  if exclusive:
    own = jnp.sum(y * logits, axis=-1)
    least = jnp.finfo(logits.dtype).min / 2  # -inf would have no gradient
    others = jax.nn.logsumexp(jnp.where(y > 0.5, least, logits), axis=-1)
    return jnp.sum(mask * y, axis=-1) * jax.nn.softplus(others - own)
  losses = y * jax.nn.softplus(-logits) + (1.0 - y) * jax.nn.softplus(logits)
  kept = jnp.maximum(jnp.sum(mask, axis=-1), 1.0)
  return jnp.sum(mask * losses, axis=-1) / kept


def accuracy(logits: jax.Array, y: jax.Array, exclusive: bool) -> jax.Array:
  """Share of right answers per row: 0 or 1 for classes, a mean over bits.

  Args:
    logits: [..., Y].
    y: [..., Y] zeros and ones.
    exclusive: whether the largest logit decides, or the sign of each.

  Returns:
    [...] shares.
  """
  if exclusive:
    return (jnp.argmax(logits, -1) == jnp.argmax(y, -1)).astype(jnp.float32)
  return jnp.mean((logits > 0) == (y > 0.5), axis=-1, dtype=jnp.float32)


def all_within(
  logits: jax.Array,
  y: jax.Array,
  mask: jax.Array,
  tolerance: float,
  exclusive: bool,
) -> jax.Array:
  """Whether every attribute left in has |y - D_attr| < tolerance, per row.

  Args:
    logits: [..., Y].
    y: [..., Y] zeros and ones.
    mask: [..., Y] or [Y]; attributes at 0 are left out.
    tolerance: in probability; .5 asks for the right side only.
    exclusive: see `probabilities`.

  Returns:
    [...] booleans.
  """
  mask = jnp.broadcast_to(mask, y.shape)
  near = jnp.abs(y - probabilities(logits, exclusive)) < tolerance
  return jnp.all(near | (mask == 0), axis=-1)
