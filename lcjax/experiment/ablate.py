"""Trains seeds and ablations as ensembles; compares them in one table."""

import functools
import json
from collections.abc import Callable, Collection, Sequence
from typing import Any, NamedTuple

from etils import epath

from lcjax.experiment import (
  ablation_report,
  build,
  choices,
  class_mixture,
  compare,
  ensembles,
  files,
  memory,
  preflight,
  stage,
  stored_fits,
  tasks,
  train_rules,
  trainers,
)
from lcjax.experiment import jobs as jobs_lib
from lcjax.training import checkpoints, parallel


class Ablations(NamedTuple):
  """The ablations to run, as given by the flags.

  Attributes:
    workdir: folder that contains the workdirs of all ablations.
    lock: of `workdir`, if any.
    jobs: ablation -> its job.
    changes: ablation -> dotted config key -> value.
    command: the launcher command, shown in the report.
    sections: config sections of the only trainings to run, without a
      comparison; all trainings and the comparison if empty.
  """

  workdir: epath.Path
  lock: jobs_lib.Lock | None
  jobs: dict[str, jobs_lib.Job]
  changes: dict[str, dict[str, Any]]
  command: str
  sections: tuple[str, ...] = ()


def _wanted(
  jobs: dict[str, jobs_lib.Job], sections: Collection[str] = ()
) -> dict[str, list[tasks.Task]]:
  """Every training of every seed of every ablation, or some, by section."""
  wanted: dict[str, list[tasks.Task]] = {}
  for name, job in jobs.items():
    for which in stage.trainings(job.config, sections or None):
      for replicate in stage.replicates(job.config, which):
        task = tasks.Task(name, job, which, replicate)
        wanted.setdefault(which.section, []).append(task)
  return wanted


def check_memory(
  jobs: dict[str, jobs_lib.Job], limit: int, sections: Collection[str] = ()
) -> None:
  """Raises UserError if an ensemble that is to be trained cannot fit.

  Args:
    jobs: of the ablations, by name.
    limit: trainings in one program, at most.
    sections: of the trainings; all if empty.
  """
  found = []
  for those in _wanted(jobs, sections).values():
    fresh = {
      task.identity: task for task in those if not tasks.is_finished(task)
    }
    for group in tasks.groups(list(fresh.values()), limit):
      found.append((group, build.load_data(group[0].job, 'train')))
  with parallel.raising_together():
    for group, data in found:
      memory.check_ensemble(
        group[0].config,
        group[0].which.section,
        data,
        len(group),
        f'--max_ensemble={limit}',
      )


def train(
  workdir: epath.Path,
  jobs: dict[str, jobs_lib.Job],
  limit: int,
  sections: Collection[str] = (),
) -> None:
  """Trains every stage of every seed of every ablation.

  Args:
    workdir: folder that contains the workdirs of all ablations.
    jobs: ablation -> its job.
    limit: maximum number of trainings per compiled program.
    sections: of the trainings; all if empty.
  """
  wanted = _wanted(jobs, sections)
  inputs = trainers.Inputs()
  for section, those in wanted.items():
    ensembles.train(
      workdir / 'groups' / section,
      those,
      functools.partial(trainers.make_training, inputs),
      limit,
    )
  groups = workdir / 'groups'
  # Unfinished ensembles of other commands stay.
  if not list(groups.glob('*/*')):
    checkpoints.delete(groups)


def share_mixtures(jobs: dict[str, jobs_lib.Job]) -> None:
  """Copies mixtures that another ablation has already fitted or chosen."""
  _share(
    jobs, class_mixture.FOLDER, class_mixture.fit_key, [class_mixture.FILE]
  )
  _share(jobs, choices.FOLDER, choices.mixtures_key, choices.MIXTURE_FILES)


def _share(
  jobs: dict[str, jobs_lib.Job],
  folder: str,
  make_key: Callable[[jobs_lib.Job, int], dict[str, Any]],
  names: Sequence[str],
) -> None:
  """Copies stored fits to the ablations in which they have the same key."""
  fitted: dict[tuple[str, str], epath.Path] = {}
  missing: list[tuple[tuple[str, str], epath.Path]] = []
  for job in jobs.values():
    for replicate in range(job.config.num_seeds):
      key = make_key(job, replicate)
      for name in names:
        path = stage.root_of(job.workdir, replicate) / folder / name
        known = json.dumps(key), name
        if stored_fits.read(path, key) is not None:
          fitted[known] = path
        else:
          missing.append((known, path))
  for known, path in missing:
    if known in fitted:
      files.write(path, fitted[known].read_bytes())


def train_and_compare(asked: Ablations, limit: int) -> None:
  """Trains, compares and reports all ablations; skips finished work.

  Args:
    asked: the ablations.
    limit: maximum number of trainings per compiled program.
  """
  preflight.check_ablate_workdir(asked.workdir)
  for job in asked.jobs.values():
    if asked.sections:
      trainings = stage.trainings(job.config, asked.sections)
      preflight.check(job, trainings, judges=False)
    else:
      preflight.check_pipeline(job)
  check_memory(asked.jobs, limit, asked.sections)
  jobs_lib.claim(asked.workdir, asked.lock)
  files.write_json(asked.workdir / preflight.ABLATIONS, list(asked.jobs))
  ablation_report.check_logs(asked.jobs)
  train(asked.workdir, asked.jobs, limit, asked.sections)
  if asked.sections:
    ablation_report.write_states(asked.workdir, asked.jobs, asked.command)
    return
  for job in asked.jobs.values():
    compare.read(job)  # report damaged files before any judging
  for name, job in asked.jobs.items():
    print(f'ablate: judging {name}')
    share_mixtures(asked.jobs)
    train_rules.train_all(job)
    compare.compare_all(job)
  ablation_report.write(asked.workdir, asked.jobs, asked.changes, asked.command)
