"""Maximum mean discrepancy of two samples, without a critic."""

import chex
import jax
import jax.numpy as jnp

# Of the kernel's C, as in the authors' code of WAE-MMD.
_SCALES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


def inverse_multiquadratic(
  squared: jax.Array, size: jax.Array | float
) -> jax.Array:
  """Sum over scales s of C / (C + d^2), C = s size, of squared distances d^2.

  Tolstikhin et al., arXiv:1711.01558, section 4, where C = 2 Z sigma^2 is the
  expected squared distance of two draws of N(0, sigma^2 I).

  Args:
    squared: any shape.
    size: the expected squared distance of two draws.
  """
  return sum(
    (scale * size / (scale * size + squared) for scale in _SCALES),
    start=jnp.zeros_like(squared),
  )


def mmd(x: jax.Array, y: jax.Array, size: jax.Array | float) -> jax.Array:
  """The unbiased estimate of the squared discrepancy, which may be below 0.

  Tolstikhin et al., arXiv:1711.01558, algorithm 2: means of the kernel over
  pairs of different rows of one sample, and over all pairs of both.

  Args:
    x: [B, Z], B at least 2.
    y: [B, Z].
    size: of `inverse_multiquadratic`.

  Returns:
    A scalar.
  """
  chex.assert_equal_shape([x, y])
  count = len(x)

  def kernel(a: jax.Array, b: jax.Array) -> jax.Array:
    of_a, of_b = (jnp.sum(jnp.square(one), axis=-1) for one in (a, b))
    squared = of_a[:, None] + of_b[None] - 2.0 * a @ b.T
    squared = jnp.maximum(squared, 0.0)
    return inverse_multiquadratic(squared, size)

  others = 1.0 - jnp.eye(count)
  within = jnp.sum((kernel(x, x) + kernel(y, y)) * others)
  return within / (count * (count - 1)) - 2.0 * jnp.mean(kernel(x, y))
