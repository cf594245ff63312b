"""The row of a second VAE's samples: latents of the run's own VAE."""

import jax
import numpy as np

from lcjax.constraints import base as constraints
from lcjax.data import dataset
from lcjax.evaluation import moving
from lcjax.experiment import binding, jobs, loading, train_two_stage
from lcjax.generators import two_stage
from lcjax.movers import wrappers


def contender(
  job: jobs.Job,
  replicate: int,
  bound: loading.BoundMovers,
  train: dataset.Dataset,
) -> moving.Contender:
  """Latents drawn by a replicate's second VAE."""
  del bound
  model, seconds = train_two_stage.load_model(job, train, replicate)
  latents = two_stage.Latents(train_two_stage.build_module(job.config))
  to_first = binding.bind(job.config, jax.jit(latents), model.params)

  def draw(
    target: constraints.Target, rows: np.ndarray, key: jax.Array
  ) -> np.ndarray:
    del target
    return np.asarray(to_first(model.draw_prior(rows, key)))

  return moving.Contender(
    wrappers.start_at(draw, wrappers.stay()),
    {'training_seconds': seconds['two_stage']},
  )
