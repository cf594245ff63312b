"""The row of a GAN's samples as they are, beside another model's."""

from typing import Any

import jax
import numpy as np

from lcjax.data import dataset
from lcjax.evaluation import moving
from lcjax.experiment import build, generator, jobs, loading, train_gan


def contender(
  job: jobs.Job,
  replicate: int,
  bound: loading.BoundMovers,
  train: dataset.Dataset,
) -> moving.Contender:
  """Decoded draws of the prior of a replicate's GAN."""
  del bound
  model, seconds = train_gan.load_model(job, train, replicate)
  decode = generator.bind(
    job.config, build.make_decode(model.decode_fn), model.params
  )

  def draw(
    start: Any, target: Any, rows: np.ndarray, key: jax.Array
  ) -> np.ndarray:
    del start, target
    return np.asarray(decode(model.draw_prior(rows, key)))

  return moving.Contender(draw, {'training_seconds': seconds})
