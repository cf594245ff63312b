"""Trains the conditional VAE, a row of `config.alternatives`, with labels."""

import functools
from collections.abc import Callable

import jax
import ml_collections

from lcjax.data import dataset
from lcjax.experiment import (
  architectures,
  build,
  jobs,
  row_batches,
  stage,
  training_parts,
)
from lcjax.losses import elbo
from lcjax.models import apply, conditional
from lcjax.training import objectives, state, steps


def build_module(
  config: ml_collections.ConfigDict, data: dataset.Dataset
) -> conditional.ConditionalVae:
  """Builds the module; `data` gives the size of images."""
  return architectures.build_conditional_vae(
    config.conditional_vae, data.image_shape
  )


def make_state(
  config: ml_collections.ConfigDict, data: dataset.Dataset, replicate: int
) -> Callable[[], state.TrainState]:
  """Builds the function that makes the state before the first step."""
  module, seed = build_module(config, data), config.seed + replicate
  return build.make_image_state(
    config, 'conditional_vae', module, data, seed, labelled=True
  )


def load(
  job: jobs.Job, data: dataset.Dataset, replicate: int
) -> training_parts.Finished:
  """Restores the trained conditional VAE."""
  make = make_state(job.config, data, replicate)
  return training_parts.load(job, stage.CONDITIONAL_VAE, replicate, make)


def make_loss(
  module: conditional.ConditionalVae,
  likelihood: str,
  sigma_x: float,
  beta: float,
) -> steps.LossFn:
  """The loss, given the values of the config section of these names."""
  return objectives.make_conditional_vae_loss(
    apply.Apply(module, 'encode'),
    apply.Apply(module, 'decode'),
    objectives.gaussian_likelihood(sigma_x)
    if likelihood == 'gaussian'
    else elbo.bernoulli_log_likelihood,
    beta,
  )


# Cached, so that replicates share one compiled evaluation.
_evaluated_loss = functools.lru_cache(maxsize=16)(make_loss)


def make_training(
  config: ml_collections.ConfigDict,
  data: dataset.Dataset,
  held_out: dataset.Dataset,
  replicate: int,
) -> training_parts.Training:
  """Builds one replicate's training of the conditional VAE."""
  module, seed = build_module(config, data), config.seed + replicate

  def make_step(
    config: ml_collections.ConfigDict,
    constants: dict[str, jax.Array],
    axis_name: str | None,
  ) -> steps.Step:
    del constants
    section = config.conditional_vae
    update = steps.make_update(
      make_loss(module, section.likelihood, section.sigma_x, section.beta),
      build.make_optimizer(
        section.optimizer, section.train.num_steps, 'conditional_vae.optimizer'
      ),
      axis_name=axis_name,
      skip_nonfinite=section.train.nonfinite == 'skip',
    )
    return steps.make_train_step({'conditional_vae': update})

  key, section = (
    build.stage_key(seed, 'conditional_vae'),
    config.conditional_vae,
  )
  validate = build.make_validate(
    _evaluated_loss(module, section.likelihood, section.sigma_x, section.beta),
    key,
  )

  def evaluate(current: state.TrainState) -> dict[str, float]:
    arrays = {'image': held_out.images, 'attributes': held_out.attributes}
    return validate(current['conditional_vae'].params, arrays)

  return training_parts.Training(
    make_state(config, data, replicate),
    make_step,
    {},
    row_batches.of_images(data, seed, section.train.batch_size, labelled=True),
    evaluate,
    key,
  )
