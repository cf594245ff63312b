"""How the adversarial trainings of a run went, for terminal and reports."""

from collections.abc import Mapping
from typing import Any

import jax
from etils import epath

from lcjax.experiment import jobs as jobs_lib
from lcjax.experiment import stage
from lcjax.training import metrics_log, watch


def tell(title: str, folder: epath.Path) -> None:
  """Prints the state of a finished training in one line, if it has one."""
  if jax.process_index() == 0:
    found = watch.judge(metrics_log.read(folder))
    if found is not None:
      print(f'{title}: {found.state}: {found.evidence}')


def states(job: jobs_lib.Job) -> list[dict[str, Any]]:
  """The states of all trainings of a run that have one.

  Returns:
    Of each: 'name' of the training, 'seed', 'state' and 'evidence'.
  """
  found = []
  for which in stage.trainings(job.config):
    for replicate in stage.replicates(job.config, which):
      folder = stage.folder_of(job.workdir, which, replicate)
      verdict = watch.judge(metrics_log.read(folder))
      if verdict is not None:
        found.append(
          {
            'name': which.name,
            'seed': job.config.seed + replicate,
            'state': verdict.state,
            'evidence': verdict.evidence,
          }
        )
  return found


def logs(jobs: Mapping[str, jobs_lib.Job]) -> dict[str, list[dict[str, Any]]]:
  """The logs of the first seed's trainings that have a state, by their titles.

  Args:
    jobs: by the name of their ablation.
  """
  found = {}
  for name, job in jobs.items():
    for which in stage.trainings(job.config):
      records = metrics_log.read(stage.folder_of(job.workdir, which, 0))
      if watch.judge(records) is not None:
        several = which is not stage.ACTOR_CRITIC
        found[f'{name}, {which.name}' if several else name] = records
  return found
