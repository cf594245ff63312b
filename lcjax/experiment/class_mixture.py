"""The denoiser's class mixture: fitted once per replicate, then cached."""

import time
from typing import Any, NamedTuple

import numpy as np
from etils import epath

from lcjax.experiment import fingerprint, jobs, stage, stored_fits
from lcjax.latent import encodings, mixtures

FOLDER = 'class_mixture'
FILE = 'mixture.npz'


class Fitted(NamedTuple):
  """A class mixture, and its fitting time in seconds."""

  mixture: mixtures.Mixture
  seconds: float


def fit_key(job: jobs.Job, replicate: int) -> dict[str, Any]:
  """All inputs that determine the fit, as stored."""
  key = fingerprint.follows_from(job, stage.CLASS_MIXTURE, replicate)
  trainings = key.pop(fingerprint.TRAININGS)
  return key | {f'trained_{name}': one for name, one in trainings.items()}


def _read(folder: epath.Path, key: dict[str, Any]) -> Fitted | None:
  arrays = stored_fits.read(folder / FILE, key)
  if arrays is None:
    return None
  mixture = mixtures.Mixture(*(arrays[n] for n in mixtures.Mixture._fields))
  return Fitted(mixture, float(arrays['seconds']))


def load_or_fit(
  job: jobs.Job, replicate: int, train: encodings.Encodings
) -> Fitted:
  """Loads the class mixture, or fits it to the encodings of each class.

  A stored fit of the same VAE, data and settings is reused. Any other is
  replaced without --overwrite, since a fit takes a minute at most.

  Args:
    job: config and workdir of the run.
    replicate: index from 0.
    train: encodings of the training split, with one class per row.
  """
  folder = stage.root_of(job.workdir, replicate) / FOLDER
  key = fit_key(job, replicate)
  found = _read(folder, key)
  if found is not None:
    return found
  count = job.config.mixture.denoiser_components
  print(f'class_mixture: fitting {count} components per class')
  started = time.perf_counter()
  z = train.sample(job.config.seed + replicate)
  mixture = mixtures.fit_classes(z, train.attributes, count, key['seed'])
  seconds = time.perf_counter() - started
  arrays = mixture._asdict() | {'seconds': np.array(seconds)}
  stored_fits.write(folder / FILE, key, arrays)
  return Fitted(mixture, seconds)


def for_denoiser(
  job: jobs.Job, replicate: int, train: encodings.Encodings
) -> Fitted | None:
  """The mixture that the guided denoiser uses, or None if it uses none."""
  if job.config.denoise.mixture_above >= 1.0:
    return None
  return load_or_fit(job, replicate, train)
