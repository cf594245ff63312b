"""Noise per example: it depends on (key, row), not on who computes the row.

So a step has the same result on one device and on eight. The dtype is given,
not JAX's default: that is float64 under JAX_ENABLE_X64, where encodings and
networks stay float32.
"""

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike


def normal(
  key: jax.Array, rows: jax.Array, size: int, dtype: DTypeLike = jnp.float32
) -> jax.Array:
  """Standard normal noise [B, size] for global row numbers [B]."""
  keys = jax.vmap(jax.random.fold_in, (None, 0))(key, rows)
  return jax.vmap(lambda k: jax.random.normal(k, (size,), dtype))(keys)


def uniform(
  key: jax.Array, rows: jax.Array, dtype: DTypeLike = jnp.float32
) -> jax.Array:
  """Uniform noise [B] in [0, 1) for global row numbers [B]."""
  keys = jax.vmap(jax.random.fold_in, (None, 0))(key, rows)
  return jax.vmap(lambda k: jax.random.uniform(k, dtype=dtype))(keys)
