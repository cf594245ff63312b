"""The guided denoiser: realism as the score of q(z), attributes as guidance.

An unconditional denoiser, trained on noised z ~ q(z), predicts the velocity
(see `velocity`). The noise that follows from it is the score of q(z) at every
noise level, up to a scale. D_attr(z_t, t), trained on the same noised latents,
gives the gradient towards an attribute. A few dozen steps lead from noise to z;
a few, from a partly noised latent that is nearly one. Ho et al.,
arXiv:2006.11239; Song et al., DDIM, arXiv:2010.02502; classifier guidance:
Dhariwal & Nichol, arXiv:2105.05233.
"""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
import numpy as np

from lcjax import errors
from lcjax.latent import noise

# velocity_fn(z_t [B, Z], t [B]) -> predicted velocity [B, Z]
VelocityFn = Callable[[jax.Array, jax.Array], jax.Array]
# energy_fn(z_t [B, Z], t [B], velocity [B, Z], target) -> [B]; energy i depends
# on row i only. The velocity is that of the denoiser, a constant.
EnergyFn = Callable[[jax.Array, jax.Array, jax.Array, Any], jax.Array]
Spacing = Literal['uniform', 'quadratic', 'log_snr']
SPACINGS: tuple[Spacing, ...] = get_args(Spacing)
TimeSampling = Literal['uniform', 'logit_normal']
TIME_SAMPLINGS: tuple[TimeSampling, ...] = get_args(TimeSampling)

# sqrt(alpha_bar) at noise time 1: positive, so that z follows from z_t and eps.
_LEAST_SIGNAL = 0.02
_LEAST_TIME = 0.02  # of steps of equal log signal-to-noise ratio, above 0


def draw_times(
  key: jax.Array, rows: jax.Array, sampling: TimeSampling
) -> jax.Array:
  """Noise times [B] in (0, 1) of training rows with global numbers [B].

  'logit_normal', with location 0 and scale 1, trains most on the middle, where
  a latent's identity is decided (Esser et al., arXiv:2403.03206, section 3.1);
  near 0 and 1, the best prediction is nearly linear.

  Raises:
    UserError: there is no such sampling.
  """
  if sampling not in TIME_SAMPLINGS:
    raise errors.UserError(
      f'time_sampling={sampling!r} must be {errors.listed(TIME_SAMPLINGS)}'
    )
  if sampling == 'uniform':
    return noise.uniform(key, rows)
  return jax.nn.sigmoid(noise.normal(key, rows, 1)[:, 0])


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


class Schedule(NamedTuple):
  """The noise times of a walk of S steps, and what each step does.

  Attributes:
    times: [S + 1] of the start, after each step, and of the result; falling.
    extrapolation: [S] how far the clean latent of a step is extrapolated from
      that of the step before; 0 is a step of first order.
    guided: [S] bool, whether the energy guides the step.
  """

  times: np.ndarray | jax.Array
  extrapolation: np.ndarray | jax.Array
  guided: np.ndarray | jax.Array


def make_schedule(
  num_steps: int,
  start_time: float = 1.0,
  end_time: float = 0.0,
  *,
  order: int = 1,
  spacing: Spacing = 'uniform',
  guided: tuple[float, float] = (0.0, 1.0),
) -> Schedule:
  """Spaces the steps of a walk.

  Order 1 is DDIM (Song et al., arXiv:2010.02502), order 2 is DPM-Solver++ 2M
  (Lu et al., arXiv:2211.01095, algorithm 2). The first step is of order 1, as
  are one after guidance begins or ends, whose clean latents do not belong
  together, and one to time 0, which returns the clean latent.

  Args:
    num_steps: S, evaluations of the denoiser.
    start_time: noise time of the start, in (0, 1]. 1 is pure noise; below 1 is
      a partly noised latent, which keeps part of its content.
    end_time: noise time of the result; above 0 it is still a noised latent.
    order: 1 or 2.
    spacing: 'uniform' in noise time; 'quadratic', with shorter steps near time
      0; 'log_snr', uniform in the logarithm of the signal-to-noise ratio (down
      to a small time, from where one step leads to time 0).
    guided: the lowest and highest noise time at which the energy guides
      (Kynkaanniemi et al., arXiv:2404.07724).

  Raises:
    UserError: a setting is out of range.
  """
  if num_steps < 1:
    raise errors.UserError(f'num_steps={num_steps} must be at least 1')
  if not 0.0 <= end_time < start_time <= 1.0:
    raise errors.UserError(
      f'start_time={start_time} must be in (0, 1] and above '
      f'end_time={end_time}, which must be at least 0'
    )
  if order not in (1, 2):
    raise errors.UserError(f'order={order} must be 1 or 2')
  if spacing not in SPACINGS:
    raise errors.UserError(
      f'spacing={spacing!r} must be {errors.listed(SPACINGS)}'
    )
  low, high = guided
  if not 0.0 <= low <= high <= 1.0:
    raise errors.UserError(
      f'guided={guided} must be a lower and an upper noise time in [0, 1]'
    )
  times = _spaced(num_steps, start_time, end_time, spacing)
  seen = times[:-1]
  guides = (low <= seen) & (seen <= high)
  weights = np.zeros(num_steps)
  if order == 2:
    # Of the logarithm of the signal-to-noise ratio, which is infinite at 0.
    widths = np.diff(_log_snr(times[times > 0.0]))
    second = np.arange(1, len(widths))
    weights[second] = 0.5 * widths[second] / widths[second - 1]
    weights[1:][guides[1:] != guides[:-1]] = 0.0
  found = times.astype(np.float32), weights.astype(np.float32)
  return Schedule(*found, guides)


def _log_snr(t: np.ndarray) -> np.ndarray:
  """log(sqrt(alpha_bar) / sqrt(1 - alpha_bar)) at noise times above 0."""
  return -np.log(np.tan(t * np.arccos(_LEAST_SIGNAL)))


def _spaced(
  num_steps: int, start_time: float, end_time: float, spacing: Spacing
) -> np.ndarray:
  """Noise times [S + 1]."""
  if spacing == 'uniform':
    return np.linspace(start_time, end_time, num_steps + 1)
  if spacing == 'quadratic':
    root = np.linspace(start_time**0.5, end_time**0.5, num_steps + 1)
    return root**2
  count, last = num_steps + 1, end_time
  if last == 0.0:
    count, last = num_steps, min(_LEAST_TIME, start_time / 2.0)
  high, low = _log_snr(np.array([last, start_time]))
  equal = np.exp(-np.linspace(low, high, count))
  times = np.arctan(equal) / np.arccos(_LEAST_SIGNAL)
  # The ends exactly, in spite of rounding.
  return np.concatenate([[start_time], times[1:num_steps], [end_time]])


def guided_denoise(
  velocity_fn: VelocityFn,
  energy_fn: EnergyFn,
  start: jax.Array,
  target: Any,
  rows: jax.Array,
  key: jax.Array,
  schedule: Schedule,
  eta: float = 0.0,
) -> jax.Array:
  """Denoises z_t from the schedule's first noise time to its last.

  Guidance adds the energy's gradient to the predicted noise,
  eps' = eps + sqrt(1 - alpha_bar) grad_{z_t} energy (arXiv:2105.05233,
  algorithm 2). So the energy acts as a negative log-probability: weight times
  cross-entropy of D_attr, distance to a reference, or any sum of terms.

  Args:
    velocity_fn: the denoiser.
    energy_fn: energy of each row; 0 everywhere samples unconditionally.
    start: [B, Z] latents at the first noise time.
    target: passed to `energy_fn`; a tree of arrays with B rows.
    rows: [B] global row numbers, which the added noise depends on.
    key: for the noise that is added if eta is not 0.
    schedule: by `make_schedule`; its arrays may be traced.
    eta: 0 samples deterministically, 1 adds noise in every step, as much as
      ancestral sampling (order 1) or SDE-DPM-Solver++ 2M (order 2).

  Returns:
    [B, Z] latents at the last noise time.
  """

  def total(z: jax.Array, t: jax.Array, v: jax.Array) -> jax.Array:
    return jnp.sum(energy_fn(z, t, v, target))

  energy_grad = jax.grad(total)

  def step(
    carry: tuple[jax.Array, jax.Array], now: tuple
  ) -> tuple[tuple[jax.Array, jax.Array], None]:
    z, before = carry
    index, time, next_time, extrapolation, guided = now
    t = jnp.full(len(z), time)
    (signal, sigma), (next_signal, next_sigma) = scales(time), scales(next_time)
    # Unguided, clean = signal z - sigma v. Guidance adds sigma times the
    # gradient to eps, which moves clean by -sigma / signal of that.
    v = velocity_fn(z, t)
    gradient = jax.lax.cond(guided, energy_grad, _no_gradient, z, t, v)
    clean = signal * z - sigma * v - (sigma**2 / signal) * gradient
    ahead = clean + extrapolation * (clean - before)
    # Of the added noise: DDIM, equation 16; what is kept of z: equation 12,
    # with eps = (z - signal clean) / sigma.
    variance = eta**2 * (next_sigma / sigma) ** 2
    variance = variance * (1.0 - (signal / next_signal) ** 2)
    kept = jnp.sqrt(jnp.maximum(next_sigma**2 - variance, 0.0)) / sigma
    z = kept * z + (next_signal - kept * signal) * ahead
    if eta:  # a deterministic path draws no noise
      step_key = jax.random.fold_in(key, index)
      fresh = noise.normal(step_key, rows, z.shape[1], z.dtype)
      z = z + jnp.sqrt(variance) * fresh
    return (z, clean), None

  times = jnp.asarray(schedule.times, start.dtype)
  steps = (
    jnp.arange(len(times) - 1),
    times[:-1],
    times[1:],
    jnp.asarray(schedule.extrapolation, start.dtype),
    jnp.asarray(schedule.guided),
  )
  return jax.lax.scan(step, (start, jnp.zeros_like(start)), steps)[0][0]


def _no_gradient(z: jax.Array, t: jax.Array, v: jax.Array) -> jax.Array:
  """Of a step without guidance."""
  del t, v
  return jnp.zeros_like(z)
