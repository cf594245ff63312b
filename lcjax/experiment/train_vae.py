"""Trains the unconditional VAE. It sees no labels."""

import functools
from collections.abc import Callable

import jax
import ml_collections

from lcjax.data import dataset
from lcjax.evaluation import metrics
from lcjax.experiment import build, jobs, row_batches, stage, training_parts
from lcjax.latent import encodings
from lcjax.models import apply
from lcjax.training import objectives, parallel, state, steps


def make_state(
  config: ml_collections.ConfigDict,
  networks: build.Networks,
  data: dataset.Dataset,
  replicate: int,
) -> Callable[[], state.TrainState]:
  """Builds the function that makes the state before the first step."""
  assert networks.vae is not None  # trained only if it is the model
  seed = config.seed + replicate
  return build.make_image_state(config, 'vae', networks.vae, data, seed)


def load(
  job: jobs.Job,
  networks: build.Networks,
  data: dataset.Dataset,
  replicate: int,
) -> training_parts.Finished:
  """Restores the trained VAE."""
  config = job.config
  make = make_state(config, networks, data, replicate)
  return training_parts.load(job, stage.VAE, replicate, make)


def make_loss(
  networks: build.Networks, sigma_x: float, beta: float
) -> steps.LossFn:
  """The VAE's loss, given the std of p(x|z) and the weight of the KL term."""
  assert networks.vae is not None
  return objectives.make_vae_loss(
    apply.Apply(networks.vae, 'encode'),
    apply.Apply(networks.vae, 'decode'),
    sigma_x,
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
  """Builds one replicate's training of the VAE."""
  networks = build.build_networks(config, data)
  seed = config.seed + replicate

  def make_step(
    config: ml_collections.ConfigDict,
    constants: dict[str, jax.Array],
    axis_name: str | None,
  ) -> steps.Step:
    del constants
    section = config.vae
    update = steps.make_update(
      make_loss(networks, section.sigma_x, section.beta),
      build.make_optimizer(
        section.optimizer, section.train.num_steps, 'vae.optimizer'
      ),
      axis_name=axis_name,
      skip_nonfinite=section.train.nonfinite == 'skip',
    )
    return steps.make_train_step({'vae': update})

  assert networks.vae is not None
  encode = build.make_encode(apply.Apply(networks.vae, 'encode'))
  key = build.stage_key(seed, 'vae')
  validate = build.make_validate(
    _evaluated_loss(networks, config.vae.sigma_x, config.vae.beta), key
  )

  def evaluate(current: state.TrainState) -> dict[str, float]:
    params = current['vae'].params
    values = validate(params, {'image': held_out.images})
    mean, _ = encodings.in_batches(
      parallel.over_devices(lambda images: encode(params, images)),
      held_out.images,
      batch_size=config.generate.batch_size,
    )
    return values | {'active_units': float(metrics.active_units(mean))}

  return training_parts.Training(
    make_state(config, networks, data, replicate),
    make_step,
    {},
    row_batches.of_images(data, seed, config.vae.train.batch_size),
    evaluate,
    key,
  )
