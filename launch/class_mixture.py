"""The mixture of classes in z: fitted once for a repetition, kept as a file."""

import json
import os
import time
import zipfile
from typing import Any, NamedTuple

import numpy as np
from etils import epath

from launch import results, stage, startup
from lcjax.evaluation import reports
from lcjax.latent import encodings, mixtures

FOLDER = 'class_mixture'


class Fitted(NamedTuple):
  """A mixture of classes, and the seconds that its fit took."""

  mixture: mixtures.Mixture
  seconds: float


def fit_key(job: startup.Job, repeat: int) -> dict[str, Any]:
  """What the fit follows from, as JSON."""
  found = stage.results_of(job.config)
  key = {name: found[name] for name in ('data', 'vae', 'mixture')}
  key['seed'] = job.config.seed + repeat
  key['vae_seconds'] = results.identity(job, repeat)[stage.VAE.name]
  return json.loads(json.dumps(key))


def is_fitted(folder: epath.Path, key: dict[str, Any]) -> bool:
  """Whether a folder holds the fit that follows from `key`."""
  try:
    return json.loads((folder / 'fit.json').read_text())['key'] == key
  except (OSError, ValueError, KeyError, TypeError):
    return False  # none, or one that was cut off while it was written


def load_or_fit(
  job: startup.Job, repeat: int, train: encodings.Encodings
) -> Fitted:
  """The mixture fitted to the encodings of every class.

  A fit of the same VAE and settings is read from the workdir; any other is
  replaced, since it takes a minute at most.

  Args:
    job: what to do.
    repeat: which repetition.
    train: encodings of the training split, one class each.
  """
  folder = stage.root_of(job.workdir, repeat) / FOLDER
  path, key = folder / 'mixture.npz', fit_key(job, repeat)
  try:
    found = json.loads((folder / 'fit.json').read_text())
    if found['key'] == key:
      with np.load(os.fspath(path)) as arrays:
        names = mixtures.Mixture._fields
        mixture = mixtures.Mixture(*(arrays[name] for name in names))
      return Fitted(mixture, found['seconds'])
  except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile):
    pass  # none yet, or one that was cut off while it was written
  count = job.config.mixture.num_components
  print(f'class_mixture: fitting {count} components to every class')
  started = time.perf_counter()
  z = train.sample(job.config.seed + repeat)
  mixture = mixtures.fit_classes(z, train.attributes, count, key['seed'])
  seconds = time.perf_counter() - started
  folder.mkdir(parents=True, exist_ok=True)
  # The key comes last: without it the arrays do not count.
  (folder / 'fit.json').unlink(missing_ok=True)
  np.savez(os.fspath(path), **mixture._asdict())
  reports.write_json(
    os.fspath(folder / 'fit.json'), {'key': key, 'seconds': seconds}
  )
  return Fitted(mixture, seconds)


def for_denoiser(
  job: startup.Job, repeat: int, train: encodings.Encodings
) -> Fitted | None:
  """The mixture that the guided denoiser takes, or None where it takes none."""
  if job.config.denoise.mixture_above >= 1.0:
    return None
  return load_or_fit(job, repeat, train)
