"""Noise per example: it depends on (key, row), not on who computes the row.

So a step has the same result on one device and on eight, and a row that is
drawn again the same noise whichever rows are drawn with it. The dtype is given,
not JAX's default: that is float64 under JAX_ENABLE_X64, where encodings and
networks stay float32.
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
  """`normal`, or `uniform` where no size is given, of any number of rows.

  Compiled for one shape, since rejection asks for ever fewer rows.

  Args:
    key: of the noise.
    rows: [B] global row numbers.
    size: of a row.

  Returns:
    [B, size], or [B], float32 on the host.
  """
  fn = functools.partial(_uniform, key)
  if size is not None:
    fn = functools.partial(lambda rows: _normal(key, rows, size))
  found = encodings.in_batches(
    fn, rows, batch_size=_ROWS_AT_ONCE, one_shape=True
  )
  return np.asarray(found, np.float32)
