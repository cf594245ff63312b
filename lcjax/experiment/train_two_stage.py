"""Trains a second VAE, on encodings by the first. It sees no labels."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from lcjax.data import batches, dataset
from lcjax.experiment import (
  binding,
  build,
  jobs,
  stage,
  train_vae,
  training_parts,
)
from lcjax.generators import latent_model, two_stage
from lcjax.latent import encodings
from lcjax.models import apply, second_vae
from lcjax.training import objectives, parallel, state, steps


class First(NamedTuple):
  """The first VAE of a replicate, and its encodings.

  Attributes:
    model: the VAE.
    train: of the training split.
    seconds: of its training.
  """

  model: latent_model.LatentModel
  train: encodings.Encodings
  seconds: float


def load_first(job: jobs.Job, train: dataset.Dataset, replicate: int) -> First:
  """Restores the first VAE, and encodes the training split."""
  networks = build.build_networks(job.config, train)
  loaded = train_vae.load(job, networks, train, replicate)
  model = train_vae.of_vae(job.config, networks, loaded.state['vae'].params)
  return First(model, binding.encode(job.config, model, train), loaded.seconds)


def build_module(config: ml_collections.ConfigDict) -> second_vae.SecondVae:
  """The second VAE's module."""
  section = config.two_stage
  return second_vae.SecondVae(
    config.vae.latent_size, section.hidden_sizes, section.activation
  )


def make_state(
  config: ml_collections.ConfigDict, replicate: int
) -> Callable[[], state.TrainState]:
  """Builds the function that makes the state before the first step."""
  section = config.two_stage
  key = build.stage_key(config.seed + replicate, 'two_stage/init')
  tx = build.make_optimizer(
    section.optimizer, section.train.num_steps, 'two_stage.optimizer'
  )

  def make() -> state.TrainState:
    params = build_module(config).init(
      key, jnp.zeros((1, config.vae.latent_size))
    )
    average = section.average_decay > 0
    return state.create({'second': state.create_network(params, tx, average)})

  return make


def load_model(
  job: jobs.Job, train: dataset.Dataset, replicate: int
) -> tuple[latent_model.LatentModel, dict[str, float]]:
  """Restores both VAEs as one model, and the seconds of their trainings."""
  first = load_first(job, train, replicate)
  make = make_state(job.config, replicate)
  found = training_parts.load(job, stage.TWO_STAGE, replicate, make)
  model = two_stage.of_two_stage(
    first.model,
    build_module(job.config),
    state.averaged(found.state['second'], job.config.two_stage.average_decay),
    jnp.asarray(first.train.aggregate_mean),
    jnp.asarray(first.train.aggregate_std),
  )
  return model, {'vae': first.seconds, 'two_stage': found.seconds}


def make_loss(module: second_vae.SecondVae) -> steps.LossFn:
  """The second VAE's loss, see `objectives.make_second_vae_loss`."""
  return objectives.make_second_vae_loss(
    apply.Apply(module, 'encode'), apply.Apply(module, 'decode')
  )


# Cached, so that replicates share one compiled evaluation.
_evaluated_loss = functools.lru_cache(maxsize=16)(make_loss)


def make_training(
  job: jobs.Job,
  config: ml_collections.ConfigDict,
  replicate: int,
) -> training_parts.Training:
  """Builds one replicate's training of the second VAE."""
  data, held_out = build.load_splits(job)
  first = load_first(job, data, replicate)
  mean, std = first.train.aggregate_mean, first.train.aggregate_std
  seed, module = config.seed + replicate, build_module(config)

  def arrays(found: encodings.Encodings) -> dict[str, np.ndarray]:
    return {'mean': (found.mean - mean) / std, 'scale': found.scale / std}

  def make_step(
    config: ml_collections.ConfigDict,
    constants: dict[str, jax.Array],
    axis_name: str | None,
  ) -> steps.Step:
    del constants
    section = config.two_stage
    update = steps.make_update(
      make_loss(module),
      build.make_optimizer(
        section.optimizer, section.train.num_steps, 'two_stage.optimizer'
      ),
      section.average_decay,
      axis_name=axis_name,
      skip_nonfinite=section.train.nonfinite == 'skip',
    )
    return steps.make_train_step({'second': update})

  seen = arrays(first.train)
  batch_size = config.two_stage.train.batch_size

  def make_batches(step: int, count: int) -> dict[str, np.ndarray]:
    rows, numbers = parallel.local_rows(
      batches.stacked_indices((seed, 0), step, count, batch_size, len(data))
    )
    return {name: part[rows] for name, part in seen.items()} | {'row': numbers}

  key = build.stage_key(seed, 'two_stage')
  validate = build.make_validate(_evaluated_loss(module), key)
  validated = arrays(binding.encode(config, first.model, held_out))
  decay = config.two_stage.average_decay

  def evaluate(current: state.TrainState) -> dict[str, Any]:
    return validate(state.averaged(current['second'], decay), validated)

  return training_parts.Training(
    make_state(config, replicate), make_step, {}, make_batches, evaluate, key
  )
