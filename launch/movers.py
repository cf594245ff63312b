"""Everything trained of one repetition, and the movers made of it."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from launch import (
  experiment,
  stage,
  startup,
  train_actor_critic,
  train_denoiser,
  train_vae,
)
from lcjax.data import dataset
from lcjax.latent import denoise, encodings, noise, optimize
from lcjax.losses import attributes, constraint
from lcjax.training import state

MOVERS = ('actor', 'optimizer', 'actor_then_optimizer', 'guided_denoiser')


class Moved(NamedTuple):
  """Moved latents, and what the optimiser says of each.

  Attributes:
    z: [B, Z].
    steps: [B] updates taken, or None without an optimiser.
    satisfied: [B] whether the constraints hold, or None.
  """

  z: np.ndarray
  steps: np.ndarray | None = None
  satisfied: np.ndarray | None = None


@dataclasses.dataclass(frozen=True)
class Trained:
  """One repetition: jitted functions with their parameters bound.

  Attributes:
    encode: uint8 images -> `encodings.Encodings` needs attributes too, so
      this gives (mean, scale).
    decode: z -> uint8 images.
    actor: (z, y) -> z.
    optimizer: (start, y, mask, anchor, max_steps) -> `optimize.Optimized`.
    denoiser: (edit, start, y, mask, anchor, rows) -> z.
    critic: (z, y) -> D(z, y).
    attribute_critic: z -> D_attr(z).
    realism_critic: z -> D_realism(z).
    train: encodings of the training split.
    seconds: that each training took.
    max_steps: of optimizer-G.
  """

  encode: Callable[[np.ndarray], Any]
  decode: Callable[[np.ndarray], np.ndarray]
  actor: Callable[..., Any]
  optimizer: Callable[..., Any]
  denoiser: Callable[..., Any]
  critic: Callable[..., Any]
  attribute_critic: Callable[..., Any]
  realism_critic: Callable[..., Any]
  train: encodings.Encodings
  seconds: dict[str, float]
  max_steps: int


def make_optimizer_g(
  config: ml_collections.ConfigDict,
  networks: experiment.Networks,
  mean_scale: np.ndarray,
  exclusive: bool,
) -> Callable[..., optimize.Optimized]:
  """Builds optimizer-G, jitted.

  Returns:
    `(attribute params, realism params, max_steps, start, y, mask, anchor)`
    to `optimize.Optimized`.
  """
  section = config.optimize
  tx = experiment.make_optimizer(
    section.optimizer, section.max_steps, 'optimize.optimizer'
  )
  with_params = experiment.make_cost(
    section, networks, jnp.asarray(mean_scale), exclusive
  )

  @jax.jit
  def move(
    attribute_params: Any,
    realism_params: Any,
    max_steps: jax.Array,
    start: jax.Array,
    y: jax.Array,
    mask: jax.Array,
    anchor: jax.Array,
  ) -> optimize.Optimized:
    cost_fn = with_params(attribute_params, realism_params)
    target = y, mask, anchor
    return optimize.optimize_latents(cost_fn, start, target, tx, max_steps)

  return move


def make_denoiser(
  config: ml_collections.ConfigDict,
  networks: experiment.Networks,
  train: encodings.Encodings,
  exclusive: bool,
) -> Callable[..., jax.Array]:
  """Builds the guided denoiser, jitted.

  Returns:
    `(velocity params, attribute params, edit, start, y, mask, anchor, rows)`
    to moved latents. `edit` says that `start` holds encodings, which are partly
    noised first; otherwise it is the noise itself.
  """
  section = config.denoise
  velocity_fn = experiment.apply_fn(networks.denoiser)
  attribute_fn = experiment.apply_fn(networks.noised_attribute_critic)
  center, spread = jnp.asarray(train.center), jnp.asarray(train.spread)
  mean_scale = jnp.asarray(train.mean_scale)

  def to_unit(z: jax.Array) -> jax.Array:
    return (z - center[None]) / spread[None]

  @functools.partial(jax.jit, static_argnums=2)
  def move(
    velocity_params: Any,
    attribute_params: Any,
    edit: bool,
    start: jax.Array,
    y: jax.Array,
    mask: jax.Array,
    anchor: jax.Array,
    rows: jax.Array,
  ) -> jax.Array:
    def energy_fn(z: jax.Array, t: jax.Array, target: tuple) -> jax.Array:
      y, mask, anchor = target
      logits = attribute_fn(attribute_params, z, t)
      energy = section.attribute_weight * attributes.cross_entropy(
        logits, y, mask, exclusive
      )
      if section.distance_weight:
        moved = z * spread[None] + center[None]
        distance = constraint.distance_penalty(moved, anchor, mean_scale)
        energy += section.distance_weight * distance
      return energy

    start_key, walk_key = jax.random.split(jax.random.key(0))
    time = section.edit_time if edit else 1.0
    if edit:
      eps = noise.normal(start_key, rows, start.shape[1])
      start = denoise.add_noise(to_unit(start), jnp.full(len(start), time), eps)
    z = denoise.guided_denoise(
      lambda z, t: velocity_fn(velocity_params, z, t),
      energy_fn,
      start,
      (y, mask, anchor),
      rows,
      walk_key,
      denoise.Schedule(section.num_steps, time, section.eta),
    )
    return z * spread[None] + center[None]

  return move


def load(
  job: startup.Job,
  repeat: int,
  data: dataset.Dataset,
) -> Trained:
  """Restores every training of one repetition.

  Args:
    job: what to do.
    repeat: which repetition.
    data: the training split.

  Raises:
    UserError: a training is missing or unfinished; names its command.
  """
  config = job.config
  networks = experiment.build_networks(config, data)
  seed, num_attributes = config.seed + repeat, len(data.attribute_names)
  vae = train_vae.load(job, networks, data, repeat)
  critics = stage.load(
    job,
    stage.LATENT_CRITICS,
    repeat,
    train_actor_critic.make_critics_state(config, networks, seed),
  )
  actor = stage.load(
    job,
    stage.ACTOR_CRITIC,
    repeat,
    train_actor_critic.make_actor_state(config, networks, num_attributes, seed),
  )
  denoiser = stage.load(
    job,
    stage.DENOISER,
    repeat,
    train_denoiser.make_state(config, networks, seed),
  )
  vae_params = vae.state.params
  decay = config.latent_critics.average_decay
  attribute_params = state.averaged(critics.state.attribute, decay)
  realism_params = state.averaged(critics.state.realism, decay)
  actor_params = state.averaged(
    actor.state.actor, config.actor_critic.average_decay
  )
  train = train_actor_critic.encode(config, networks, vae_params, data)
  optimizer = make_optimizer_g(
    config, networks, train.mean_scale, data.exclusive
  )
  denoise_fn = make_denoiser(config, networks, train, data.exclusive)
  decay = config.denoiser.average_decay
  velocity_params = state.averaged(denoiser.state.velocity, decay)
  noised_params = state.averaged(denoiser.state.attribute, decay)
  batch_size = config.generate.batch_size

  def in_batches(fn: Callable[..., Any], *params: Any) -> Callable[..., Any]:
    return lambda *arrays: encodings.in_batches(
      lambda *parts: fn(*params, *parts), *arrays, batch_size=batch_size
    )

  return Trained(
    encode=in_batches(experiment.make_encode(networks), vae_params),
    decode=in_batches(experiment.make_decode(networks), vae_params),
    actor=in_batches(
      jax.jit(experiment.apply_fn(networks.actor)), actor_params
    ),
    optimizer=lambda max_steps, *arrays: in_batches(
      optimizer, attribute_params, realism_params, max_steps
    )(*arrays),
    denoiser=lambda edit, *arrays: in_batches(
      denoise_fn, velocity_params, noised_params, edit
    )(*arrays),
    critic=in_batches(
      jax.jit(experiment.apply_fn(networks.critic)), actor.state.critic.params
    ),
    attribute_critic=in_batches(
      jax.jit(experiment.apply_fn(networks.attribute_critic)), attribute_params
    ),
    realism_critic=in_batches(
      jax.jit(experiment.apply_fn(networks.realism_critic)), realism_params
    ),
    train=train,
    seconds={
      'vae': vae.seconds,
      'latent_critics': critics.seconds,
      'actor_critic': actor.seconds,
      'denoiser': denoiser.seconds,
    },
    max_steps=config.optimize.max_steps,
  )


def move(
  trained: Trained,
  mover: str,
  start: np.ndarray,
  y: np.ndarray,
  max_steps: int | None = None,
  edit: bool = False,
) -> Moved:
  """Moves latents towards attributes.

  Args:
    trained: one repetition.
    mover: one of `MOVERS`, or 'none'.
    start: [B, Z].
    y: [B, Y] requested attributes.
    max_steps: of optimizer-G; the config's, if None.
    edit: whether the starts are encodings, not noise; the denoiser then
      noises them partly instead of taking them for the noise itself.

  Returns:
    The moved latents.
  """
  z, mask = start, np.ones_like(y)
  if mover == 'guided_denoiser':
    rows = np.arange(len(y))
    return Moved(trained.denoiser(edit, start, y, mask, start, rows))
  if mover in ('actor', 'actor_then_optimizer'):
    z = trained.actor(z, y)
  if mover not in ('optimizer', 'actor_then_optimizer'):
    return Moved(z)
  steps = trained.max_steps if max_steps is None else max_steps
  found = trained.optimizer(steps, z, y, mask, start)
  return Moved(found.z, found.steps, found.satisfied)


def accepts(
  trained: Trained, exclusive: bool, above: float
) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
  """Builds `(z, y) -> [B]`: whether D_attr gives every attribute > `above`."""

  def accept(z: np.ndarray, y: np.ndarray) -> np.ndarray:
    logits, asked = trained.attribute_critic(z), jnp.asarray(y)
    held = attributes.all_within(
      logits, asked, jnp.ones_like(asked), 1.0 - above, exclusive
    )
    return np.asarray(held)

  return accept
