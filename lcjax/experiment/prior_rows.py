"""Rows of another model's samples as they are, beside the model of the run."""

from typing import Any

import jax
import numpy as np

from lcjax.data import dataset
from lcjax.evaluation import moving
from lcjax.experiment import (
  build,
  generator,
  jobs,
  loading,
  train_aae,
  train_gan,
)
from lcjax.generators import latent_model


def _of_prior(
  job: jobs.Job, model: latent_model.LatentModel, seconds: float
) -> moving.Contender:
  """Decoded draws of a model's prior, as uint8 images."""
  decode = generator.bind(
    job.config, build.make_decode(model.decode_fn), model.params
  )

  def draw(
    start: Any, target: Any, rows: np.ndarray, key: jax.Array
  ) -> np.ndarray:
    del start, target
    return np.asarray(decode(model.draw_prior(rows, key)))

  return moving.Contender(draw, {'training_seconds': seconds})


def gan(
  job: jobs.Job,
  replicate: int,
  bound: loading.BoundMovers,
  train: dataset.Dataset,
) -> moving.Contender:
  """Samples of a replicate's GAN."""
  del bound
  return _of_prior(job, *train_gan.load_model(job, train, replicate))


def aae(
  job: jobs.Job,
  replicate: int,
  bound: loading.BoundMovers,
  train: dataset.Dataset,
) -> moving.Contender:
  """Samples of a replicate's adversarial autoencoder."""
  del bound
  return _of_prior(job, *train_aae.load_model(job, train, replicate))
