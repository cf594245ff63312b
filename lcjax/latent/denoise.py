"""The guided denoiser: realism as the score of q(z), attributes as guidance.

An unconditional denoiser, trained on noised z ~ q(z), predicts the velocity
(see `velocity`). The noise that follows from it is the score of q(z) at every
noise level, up to a scale. D_attr(z_t, t), trained on the same noised latents,
gives the gradient towards an attribute. A few dozen steps lead from
noise, or from a partly noised encoding, to z. Ho et al., arXiv:2006.11239;
Song et al., DDIM, arXiv:2010.02502; classifier guidance: Dhariwal & Nichol,
arXiv:2105.05233.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from lcjax.latent import noise

# velocity_fn(z_t [B, Z], t [B]) -> predicted velocity [B, Z]
VelocityFn = Callable[[jax.Array, jax.Array], jax.Array]
# energy_fn(z_t [B, Z], t [B], target) -> [B]; energy i depends on row i only.
EnergyFn = Callable[[jax.Array, jax.Array, Any], jax.Array]


class Schedule(NamedTuple):
  """How a latent is sampled from noise.

  Attributes:
    num_steps: evaluations of the denoiser.
    start_time: noise time of the start, above 0. 1 is pure noise; below 1 is a
      partly noised encoding, which keeps part of its content.
    eta: 0 samples deterministically (DDIM), 1 ancestrally.
    end_time: noise time of the result; above 0 it is still a noised latent.
  """

  num_steps: int
  start_time: float
  eta: float
  end_time: float = 0.0


# sqrt(alpha_bar) at noise time 1: positive, so that z follows from z_t and eps.
_LEAST_SIGNAL = 0.02


def scales(t: jax.Array) -> tuple[jax.Array, jax.Array]:
  """(sqrt(alpha_bar), sqrt(1 - alpha_bar)), the scales of z and noise at t.

  The cosine schedule of Nichol & Dhariwal, arXiv:2102.09672, without their
  offset s, and stretched to end at `_LEAST_SIGNAL` instead of 0.
  """
  angle = t * jnp.arccos(_LEAST_SIGNAL)
  return jnp.cos(angle), jnp.sin(angle)


def add_noise(z: jax.Array, t: jax.Array, eps: jax.Array) -> jax.Array:
  """z_t = sqrt(alpha_bar) z + sqrt(1 - alpha_bar) eps, for times [B]."""
  signal, sigma = (scale[:, None] for scale in scales(t))
  return signal * z + sigma * eps


def velocity(z: jax.Array, t: jax.Array, eps: jax.Array) -> jax.Array:
  """sqrt(alpha_bar) eps - sqrt(1 - alpha_bar) z, for times [B].

  The network predicts the velocity (Salimans & Ho, arXiv:2202.00512, appendix
  D), because it gives z and eps without division by a scale near 0.
  """
  signal, sigma = (scale[:, None] for scale in scales(t))
  return signal * eps - sigma * z


def guided_denoise(
  velocity_fn: VelocityFn,
  energy_fn: EnergyFn,
  start: jax.Array,
  target: Any,
  rows: jax.Array,
  key: jax.Array,
  schedule: Schedule,
) -> jax.Array:
  """Denoises z_t from `schedule.start_time` to `schedule.end_time`.

  Guidance adds the energy's gradient to the predicted noise,
  eps' = eps + sqrt(1 - alpha_bar) grad_{z_t} energy (arXiv:2105.05233,
  algorithm 2). So the energy acts as a negative log-probability: weight times
  cross-entropy of D_attr, distance to a reference, or any sum of terms.

  Args:
    velocity_fn: the denoiser.
    energy_fn: energy of each row; 0 everywhere samples unconditionally.
    start: [B, Z] latents at noise time `schedule.start_time`.
    target: passed to `energy_fn`; a tree of arrays with B rows.
    rows: [B] global row numbers, which the added noise depends on.
    key: for the noise that is added if eta is not 0.
    schedule: the noise times.

  Returns:
    [B, Z] latents at noise time `schedule.end_time`.
  """
  times = jnp.linspace(
    schedule.start_time,
    schedule.end_time,
    schedule.num_steps + 1,
    dtype=start.dtype,
  )
  energy_grad = jax.grad(lambda z, t: jnp.sum(energy_fn(z, t, target)))

  def step(z: jax.Array, now: tuple) -> tuple[jax.Array, None]:
    index, time, next_time = now
    t = jnp.full(len(z), time)
    (signal, sigma), (next_signal, next_sigma) = scales(time), scales(next_time)
    v = velocity_fn(z, t)
    # Unguided, eps = sigma z + signal v and clean = signal z - sigma v. Adding
    # guidance to eps moves clean by -sigma / signal of it.
    guidance = sigma * energy_grad(z, t)
    eps = sigma * z + signal * v + guidance
    clean = signal * z - sigma * v - (sigma / signal) * guidance
    # DDIM, equations 12 and 16.
    variance = schedule.eta**2 * (next_sigma / sigma) ** 2
    variance = variance * (1.0 - (signal / next_signal) ** 2)
    eps_scale = jnp.sqrt(jnp.maximum(next_sigma**2 - variance, 0.0))
    z = next_signal * clean + eps_scale * eps
    if schedule.eta:  # a deterministic path draws no noise
      step_key = jax.random.fold_in(key, index)
      fresh = noise.normal(step_key, rows, z.shape[1], z.dtype)
      z = z + jnp.sqrt(variance) * fresh
    return z, None

  steps = jnp.arange(schedule.num_steps), times[:-1], times[1:]
  return jax.lax.scan(step, start, steps)[0]
