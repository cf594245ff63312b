"""Rows of `config.alternatives`: other answers than a constrained VAE.

Each is a model that is trained for its row (`stage.ALTERNATIVES`), and judged
as every other row is.
"""

import functools
from collections.abc import Callable

from lcjax.data import dataset
from lcjax.evaluation import moving
from lcjax.experiment import (
  conditional,
  jobs,
  loading,
  prior_rows,
  stage,
  two_stage_row,
)

# (job, replicate, models of the replicate, training split) -> what makes a row
Maker = Callable[
  [jobs.Job, int, loading.BoundMovers, dataset.Dataset], moving.Contender
]

# By the name of the row; without a requested label, and with one. A contender
# returns `Moved` latents of the model of the run, or uint8 images [N, H, W, C]
# of its own.
UNLABELLED: dict[str, Maker] = {
  'gan': prior_rows.gan,
  'two_stage': two_stage_row.contender,
  'aae': prior_rows.aae,
}
LABELLED: dict[str, Maker] = {
  'conditional_vae': conditional.vae_contender,
  'conditional_gan': conditional.gan_contender,
}


def makers(
  job: jobs.Job,
  replicate: int,
  of: dict[str, Maker],
  bound: loading.BoundMovers,
  train: dataset.Dataset,
) -> dict[str, Callable[[], moving.Contender]]:
  """What makes the rows of `config.alternatives` that are in a table.

  Each raises UserError if its training is missing, with the command to run.

  Args:
    job: config and workdir of the run.
    replicate: index from 0.
    of: `UNLABELLED` or `LABELLED`.
    bound: models of the replicate.
    train: the training split.
  """
  return {
    name: functools.partial(of[name], job, replicate, bound, train)
    for name in stage.ALTERNATIVES
    if name in of and name in job.config.alternatives
  }
