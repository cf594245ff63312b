"""The guided denoiser: realism as the score of q(z), attributes as guidance.

An unconditional eps(z_t, t), trained on noised z ~ q(z), knows where real data
lie at every noise level; D_attr(z_t, t), trained on the same noised latents,
tells the way to an attribute. From noise, or from a partly noised encoding, a
few dozen steps lead to z. Ho et al., arXiv:2006.11239; Song et al., DDIM,
arXiv:2010.02502; guidance by a classifier: Dhariwal & Nichol,
arXiv:2105.05233.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from lcjax.latent import noise

# velocity_fn(z_t [B, Z], t [B]) -> predicted velocity [B, Z]
VelocityFn = Callable[[jax.Array, jax.Array], jax.Array]
# energy_fn(z_t [B, Z], t [B], target) -> [B]; row i depends on row i alone.
EnergyFn = Callable[[jax.Array, jax.Array, Any], jax.Array]


class Schedule(NamedTuple):
  """How a latent is sampled from noise.

  Attributes:
    num_steps: evaluations of the denoiser.
    start_time: noise time of the start: 1 is pure noise; a partly noised
      encoding starts in between and keeps what it shows.
    eta: 0 samples deterministically (DDIM), 1 ancestrally.
    end_time: noise time of the result: 0 is a latent, more a noised one.
  """

  num_steps: int
  start_time: float
  eta: float
  end_time: float = 0.0


# sqrt(alpha_bar) at noise time 1: off 0, so that z can be read off z_t there.
_LEAST_SIGNAL = 0.02


def scales(t: jax.Array) -> tuple[jax.Array, jax.Array]:
  """(sqrt(alpha_bar), sqrt(1 - alpha_bar)): of z and of noise, at time t.

  A quarter turn from z to noise as t goes from 0 to 1: the cosine schedule of
  Nichol & Dhariwal, arXiv:2102.09672, ended just before its pole.
  """
  angle = t * jnp.arccos(_LEAST_SIGNAL)
  return jnp.cos(angle), jnp.sin(angle)


def add_noise(z: jax.Array, t: jax.Array, eps: jax.Array) -> jax.Array:
  """z_t = sqrt(alpha_bar) z + sqrt(1 - alpha_bar) eps, for times [B]."""
  signal, sigma = (scale[:, None] for scale in scales(t))
  return signal * z + sigma * eps


def velocity(z: jax.Array, t: jax.Array, eps: jax.Array) -> jax.Array:
  """sqrt(alpha_bar) eps - sqrt(1 - alpha_bar) z, for times [B].

  The velocity is what the network predicts (Salimans & Ho, arXiv:2202.00512,
  appendix D): z and eps follow from it without dividing by a vanishing scale.
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
  """Walks from z_t at `schedule.start_time` to a latent.

  The predicted noise is bent by the energy's gradient,
  eps' = eps + sqrt(1 - alpha_bar) grad_{z_t} energy (arXiv:2105.05233,
  algorithm 2), so the energy acts as a negative log-probability: weight times
  cross-entropy of D_attr, distance to a reference, or any sum of terms.

  Args:
    velocity_fn: the denoiser.
    energy_fn: per row; 0 everywhere samples unconditionally.
    start: [B, Z] latents at the noise time that the schedule starts from.
    target: given to `energy_fn`, with B rows.
    rows: [B] global row numbers, from which noise follows.
    key: of the noise that eta adds.
    schedule: of the noise times.

  Returns:
    [B, Z] latents at the noise time that the schedule ends at.
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
    # eps = sigma z + signal v, bent by guidance; z itself bends along.
    bend = sigma * energy_grad(z, t)
    eps = sigma * z + signal * v + bend
    clean = signal * z - sigma * v - (sigma / signal) * bend
    # DDIM, equations 12 and 16.
    added = schedule.eta**2 * (next_sigma / sigma) ** 2
    added = added * (1.0 - (signal / next_signal) ** 2)
    along = jnp.sqrt(jnp.maximum(next_sigma**2 - added, 0.0))
    z = next_signal * clean + along * eps
    if schedule.eta:  # noise of a deterministic path is not drawn at all
      step_key = jax.random.fold_in(key, index)
      fresh = noise.normal(step_key, rows, z.shape[1], z.dtype)
      z = z + jnp.sqrt(added) * fresh
    return z, None

  steps = jnp.arange(schedule.num_steps), times[:-1], times[1:]
  return jax.lax.scan(step, start, steps)[0]
