"""The guided denoiser as a mover, and how its network is learned in memory."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import flax
import jax
import jax.numpy as jnp
import numpy as np

from lcjax import errors
from lcjax.constraints import base as constraints
from lcjax.generators import latent_model
from lcjax.latent import denoise, encodings, mixtures, noise
from lcjax.models import apply
from lcjax.models import denoiser as denoiser_lib
from lcjax.movers import base
from lcjax.training import denoiser_steps, optimizer_spec, parallel, steps

_ADAM = optimizer_spec.adam(1e-3)


@flax.struct.dataclass
class Velocity:
  """A network's velocity of latents in standard units of q(z).

  Attributes:
    params: of the network.
    velocity_fn: (params, z_t [B, Z], t [B]) -> [B, Z]; static.
  """

  params: Any
  velocity_fn: Callable[..., jax.Array] = flax.struct.field(pytree_node=False)

  def __call__(self, unit: jax.Array, t: jax.Array) -> jax.Array:
    """See `denoise.velocity`."""
    return self.velocity_fn(self.params, unit, t)


@flax.struct.dataclass
class MixtureVelocity:
  """The velocity of a Gaussian mixture, in closed form.

  Attributes:
    mixture: in standard units of q(z).
  """

  mixture: mixtures.Noised

  def __call__(self, unit: jax.Array, t: jax.Array) -> jax.Array:
    """See `mixtures.velocity`."""
    return mixtures.velocity(self.mixture, unit, t)


@flax.struct.dataclass
class Phase:
  """A part of the way from noise to a latent.

  Attributes:
    velocity: (z_t [B, Z], t [B]) -> [B, Z], a pytree.
    want: guides by its `noisy` loss; None for no guidance.
    scale: of that loss: an inverse temperature.
    schedule: its noise times; see `denoise.make_schedule`.
    eta: 0 samples deterministically, 1 with as much noise as ancestral
      sampling; static.
  """

  velocity: Any
  want: constraints.Constraint | None
  scale: jax.Array | float
  schedule: denoise.Schedule
  eta: float = flax.struct.field(pytree_node=False)

  def evaluations(self, num_rows: int) -> dict[str, np.ndarray]:
    """See `base.Moved`; a mixture's velocity and classes are one function."""
    guided = np.asarray(self.schedule.guided)
    counts = np.full(num_rows, len(guided))
    if isinstance(self.velocity, MixtureVelocity):
      return {'mixture': counts}
    guides = {}
    if self.want is not None:
      of_guide = np.full(num_rows, np.sum(guided))
      guides = base.evaluated(self.want, of_guide, num_rows)
    return {'denoiser': counts} | guides


@flax.struct.dataclass
class Denoiser:
  """Samples by denoising, guided towards a constraint; see `latent.denoise`.

  Attributes:
    mean: [Z] mean of q(z).
    std: [Z] standard deviation of q(z).
    phases: one after the other, each from where the one before ends.
    noised: whether noise is added to the start, up to the first noise time, so
      that part of it is kept; else the start is the noise itself; static.
    batch_size: latents per call; static.
  """

  mean: jax.Array
  std: jax.Array
  phases: tuple[Phase, ...]
  noised: bool = flax.struct.field(pytree_node=False)
  batch_size: int = flax.struct.field(
    pytree_node=False, default=base.BATCH_SIZE
  )

  def __call__(
    self,
    start: np.ndarray,
    target: constraints.Target,
    rows: np.ndarray | None = None,
    key: jax.Array | None = None,
  ) -> base.Moved:
    """See `base.Mover`; a start of noise is in standard units of q(z)."""
    if key is None:
      raise errors.UserError('key: a denoiser draws noise, give a key')
    start = np.asarray(start, np.float32)
    rows = np.arange(len(start)) if rows is None else np.asarray(rows)
    own: dict[str, Any] = {}
    for phase in self.phases:
      if phase.want is not None:
        own |= base.own_target(phase.want, start, target)
    # Raw data, as a key is bound to a device.
    bound = self, np.asarray(jax.random.key_data(key))
    z = encodings.in_batches(
      parallel.over_devices(functools.partial(_denoise, bound)),
      start,
      own,
      rows,
      batch_size=self.batch_size,
      one_shape=True,  # retries ask for fewer rows in every round
    )
    evaluations = base.add_evaluations(
      phase.evaluations(len(z)) for phase in self.phases
    )
    moved = base.Moved(z, start, evaluations=evaluations)
    base.check_moved(moved)
    return moved


@jax.jit
def _denoise(
  bound: tuple[Denoiser, jax.Array],
  start: jax.Array,
  target: Any,
  rows: jax.Array,
) -> jax.Array:
  mover, key_data = bound
  mean, std = mover.mean[None], mover.std[None]
  # Phases count from the last one: an earlier phase that is added leaves the
  # noise of the later ones as it was.
  count = max(2, len(mover.phases))
  start_key, *keys = jax.random.split(
    jax.random.wrap_key_data(key_data), count + 1
  )
  z = start
  if mover.noised:
    eps = noise.normal(start_key, rows, z.shape[1], z.dtype)
    times = jnp.full(len(z), mover.phases[0].schedule.times[0], z.dtype)
    z = denoise.add_noise((z - mean) / std, times, eps)
  for phase, key in zip(mover.phases, keys[-len(mover.phases) :], strict=True):
    z = denoise.guided_denoise(
      phase.velocity,
      functools.partial(_energy, mover, phase),
      z,
      target,
      rows,
      key,
      phase.schedule,
      phase.eta,
    )
  return z * std + mean


def _energy(
  mover: Denoiser,
  phase: Phase,
  z: jax.Array,
  t: jax.Array,
  velocity: jax.Array,
  target: Any,
) -> jax.Array:
  """The energy [B] that guides a phase."""
  if phase.want is None:
    return jnp.zeros(len(z), z.dtype)
  signal, sigma = (scale[:, None] for scale in denoise.scales(t))
  clean = (signal * z - sigma * velocity) * mover.std[None] + mover.mean[None]
  losses = jax.vmap(phase.want.noisy)(z, t, clean, target)
  return phase.scale * losses


def denoiser(
  learned: Denoiser,
  want: constraints.Constraint | None = None,
  *,
  scale: float = 1.0,
  num_steps: int = 30,
  eta: float = 0.3,
  start_time: float | None = None,
  order: int = 1,
  spacing: denoise.Spacing = 'uniform',
  guided: tuple[float, float] = (0.0, 1.0),
) -> Denoiser:
  """A learned denoiser with a constraint as guidance, and other settings.

  A few steps of order 2 are enough from a start that is nearly right, such as
  `mixture_start`, noised to a `start_time` of about a half.

  Args:
    learned: by `learn_denoiser`.
    want: guides by its loss at each noise time, see `Constraint.noisy`; a
      critic by `learn_realism` adds nothing to the denoiser's own score. None
      samples unconditionally.
    scale: of the loss: an inverse temperature.
    num_steps: evaluations of the denoiser.
    eta: 0 samples deterministically, 1 with as much noise as ancestral
      sampling.
    start_time: in (0, 1]: noise is added to the start up to this noise time;
      None if the start is noise itself, as drawn by `prior_start`.
    order: 1 for DDIM, 2 for DPM-Solver++ 2M; see `denoise.make_schedule`.
    spacing: of the noise times: 'uniform', 'quadratic' or 'log_snr'.
    guided: the lowest and highest noise time at which the constraint guides.

  Raises:
    UserError: a setting is out of range.
  """
  if not 0 <= eta <= 1:
    raise errors.UserError(f'eta={eta} must be in [0, 1]')
  time = 1.0 if start_time is None else start_time
  schedule = denoise.make_schedule(
    num_steps, time, order=order, spacing=spacing, guided=guided
  )
  velocity = learned.phases[-1].velocity
  return dataclasses.replace(
    learned,
    phases=(Phase(velocity, want, scale, schedule, eta),),
    # It stays so for a model whose prior is not N(0, I): such a start is no
    # noise, and is replaced by it.
    noised=start_time is not None or learned.noised,
  )


@dataclasses.dataclass(frozen=True)
class _VelocityLoss:
  """Of latents in standard units."""

  velocity_fn: apply.Apply
  time_sampling: denoise.TimeSampling

  def __call__(
    self, params: Any, batch: steps.Batch, key: jax.Array
  ) -> tuple[jax.Array, steps.Metrics]:
    rows = denoiser_steps.noised_rows(
      batch, key, time_sampling=self.time_sampling
    )
    return denoiser_steps.velocity_loss(self.velocity_fn, params, rows)


def learn_denoiser(
  data: latent_model.LatentData,
  key: jax.Array,
  *,
  width: int = 256,
  num_blocks: int = 3,
  optimizer: optimizer_spec.OptimizerSpec = _ADAM,
  average_decay: float = 0.999,
  time_sampling: denoise.TimeSampling = 'logit_normal',
  num_steps: int = 3000,
  batch_size: int = 256,
  progress: bool = True,
) -> Denoiser:
  """Learns the score of q(z) at every noise level, without labels.

  Args:
    data: encoded data; labels are not read.
    key: of the initial parameters, batches and noise.
    width: of the network.
    num_blocks: residual blocks of the network.
    optimizer: of its parameters.
    average_decay: of the moving average of its parameters; 0: no average.
    time_sampling: of the noise times, see `denoise.draw_times`.
    num_steps: of training.
    batch_size: rows per step.
    progress: whether to show a bar.

  Returns:
    The denoiser without guidance; see `denoiser` for a guided one.

  Raises:
    UserError: the loss is not finite.
  """
  found = data.encodings
  size = found.mean.shape[1]
  module = denoiser_lib.ResidualMlp(width, num_blocks, size, 'silu')
  velocity_fn = apply.Apply(module)
  init_key, fit_key = jax.random.split(key)
  params = latent_model.fit_network(
    'learn_denoiser',
    _VelocityLoss(velocity_fn, time_sampling),
    module.init(init_key, jnp.zeros((1, size)), jnp.zeros(1)),
    latent_model.standardised(data),
    fit_key,
    optimizer,
    num_steps,
    batch_size,
    progress,
    average_decay,
  )
  learned = Denoiser(
    jnp.asarray(found.aggregate_mean),
    jnp.asarray(found.aggregate_std),
    (
      Phase(
        Velocity(params, velocity_fn), None, 1.0, denoise.make_schedule(1), 0.0
      ),
    ),
    # Draws of another prior than N(0, I) are no noise.
    noised=data.draw_prior is not None,
  )
  return denoiser(learned)
