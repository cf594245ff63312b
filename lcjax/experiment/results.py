"""Results other than trainings: JSON files with the inputs of each result."""

import json
from collections.abc import Callable, Collection
from typing import Any

from etils import epath

from lcjax import errors
from lcjax.experiment import build, jobs, stage
from lcjax.training import checkpoints, provenance


def identity(job: jobs.Job, replicate: int) -> dict[str, Any]:
  """Identifies the trainings that a replicate has now, by stage name.

  The value is the digest of the parameters, or None if there is no checkpoint.
  Older versions stored no digest; for their trainings it is the wall time,
  which is different, in its last digits, for every training.
  """
  found: dict[str, Any] = {}
  for one in stage.trainings(job.config):
    # All replicates share the classifier of the first one.
    at = replicate if one is not stage.CLASSIFIER else 0
    meta = checkpoints.latest_meta(stage.folder_of(job.workdir, one, at))
    found[one.name] = None
    if meta is not None:
      found[one.name] = meta[1].get('parameters', meta[1]['seconds'])
  return found


# Sections of the config that no training reads.
RESULTS = frozenset({'generate', 'compare', 'edit', 'figures'})


def result_key(
  job: jobs.Job, sections: Collection[str], replicate: int
) -> dict[str, dict[str, Any]]:
  """All inputs that determine a result, as JSON.

  Args:
    job: config and workdir of the run.
    sections: those of `RESULTS` that the result depends on.
    replicate: index from 0.

  Returns:
    'config', without the numbers of seeds and devices, which do not affect a
    replicate; 'trainings', see `identity`; and 'read', the digests of the
    training and the held-out split.
  """
  config = stage.results_of(job.config) | {'seed': job.config.seed + replicate}
  for name in ('num_seeds', 'parallel', *RESULTS.difference(sections)):
    del config[name]
  # A result that does not depend on `config.compare` uses the test split.
  split = job.config.compare.split if 'compare' in sections else 'test'
  return {
    'config': json.loads(json.dumps(config)),
    'trainings': identity(job, replicate),
    provenance.READ: build.digests(job, ('train', split)),
  }


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
    The object; None if it is missing, or was made from other trainings.

  Raises:
    UserError: the result was made with another config or other data, or is
      damaged.
  """
  if not path.exists():
    return None
  try:
    found = json.loads(path.read_text())
    before = _follows_from(found)
    if found['trainings'] != key['trainings']:
      return None
    current = _follows_from(key)
    refused = provenance.refusal(
      path, before, current, stage.advice(job, replicate)._replace(verb='made')
    )
    if refused is None:
      check(found)
  except (
    OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError
  ) as error:  # fmt: skip
    if job.overwrite:
      return None
    raise errors.UserError(
      f'{path} is not a result of a run ({type(error).__name__}: {error}): '
      'delete it, or --overwrite to make it again'
    ) from error
  if refused is not None:
    if job.overwrite:
      return None
    raise refused
  if provenance.is_unread(before, current):
    provenance.warn_unread(str(stage.root_of(job.workdir, replicate)))
  return found


def _follows_from(found: dict[str, dict[str, Any]]) -> dict[str, Any]:
  """Config and data digests of a result, in the format of a training."""
  return {**found['config'], provenance.READ: found.get(provenance.READ)}
