"""Results other than trainings: JSON files with the inputs of each result."""

import json
from collections.abc import Callable
from typing import Any

from etils import epath

from lcjax import errors, keys
from lcjax.experiment import fingerprint, jobs, stage
from lcjax.experiment.fingerprint import READ, TRAININGS
from lcjax.training import provenance


def result_key(
  job: jobs.Job, node: stage.Node, replicate: int
) -> dict[str, dict[str, Any]]:
  """The fingerprint of a result, as its file stores it.

  Args:
    job: config and workdir of the run.
    node: the result.
    replicate: index from 0.

  Returns:
    'config', 'trainings' and 'read', of `fingerprint.follows_from`.
  """
  found = fingerprint.follows_from(job, node, replicate)
  beside = {key: found.pop(key) for key in (TRAININGS, READ)}
  return {'config': found} | beside


def stored(
  job: jobs.Job,
  path: epath.Path,
  key: dict[str, dict[str, Any]],
  check: Callable[[dict[str, Any]], None] = lambda found: None,
  replicate: int = 0,
) -> dict[str, Any] | None:
  """Reads a stored JSON result and checks that it is up to date.

  Args:
    job: config and workdir of the run; with `overwrite`, None is returned
      instead of raising an error.
    path: file of the result, a JSON object that includes the items of `key`.
    key: the current inputs, from `result_key`.
    check: raises ValueError, KeyError, TypeError or AttributeError if the
      object is not a valid result.
    replicate: index of the replicate that the result belongs to.

  Returns:
    The object; None if it is missing, was made from other trainings, or by an
    older version with settings that mean something else now.

  Raises:
    UserError: the result was made with another config or other data, or is
      damaged.
  """
  if not path.exists():
    return None
  try:
    found = json.loads(path.read_text())
    before = _follows_from(found)
    if found[TRAININGS] != key[TRAININGS] or keys.outdated(found['config']):
      return None
    provenance.check(
      stage.root_of(job.workdir, replicate),
      path,
      before,
      _follows_from(key),
      fingerprint.advice(job, replicate, 'made'),
    )
    check(found)
  except errors.UserError:
    if job.overwrite:
      return None
    raise
  except (
    OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError
  ) as error:  # fmt: skip
    if job.overwrite:
      return None
    raise errors.UserError(
      f'{path} is not a result of a run ({type(error).__name__}: {error}): '
      'delete it, or --overwrite to make it again'
    ) from error
  return found


def _follows_from(found: dict[str, dict[str, Any]]) -> dict[str, Any]:
  """Config and data digests of a result, in the format of a training."""
  return {**found['config'], READ: found.get(READ)}
