"""Results that are no trainings: what they follow from, kept as JSON."""

import json
from collections.abc import Callable, Collection
from typing import Any

from etils import epath

from lcjax import errors
from lcjax.experiment import build, jobs, stage
from lcjax.training import checkpoints, provenance


def identity(job: jobs.Job, replicate: int) -> dict[str, Any]:
  """What tells the trainings of one replicate from any others.

  The digest of their parameters; for those from before there were digests,
  their wall time, which no second training repeats to the last digit.
  """
  found: dict[str, Any] = {}
  for one in stage.trainings(job.config):
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
  """What a result that is no training follows from, as JSON.

  Args:
    job: what to do.
    sections: of `RESULTS` that the result reads.
    replicate: which one.

  Returns:
    'config' (how many seeds and devices there are changes nothing in one
    replicate), 'trainings', and 'read' of the training and the held-out split.
  """
  config = stage.results_of(job.config) | {'seed': job.config.seed + replicate}
  for name in ('num_seeds', 'parallel', *RESULTS.difference(sections)):
    del config[name]
  # Samples alone, which nobody judges, start from images of the test split.
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
  """A JSON result from before, if it follows from the same config and data.

  Args:
    job: says whether another config's result may be overwritten.
    path: of a JSON object with the items of `key`.
    key: from `result_key`.
    check: raises ValueError, KeyError, TypeError or AttributeError for an
      object that is not such a result.
    replicate: which one the key is of.

  Returns:
    The object; None if it is missing, or follows from earlier trainings.

  Raises:
    UserError: the result follows from another config or other data, or is
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
      f'{path} is no result of a run ({type(error).__name__}: {error}): delete '
      'it, or --overwrite to make it again'
    ) from error
  if refused is not None:
    if job.overwrite:
      return None
    raise refused
  if provenance.is_unread(before, current):
    provenance.warn_unread(str(stage.root_of(job.workdir, replicate)))
  return found


def _follows_from(found: dict[str, dict[str, Any]]) -> dict[str, Any]:
  """Config and data of a result, as a training stores them."""
  return {**found['config'], provenance.READ: found.get(provenance.READ)}
