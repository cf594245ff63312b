"""The row of latents that a second VAE draws, for the VAE of the run."""

import jax
import numpy as np

from lcjax.constraints import base
from lcjax.data import dataset
from lcjax.evaluation import moving
from lcjax.experiment import jobs, loading, train_two_stage
from lcjax.latent import noise
from lcjax.movers import wrappers


def contender(
  job: jobs.Job,
  replicate: int,
  bound: loading.BoundMovers,
  train: dataset.Dataset,
) -> moving.Contender:
  """Draws of the second stage, as latents of the replicate's VAE."""
  del bound
  to_first, size, seconds = train_two_stage.load_move(job, train, replicate)

  def draw(target: base.Target, rows: np.ndarray, key: jax.Array) -> np.ndarray:
    del target
    return np.asarray(to_first(noise.draw(key, rows, size)))

  return moving.Contender(
    wrappers.start_at(draw, wrappers.stay()), {'training_seconds': seconds}
  )
