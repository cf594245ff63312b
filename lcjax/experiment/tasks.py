"""Which trainings there are to do, and which of them one program can hold."""

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
  """A training to be done.

  Attributes:
    name: of its ablation.
    job: of its ablation: a config, and a workdir of its own.
    which: its stage.
    replicate: which one, from 0.
  """

  name: str
  job: jobs.Job
  which: stage.Stage
  replicate: int

  @property
  def folder(self) -> epath.Path:
    """Where the finished training lies, as if it had been run alone."""
    return stage.folder_of(self.job.workdir, self.which, self.replicate)

  @property
  def config(self) -> ml_collections.ConfigDict:
    """The config with the stage's changes."""
    return training_parts.own_config(self.job.config, self.which)

  @property
  def title(self) -> str:
    """For the reader of an error or of a progress bar."""
    seed = self.job.config.seed + self.replicate
    return f'{self.which.name} of {self.name} (seed {seed})'


def dependencies(task: Task) -> dict[str, Any]:
  """All that a training's result follows from, as JSON stores it."""
  found = stage.follows_from(task.job, task.which, task.replicate)
  return json.loads(json.dumps(found))


def text(follows_from: Mapping[str, Any]) -> str:
  """The same text for the same mapping."""
  return json.dumps(follows_from, sort_keys=True)


def identity(task: Task) -> str:
  """The same text for trainings that have the same result."""
  return text(dependencies(task))


def is_finished(task: Task) -> bool:
  """Whether the training lies in its folder.

  Raises:
    UserError: one with another config, or of other data, does, and it may not
      be replaced.
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
    return False  # there is another, or none that could be read
  last = task.job.config[task.which.section].train.num_steps
  return found is not None and found[0] >= last


def _leaves(task: Task) -> dict[str, Any]:
  """Of the config by dotted key, what the step or the loop around it reads."""
  kept = stage.dependencies(task.job.config, task.which, task.replicate)
  del kept['seed']  # an argument of its own
  if task.which is not stage.VAE and 'vae' in kept:
    # Later trainings see encodings, whatever VAE has made them.
    kept['vae'] = {'latent_size': kept['vae']['latent_size']}
  kept[task.which.section] = task.config[task.which.section].to_dict()
  return keys.flatten(kept)


def _is_number(key: str, value: Any) -> bool:
  """Whether members of one program may differ in a leaf of the config."""
  return isinstance(value, float) and '.arguments.' not in key


def _signature(task: Task) -> str:
  """The same text for trainings that one program can hold."""
  found: dict[str, Any] = {'section': task.which.section}
  # Its labels may be of another kind, its arrays of another size.
  found[provenance.READ] = dependencies(task)[provenance.READ]
  for key, value in _leaves(task).items():
    if not _is_number(key, value):
      found[key] = value
    elif key.endswith('.average_decay'):
      found[key] = value > 0  # whether the state holds an average
  return text(found)


def groups(tasks: Sequence[Task], limit: int) -> list[list[Task]]:
  """Which trainings form an ensemble, in the order of their first ones.

  Args:
    tasks: no two of the same identity.
    limit: members of a group at most.
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
  """The floats of the config that members differ in, [M] by dotted key."""
  leaves = [_leaves(task) for task in group]
  return {
    key: np.asarray([own[key] for own in leaves], np.float32)
    for key, value in leaves[0].items()
    if _is_number(key, value) and any(own[key] != value for own in leaves)
  }


def with_numbers(
  config: ml_collections.ConfigDict, values: dict[str, Any]
) -> ml_collections.ConfigDict:
  """A copy of the config that holds tracers at some dotted keys."""
  own = config.copy_and_resolve_references()
  with own.unlocked(), own.ignore_type():
    for key, value in values.items():
      *path, last = key.split('.')
      functools.reduce(lambda part, name: part[name], path, own)[last] = value
  return own
