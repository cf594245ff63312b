"""Noise per example: it depends on (key, row), not on who computes the row.

So a step has the same result on one device and on eight.
"""

import jax


def normal(key: jax.Array, rows: jax.Array, size: int) -> jax.Array:
  """Standard normal noise [B, size] for global row numbers [B]."""
  keys = jax.vmap(jax.random.fold_in, (None, 0))(key, rows)
  return jax.vmap(lambda k: jax.random.normal(k, (size,)))(keys)


def uniform(key: jax.Array, rows: jax.Array) -> jax.Array:
  """Uniform noise [B] in [0, 1) for global row numbers [B]."""
  keys = jax.vmap(jax.random.fold_in, (None, 0))(key, rows)
  return jax.vmap(jax.random.uniform)(keys)
