"""Trainings of ablations, and their grouping into ensembles."""

import functools
import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import ml_collections
import numpy as np
from etils import epath

from lcjax import errors, keys
from lcjax.experiment import jobs, stage, training_parts
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
    return training_parts.own_config(self.job.config, self.which)

  @property
  def title(self) -> str:
    """A name for error messages and progress bars."""
    seed = self.job.config.seed + self.replicate
    return f'{self.which.name} of {self.name} (seed {seed})'


def dependencies(task: Task) -> dict[str, Any]:
  """All inputs that determine a training's result, as JSON."""
  found = stage.follows_from(task.job, task.which, task.replicate)
  return json.loads(json.dumps(found))


def text(follows_from: Mapping[str, Any]) -> str:
  """Serialises a mapping as text; equal mappings give equal text."""
  return json.dumps(follows_from, sort_keys=True)


def identity(task: Task) -> str:
  """A text that is equal for trainings with the same result."""
  return text(dependencies(task))


def is_finished(task: Task) -> bool:
  """Whether the training in its folder is finished.

  Raises:
    UserError: the folder contains a training of another config or other data,
      or one that cannot be read, and the job's `overwrite` is False.
  """
  try:
    found = checkpoints.check_same_config(
      task.folder,
      dependencies(task),
      advice=stage.advice(task.job, task.replicate),
    )
  except errors.UserError:
    if not task.job.overwrite:
      raise
    return False  # will be replaced
  last = task.job.config[task.which.section].train.num_steps
  return found is not None and found[0] >= last


def _leaves(task: Task) -> dict[str, Any]:
  """Config values that the step or the training loop reads, by dotted key."""
  kept = stage.dependencies(task.job.config, task.which, task.replicate)
  del kept['seed']  # each member has its own key, state and batches
  if task.which is not stage.VAE and 'vae' in kept:
    # Later trainings read encodings; of the VAE only their size matters.
    kept['vae'] = {'latent_size': kept['vae']['latent_size']}
  kept[task.which.section] = task.config[task.which.section].to_dict()
  return keys.flatten(kept)


def _is_number(key: str, value: Any) -> bool:
  """Whether members of an ensemble may differ in this value of the config."""
  return isinstance(value, float) and '.arguments.' not in key


def _signature(task: Task) -> str:
  """A text that is equal for trainings that can form an ensemble."""
  found: dict[str, Any] = {'section': task.which.section}
  # Other data may have another kind of labels or other array sizes.
  found[provenance.READ] = dependencies(task)[provenance.READ]
  for key, value in _leaves(task).items():
    if not _is_number(key, value):
      found[key] = value
    elif key.endswith('.average_decay'):
      found[key] = value > 0  # whether the state holds an average
  return text(found)


def groups(tasks: Sequence[Task], limit: int) -> list[list[Task]]:
  """Groups trainings into ensembles, ordered by their first members.

  Args:
    tasks: all with different `identity`.
    limit: maximum number of members of a group.
  """
  found: dict[str, list[Task]] = {}
  for task in tasks:
    found.setdefault(_signature(task), []).append(task)
  return [
    same[start : start + limit]
    for same in found.values()
    for start in range(0, len(same), limit)
  ]


def numbers(group: Sequence[Task]) -> dict[str, np.ndarray]:
  """Config floats in which the M members differ: dotted key -> [M] values."""
  leaves = [_leaves(task) for task in group]
  return {
    key: np.asarray([own[key] for own in leaves], np.float32)
    for key, value in leaves[0].items()
    if _is_number(key, value) and any(own[key] != value for own in leaves)
  }


def with_numbers(
  config: ml_collections.ConfigDict, values: dict[str, Any]
) -> ml_collections.ConfigDict:
  """Copies the config and sets values, maybe tracers, by dotted key."""
  own = config.copy_and_resolve_references()
  with own.unlocked(), own.ignore_type():
    for key, value in values.items():
      *path, last = key.split('.')
      functools.reduce(lambda part, name: part[name], path, own)[last] = value
  return own
