"""Trainings of ablations, and their grouping into ensembles."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import ml_collections
import numpy as np
from etils import epath

from lcjax import errors
from lcjax.experiment import fingerprint, jobs, stage
from lcjax.training import checkpoints, provenance


class Task(NamedTuple):
  """One training of one ablation.

  Attributes:
    name: of the ablation.
    job: of the ablation, with its own config and workdir.
    which: the stage.
    replicate: number of the replicate, from 0.
  """

  name: str
  job: jobs.Job
  which: stage.Stage
  replicate: int

  @property
  def folder(self) -> epath.Path:
    """Folder of the finished training; the same as if it is run alone."""
    return stage.folder_of(self.job.workdir, self.which, self.replicate)

  @property
  def config(self) -> ml_collections.ConfigDict:
    """The config with the stage's changes applied."""
    return stage.own_config(self.job.config, self.which)

  @property
  def title(self) -> str:
    """A name for error messages and progress bars."""
    seed = self.job.config.seed + self.replicate
    return f'{self.which.name} of {self.name} (seed {seed})'

  @property
  def follows_from(self) -> dict[str, Any]:
    """The fingerprint of its result."""
    return fingerprint.follows_from(self.job, self.which, self.replicate)

  @property
  def identity(self) -> str:
    """A text that is equal for trainings with the same result."""
    return fingerprint.text(self.follows_from)

  @property
  def advice(self) -> provenance.Advice:
    """Context for the error if a stored training does not match."""
    return fingerprint.advice(self.job, self.replicate)


def is_finished(task: Task) -> bool:
  """Whether the training in its folder is finished.

  Raises:
    UserError: the folder contains a training of another config or other data,
      or one that cannot be read, and the job's `overwrite` is False.
  """
  try:
    found = checkpoints.check_same_config(
      task.folder, task.follows_from, advice=task.advice
    )
  except errors.UserError:
    if not task.job.overwrite:
      raise
    return False  # will be replaced
  last = task.job.config[task.which.section].train.num_steps
  return found is not None and found[0] >= last


def groups(tasks: Sequence[Task], limit: int) -> list[list[Task]]:
  """Groups trainings into ensembles, ordered by their first members.

  Args:
    tasks: all with different `identity`.
    limit: maximum number of members of a group.
  """
  found: dict[str, list[Task]] = {}
  for task in tasks:
    found.setdefault(fingerprint.program(*task[1:])[0], []).append(task)
  return [
    same[start : start + limit]
    for same in found.values()
    for start in range(0, len(same), limit)
  ]


def numbers(group: Sequence[Task]) -> dict[str, np.ndarray]:
  """Config floats in which the M members differ: dotted key -> [M] values."""
  floats = [fingerprint.program(*task[1:])[1] for task in group]
  return {
    key: np.asarray([own[key] for own in floats], np.float32)
    for key, value in floats[0].items()
    if any(own[key] != value for own in floats)
  }
