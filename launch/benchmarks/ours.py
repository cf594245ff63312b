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

from launch.benchmarks import rounds
from lcjax import types
from lcjax.data import dataset
from lcjax.experiment import (
  build,
  jobs,
  train_actor_critic,
  train_vae,
  training,
)
from lcjax.latent import encodings
from lcjax.training import loop, parallel, steps

_NUM_ROWS = 8192
_CLASSES = types.Classes(tuple('0123456789'))


class Options(NamedTuple):
  """What every workload is given.

  Attributes:
    job: what to do.
    num_rounds: of interleaved turns.
    seconds: that a turn takes, about.
  """

  job: jobs.Job
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
  config: ml_collections.ConfigDict, section: str, parts: training.Training
) -> Training:
  return Training(
    parts.make_state,
    lambda axis: parts.make_step(config, parts.constants, axis),
    parts.make_batches,
    parts.key,
    config[section].train.steps_per_call,
    config.parallel,
  )


def vae_training(
  config: ml_collections.ConfigDict, data: dataset.Dataset
) -> Training:
  """The VAE's training, as `launch.train_vae` has it."""
  return _of(config, 'vae', train_vae.make_training(config, data, data, 0))


def actor_critic_training(
  config: ml_collections.ConfigDict,
  networks: build.Networks,
  train: encodings.Encodings,
) -> Training:
  """The actor's training, as `launch.train_actor_critic` has it."""
  latents = train_actor_critic.LatentData(
    networks, train, train, _CLASSES, config.seed
  )
  parts = train_actor_critic.make_actor_training(config, latents)
  return _of(config, 'actor_critic', parts)


def compile_step(one: Training) -> steps.Step:
  """The step as the launchers compile it."""
  return parallel.compile_step(one.make_step, one.mode)


def contender(
  one: Training,
  step_fn: steps.Step | None = None,
  hooks: tuple[loop.Hook, ...] = (),
) -> rounds.Contender:
  """The loop of a training, as a contender: one unit of work is a step.

  Args:
    one: a state is made for this contender alone.
    step_fn: of `compile_step`, where several share it.
    hooks: of the loop.
  """
  step_fn = compile_step(one) if step_fn is None else step_fn
  state = one.make_state()

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
