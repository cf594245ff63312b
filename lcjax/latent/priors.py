"""Priors p(z) beside N(0, I): functions (params, key, rows) -> z.

A draw of a row depends on its number and the key only, and on no parameters.
All are values: equal ones share compiled programs.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from lcjax.latent import noise

# (params of the model, key, rows [B]) -> z [B, Z]; must work under `jax.jit`
PriorFn = Callable[[Any, jax.Array, jax.Array], jax.Array]

_MEANS_KEY = 0  # the same means whatever the seed of a run


@dataclasses.dataclass(frozen=True)
class Gaussian:
  """N(0, I), as a function of this form.

  Attributes:
    size: Z.
  """

  size: int

  def __call__(self, params: Any, key: jax.Array, rows: jax.Array) -> jax.Array:
    """Draws z [B, Z]."""
    del params
    return noise.normal(key, rows, self.size)

  @property
  def std(self) -> jax.Array:
    """[Z] standard deviations."""
    return jnp.ones(self.size)


@dataclasses.dataclass(frozen=True)
class Uniform:
  """Uniform on [-1, 1]^Z.

  Attributes:
    size: Z.
  """

  size: int

  def __call__(self, params: Any, key: jax.Array, rows: jax.Array) -> jax.Array:
    """Draws z [B, Z]."""
    del params
    keys = jax.vmap(jax.random.fold_in, (None, 0))(key, rows)
    return jax.vmap(
      lambda k: jax.random.uniform(k, (self.size,), jnp.float32, -1.0, 1.0)
    )(keys)

  @property
  def std(self) -> jax.Array:
    """[Z] standard deviations."""
    return jnp.full(self.size, 3.0**-0.5)


@dataclasses.dataclass(frozen=True)
class Mixture:
  """An equal mixture of Gaussians N(mean_k, scale^2 I) at fixed random means.

  The means have the distance `radius` from the origin, in random directions
  that are the same in every run.

  Attributes:
    size: Z.
    count: of the components.
    radius: of their means.
    scale: standard deviation of a component in each dimension.
  """

  size: int
  count: int = 10
  radius: float = 4.0
  scale: float = 0.5

  @property
  def means(self) -> jax.Array:
    """Means [count, Z] of the components."""
    key = jax.random.key(_MEANS_KEY)
    found = jax.random.normal(key, (self.count, self.size), jnp.float32)
    lengths = jnp.linalg.norm(found, axis=-1, keepdims=True)
    return self.radius * found / lengths

  def __call__(self, params: Any, key: jax.Array, rows: jax.Array) -> jax.Array:
    """Draws z [B, Z]."""
    del params
    which_key, eps_key = jax.random.split(key)
    which = (noise.uniform(which_key, rows) * self.count).astype(jnp.int32)
    eps = noise.normal(eps_key, rows, self.size)
    return self.means[which] + self.scale * eps

  @property
  def std(self) -> jax.Array:
    """[Z] standard deviations of the whole mixture."""
    return jnp.sqrt(self.scale**2 + jnp.var(self.means, axis=0))


Prior = Gaussian | Uniform | Mixture
PRIORS: dict[str, type[Prior]] = {
  'gaussian': Gaussian,
  'uniform': Uniform,
  'mixture': Mixture,
}
