"""Noise for each row that depends on (key, row number) only.

So a step has the same result on any number of devices, and a redrawn row gets
the same noise whichever rows are drawn with it. The dtype is explicit, because
JAX's default is float64 under JAX_ENABLE_X64, while encodings and networks stay
float32.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike

from lcjax.latent import encodings

_ROWS_AT_ONCE = 1024


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


_normal = jax.jit(normal, static_argnums=2)
_uniform = jax.jit(uniform)


def draw(
  key: jax.Array, rows: np.ndarray, size: int | None = None
) -> np.ndarray:
  """`normal`, or `uniform` if no size is given, for any number of rows.

  Compiled for one shape, because rejection sampling draws fewer rows in every
  round.

  Args:
    key: of the noise.
    rows: [B] global row numbers.
    size: length of a row, or None for `uniform`.

  Returns:
    [B, size] or [B], a float32 numpy array.
  """
  fn = functools.partial(_uniform, key)
  if size is not None:
    fn = functools.partial(lambda rows: _normal(key, rows, size))
  found = encodings.in_batches(
    fn, rows, batch_size=_ROWS_AT_ONCE, one_shape=True
  )
  return np.asarray(found, np.float32)
