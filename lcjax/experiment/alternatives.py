"""Rows of `config.alternatives`: other answers than a constrained VAE.

Each is a model that is trained for its row (`stage.ALTERNATIVES`), and judged
as every other row is.
"""

from collections.abc import Callable

from lcjax.data import dataset
from lcjax.evaluation import moving
from lcjax.experiment import jobs, loading, stage

# (job, replicate, models of the replicate, training split) -> what makes a row
Maker = Callable[
  [jobs.Job, int, loading.BoundMovers, dataset.Dataset], moving.Contender
]

# By the name of the row; without a requested label, and with one. A contender
# returns `Moved` latents of the model of the run, or uint8 images [N, H, W, C]
# of its own.
UNLABELLED: dict[str, Maker] = {}
LABELLED: dict[str, Maker] = {}


def contenders(
  makers: dict[str, Maker],
  job: jobs.Job,
  replicate: int,
  bound: loading.BoundMovers,
  train: dataset.Dataset,
) -> dict[str, moving.Contender]:
  """The rows of `config.alternatives` that are among the makers.

  Args:
    makers: `UNLABELLED` or `LABELLED`.
    job: config and workdir of the run.
    replicate: index from 0.
    bound: models of the replicate.
    train: the training split.

  Raises:
    UserError: a training is missing; gives the command to run.
  """
  return {
    name: makers[name](job, replicate, bound, train)
    for name in stage.ALTERNATIVES
    if name in makers and name in job.config.alternatives
  }
