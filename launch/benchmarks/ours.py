"""Our side of every comparison: trainings built as the launchers build them.

They use the launchers' compiled step, training loop and batches from the host.
"""

import os
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import ml_collections
import numpy as np

from launch.benchmarks import rounds
from lcjax import types
from lcjax.data import dataset
from lcjax.experiment import (
  build,
  jobs,
  train_actor_critic,
  train_vae,
  training_parts,
)
from lcjax.latent import encodings
from lcjax.training import loop, parallel, steps

_NUM_ROWS = 8192
_CLASSES = types.Classes(tuple('0123456789'))


class Options(NamedTuple):
  """Options of a workload.

  Attributes:
    job: the config and workdir.
    num_rounds: number of interleaved rounds.
    seconds: approximate duration of a turn.
  """

  job: jobs.Job
  num_rounds: int
  seconds: float


class TrainLoop(NamedTuple):
  """The inputs of `loop.train`.

  Attributes:
    make_state: makes the initial state.
    make_step: builds the step, given the axis to average over or None.
    make_batches: (first step, K) -> stacked batches.
    key: random key of the training.
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
  """The number of threads that XLA uses on a CPU."""
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
    _CLASSES,
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


def _of(
  config: ml_collections.ConfigDict,
  section: str,
  parts: training_parts.Training,
) -> TrainLoop:
  return TrainLoop(
    parts.make_state,
    lambda axis: parts.make_step(config, parts.constants, axis),
    parts.make_batches,
    parts.key,
    config[section].train.steps_per_call,
    config.parallel,
  )


def vae_training(
  config: ml_collections.ConfigDict, data: dataset.Dataset
) -> TrainLoop:
  """The VAE's training, as in `launch.train_vae`."""
  return _of(config, 'vae', train_vae.make_training(config, data, data, 0))


def actor_critic_training(
  config: ml_collections.ConfigDict,
  networks: build.Networks,
  train: encodings.Encodings,
) -> TrainLoop:
  """The actor's training, as in `launch.train_actor_critic`."""
  latents = train_actor_critic.LatentData(
    networks, train, train, _CLASSES, config.seed
  )
  parts = train_actor_critic.make_actor_training(config, latents)
  return _of(config, 'actor_critic', parts)


def compile_step(one: TrainLoop) -> steps.Step:
  """Compiles the step as the launchers do."""
  return parallel.compile_step(one.make_step, one.mode)


def contender(
  one: TrainLoop,
  step_fn: steps.Step | None = None,
  hooks: tuple[loop.Hook, ...] = (),
) -> rounds.Contender:
  """The loop of a training, as a contender: one unit of work is a step.

  Args:
    one: the training; each contender makes a separate state.
    step_fn: result of `compile_step`, to share it; compiled here if None.
    hooks: of the loop.
  """
  step_fn = compile_step(one) if step_fn is None else step_fn
  state = parallel.on_all_devices(one.make_state())

  def advance(count: int) -> None:
    nonlocal state
    state = loop.train(
      step_fn,
      state,
      one.make_batches,
      one.key,
      int(state.step) + count,
      one.steps_per_call,
      hooks,
    )
    jax.block_until_ready(state)

  return rounds.Contender(advance, one.steps_per_call)
