"""Latents of given samples for a model without an encoder, by optimisation."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import flax
import jax
import jax.numpy as jnp
import numpy as np

from lcjax import errors
from lcjax.generators import latent_model
from lcjax.latent import encodings, optimize
from lcjax.training import optimizer_spec, parallel

_ADAM = optimizer_spec.adam(0.05)
_BATCH_SIZE = 512


class Inverted(NamedTuple):
  """Latents that decode to samples as well as possible.

  Attributes:
    z: [N, Z].
    error: [N] mean squared error of decode(z), over the values of a sample.
    steps: [N] updates taken, of all tries.
  """

  z: np.ndarray
  error: np.ndarray
  steps: np.ndarray


@flax.struct.dataclass
class _Reconstruct:
  """The cost of a latent [Z] for a sample x, and whether it is good enough."""

  params: Any
  prior_weight: float
  tolerance: float
  decode_fn: Callable[..., Any] = flax.struct.field(pytree_node=False)

  def error(self, z: jax.Array, x: jax.Array) -> jax.Array:
    return jnp.mean(jnp.square(self.decode_fn(self.params, z[None])[0] - x))

  def __call__(self, z: jax.Array, x: jax.Array) -> tuple[jax.Array, jax.Array]:
    error = self.error(z, x)
    cost = error + self.prior_weight * jnp.mean(jnp.square(z))
    return cost, error <= self.tolerance


@functools.partial(jax.jit, static_argnums=1)
def _invert(
  cost: _Reconstruct,
  spec: optimizer_spec.Spec,
  max_steps: int,
  start: jax.Array,
  x: jax.Array,
) -> tuple[optimize.Optimized, jax.Array]:
  found = optimize.optimize_latents(cost, start, x, spec.make(), max_steps)
  return found, jax.vmap(cost.error)(found.z, x)


def invert(
  model: latent_model.LatentModel,
  samples: np.ndarray,
  key: jax.Array,
  *,
  optimizer: optimizer_spec.Spec = _ADAM,
  max_steps: int = 300,
  tries: int = 3,
  prior_weight: float = 1e-3,
  tolerance: float = 0.0,
  batch_size: int = _BATCH_SIZE,
) -> Inverted:
  """Finds latents that decode to given samples: starts of edits.

  Minimises mean((decode(z) - x)^2) + prior_weight mean(z^2) from several draws
  of the prior, and keeps the best. A row follows from its number, its sample
  and the key. What the decoder cannot make is not found: see the error.

  Args:
    model: with a differentiable decoder; its encoder is not used.
    samples: [N, ...] in the range of the decoder.
    key: of the starts.
    optimizer: of z; every row has a state of its own.
    max_steps: updates of every row, at most, in each try.
    tries: starts per row.
    prior_weight: of the mean of z^2: at 0, latents may leave the prior.
    tolerance: a row stops once its error is at most this.
    batch_size: rows per call.

  Raises:
    UserError: there are no samples, they have another shape than the decoder's,
      or a number is out of range, or a result is not finite.
  """
  x = np.asarray(samples, np.float32)
  if max_steps < 0 or tries < 1 or prior_weight < 0:
    raise errors.UserError(
      f'max_steps={max_steps}, tries={tries} and prior_weight={prior_weight} '
      'must be at least 0, 1 and 0'
    )
  probe = model.decode(np.zeros((1, model.latent_size), np.float32))
  if not len(x) or x.shape[1:] != probe.shape[1:]:
    raise errors.UserError(
      f'samples: the shape is {x.shape}, it must be (N, '
      f'{", ".join(map(str, probe.shape[1:]))}) with N at least 1'
    )
  cost = _Reconstruct(
    model.params, float(prior_weight), float(tolerance), model.decode_fn
  )
  fn = parallel.over_devices(
    functools.partial(_invert, cost, optimizer, max_steps)
  )
  rows = np.arange(len(x))
  found: list[tuple[optimize.Optimized, np.ndarray]] = []
  for number in range(tries):
    start = model.draw_prior(rows, jax.random.fold_in(key, number))
    found.append(encodings.in_batches(fn, start, x, batch_size=batch_size))
  costs = np.stack([moved.cost for moved, _ in found])
  # What is not finite is never kept beside what is.
  best = np.argmin(np.where(np.isfinite(costs), costs, np.inf), axis=0)
  if not np.isfinite(costs[best, rows]).all():
    row = int(np.argmin(np.isfinite(costs[best, rows])))
    raise errors.UserError(
      f'row {row}: the decoder or its gradient is not finite there: check the '
      'sample and the decoder'
    )
  return Inverted(
    np.stack([moved.z for moved, _ in found])[best, rows],
    np.stack([error for _, error in found])[best, rows],
    np.sum([moved.steps for moved, _ in found], axis=0),
  )
