"""Rows of `config.alternatives`: other answers than a constrained VAE.

Each is a model that is trained for its row (`stage.ALTERNATIVES`), and judged
as every other row is.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from lcjax.constraints import base
from lcjax.data import dataset
from lcjax.evaluation import moving
from lcjax.experiment import (
  build,
  generator,
  jobs,
  stage,
  train_aae,
  train_conditional_vae,
  train_gan,
  train_two_stage,
)
from lcjax.generators import conditional
from lcjax.latent import noise
from lcjax.models import apply
from lcjax.models import conditional as models
from lcjax.movers import wrappers

# (job, replicate, training split) -> what makes a row
Maker = Callable[[jobs.Job, int, dataset.Dataset], moving.Contender]


def _of_prior(
  load_model: generator.LoadModel,
  job: jobs.Job,
  replicate: int,
  train: dataset.Dataset,
) -> moving.Contender:
  """Decoded draws of another model's prior, as uint8 images."""
  model, seconds = load_model(job, train, replicate)
  decode = generator.bind(
    job.config, build.make_decode(model.decode_fn), model.params
  )

  def draw(
    start: Any, target: Any, rows: np.ndarray, key: jax.Array
  ) -> np.ndarray:
    del start, target
    return np.asarray(decode(model.draw_prior(rows, key)))

  return moving.Contender(draw, {'training_seconds': sum(seconds.values())})


def _two_stage(
  job: jobs.Job, replicate: int, train: dataset.Dataset
) -> moving.Contender:
  """Draws of the second stage, as latents of the replicate's VAE."""
  to_first, size, seconds = train_two_stage.load_move(job, train, replicate)

  def draw(target: base.Target, rows: np.ndarray, key: jax.Array) -> np.ndarray:
    del target
    return np.asarray(to_first(noise.draw(key, rows, size)))

  return moving.Contender(
    wrappers.start_at(draw, wrappers.stay()), {'training_seconds': seconds}
  )


def _mean_image(
  module: models.ConditionalVae, z: jax.Array, y: jax.Array
) -> jax.Array:
  return jax.nn.sigmoid(module.decode(z, y))


def _conditional_vae(
  job: jobs.Job, replicate: int, train: dataset.Dataset
) -> moving.Contender:
  """Means of p(x|z, y), z from N(0, I)."""
  found = train_conditional_vae.load(job, train, replicate)
  module = train_conditional_vae.build_module(job.config, train)
  params = found.state['conditional_vae'].params
  return _conditional(
    job,
    stage.CONDITIONAL_VAE,
    apply.Apply(module, _mean_image),
    params,
    found.seconds,
  )


def _conditional_gan(
  job: jobs.Job, replicate: int, train: dataset.Dataset
) -> moving.Contender:
  """g(z, y), z from N(0, I)."""
  which = stage.CONDITIONAL_GAN
  module, params, seconds = train_gan.load(job, which, train, replicate)
  return _conditional(job, which, apply.Apply(module), params, seconds)


def _conditional(
  job: jobs.Job,
  which: stage.Stage,
  decode_fn: apply.Apply,
  params: Any,
  seconds: float,
) -> moving.Contender:
  decode = generator.bind(job.config, build.make_decode(decode_fn), params)
  size = job.config[which.section].latent_size
  return moving.Contender(
    conditional.Conditional(decode, size), {'training_seconds': seconds}
  )


# By the name of the row; without a requested label, and with one. A contender
# returns `Moved` latents of the model of the run, or uint8 images [N, H, W, C]
# of its own.
UNLABELLED: dict[str, Maker] = {
  'gan': functools.partial(_of_prior, train_gan.load_model),
  'two_stage': _two_stage,
  'aae': functools.partial(_of_prior, train_aae.load_model),
}
LABELLED: dict[str, Maker] = {
  'conditional_vae': _conditional_vae,
  'conditional_gan': _conditional_gan,
}


def makers(
  job: jobs.Job, replicate: int, of: dict[str, Maker], train: dataset.Dataset
) -> dict[str, Callable[[], moving.Contender]]:
  """What makes the rows of `config.alternatives` that are in a table.

  Each raises UserError if its training is missing, with the command to run.

  Args:
    job: config and workdir of the run.
    replicate: index from 0.
    of: `UNLABELLED` or `LABELLED`.
    train: the training split.
  """
  return {
    name: functools.partial(of[name], job, replicate, train)
    for name in stage.ALTERNATIVES
    if name in of and name in job.config.alternatives
  }
