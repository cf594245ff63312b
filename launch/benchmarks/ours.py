"""Our side of every comparison: trainings built as the launchers build them.

The step is the one that they compile, run by the loop that they run, fed from
the host in the same way.
"""

import os
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import ml_collections
import numpy as np

from launch import experiment, startup, train_actor_critic, train_vae
from launch.benchmarks import rounds
from lcjax.data import batches, dataset
from lcjax.latent import encodings
from lcjax.training import latent_steps, loop, objectives, parallel, steps

_NUM_ROWS = 8192


class Setting(NamedTuple):
  """What every workload is given.

  Attributes:
    job: what to do.
    num_rounds: of interleaved turns.
    seconds: that a turn takes, about.
  """

  job: startup.Job
  num_rounds: int
  seconds: float


class Training(NamedTuple):
  """What `loop.train` needs.

  Attributes:
    make_state: makes the state before the first step.
    make_step: given the axis to average over or None.
    make_batches: (first step, K) -> stacked batches.
    key: of the training.
    steps_per_call: K.
    mode: 'jit' or 'pmap'.
  """

  make_state: Callable[[], Any]
  make_step: Callable[[str | None], steps.Step]
  make_batches: Callable[[int, int], dict[str, np.ndarray]]
  key: jax.Array
  steps_per_call: int
  mode: str


def num_threads() -> int:
  """As many as XLA takes on a CPU."""
  given = os.environ.get('NPROC')
  if given:
    return int(given)
  if hasattr(os, 'sched_getaffinity'):
    return len(os.sched_getaffinity(0))
  return os.cpu_count() or 1


def noise_images(image_shape: tuple[int, int, int]) -> dataset.Dataset:
  """Noise with the shape of a data set of ten classes."""
  rng = np.random.default_rng(0)
  return dataset.Dataset(
    rng.integers(0, 256, (_NUM_ROWS, *image_shape), np.uint8),
    _labels(rng),
    tuple('0123456789'),
    exclusive=True,
  )


def noise_encodings(latent_size: int) -> encodings.Encodings:
  """Noise with the shape of an encoded data set of ten classes."""
  rng = np.random.default_rng(0)
  shape = (_NUM_ROWS, latent_size)
  return encodings.Encodings(
    rng.standard_normal(shape, np.float32),
    rng.uniform(0.05, 0.2, shape).astype(np.float32),
    _labels(rng),
  )


def _labels(rng: np.random.Generator) -> np.ndarray:
  return np.eye(10, dtype=np.float32)[rng.integers(0, 10, _NUM_ROWS)]


def vae_training(
  config: ml_collections.ConfigDict,
  networks: experiment.Networks,
  data: dataset.Dataset,
) -> Training:
  """The VAE's training, as `launch.train_vae` has it."""
  section, seed = config.vae, config.seed
  loss_fn = objectives.make_vae_loss(
    experiment.apply_fn(networks.vae, 'encode'),
    experiment.apply_fn(networks.vae, 'decode'),
    section.sigma_x,
    section.beta,
  )
  tx = experiment.make_optimizer(
    section.optimizer, section.train.num_steps, 'vae.optimizer'
  )

  def make_batches(step: int, count: int) -> dict[str, np.ndarray]:
    rows = batches.stacked_indices(
      (seed, 0), step, count, section.train.batch_size, len(data)
    )
    numbers = np.broadcast_to(np.arange(rows.shape[1]), rows.shape)
    return {'image': data.images[rows], 'row': numbers}

  return Training(
    train_vae.make_state(config, networks, data, 0),
    lambda axis: steps.make_train_step(loss_fn, tx, axis_name=axis),
    make_batches,
    experiment.stage_key(seed, 'vae'),
    section.train.steps_per_call,
    config.parallel,
  )


def critic_weights(
  section: ml_collections.ConfigDict,
) -> latent_steps.CriticWeights:
  """Of the kinds of rows, as `config.actor_critic` has them."""
  return latent_steps.CriticWeights(
    moved=section.moved_weight,
    prior=section.prior_weight,
    mismatched=section.mismatched_weight,
    gradient_penalty=section.gradient_penalty_weight,
  )


def actor_critic_training(
  config: ml_collections.ConfigDict,
  networks: experiment.Networks,
  train: encodings.Encodings,
) -> Training:
  """The actor's training, as `launch.train_actor_critic` has it."""
  section, seed = config.actor_critic, config.seed
  setting = train_actor_critic.Setting(networks, train, train, True, seed)
  actor_tx, critic_tx = experiment.make_optimizers(
    config, 'actor_critic', train_actor_critic.ACTOR_OPTIMIZERS
  )

  def make_step(axis_name: str | None) -> steps.Step:
    return latent_steps.make_actor_critic_step(
      experiment.apply_fn(networks.actor),
      experiment.apply_fn(networks.critic),
      setting.mean_scale,
      actor_tx,
      critic_tx,
      critic_weights(section),
      section.distance_weight,
      section.actor_on_encodings,
      section.critic_steps_per_actor_step,
      section.average_decay,
      axis_name,
    )

  return Training(
    train_actor_critic.make_actor_state(
      config, networks, train.attributes.shape[-1], seed
    ),
    make_step,
    train_actor_critic.make_batches(setting, section.train.batch_size),
    experiment.stage_key(seed, 'actor_critic'),
    section.train.steps_per_call,
    config.parallel,
  )


def compile_step(training: Training) -> steps.Step:
  """The step as the launchers compile it."""
  return parallel.compile_step(training.make_step, training.mode)


def contender(
  training: Training,
  step_fn: steps.Step | None = None,
  hooks: tuple[loop.Hook, ...] = (),
) -> rounds.Contender:
  """The loop of a training, as a contender: one unit of work is a step.

  Args:
    training: a state is made for this contender alone.
    step_fn: of `compile_step`, where several share it.
    hooks: of the loop.
  """
  step_fn = compile_step(training) if step_fn is None else step_fn
  state = training.make_state()

  def advance(count: int) -> None:
    nonlocal state
    state = loop.train(
      step_fn,
      state,
      training.make_batches,
      training.key,
      int(state.step) + count,
      training.steps_per_call,
      hooks,
    )
    jax.block_until_ready(state)

  return rounds.Contender(advance, training.steps_per_call)
