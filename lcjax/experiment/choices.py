"""What is chosen on the validation split, by the second judge.

These are the sizes and spreads of mixtures, and the settings of short walks.
Each choice is made once per replicate, stored with what it follows from, and
made again without --overwrite if that has changed, since it takes minutes at
most.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from etils import epath

from lcjax import types
from lcjax.data import dataset
from lcjax.experiment import (
  chosen_mixtures,
  files,
  fingerprint,
  jobs,
  loading,
  stage,
  validation,
  walks,
)

FOLDER = 'chosen'
MIXTURE_FILES = chosen_mixtures.FILES
_LEAST_TOLERANCE = 1e-6  # below, rounding decides


@dataclasses.dataclass(frozen=True)
class _HeldOut:
  """What the critics say of held-out encodings.

  Attributes:
    realism: [N] of D_realism.
    errors: [N] largest |y - D_attr| of a row of classes; of bits [N Y] each, as
      at most real rows one bit of many is wrong.
  """

  realism: np.ndarray
  errors: np.ndarray


def _ask_critics(job: jobs.Job, bound: loading.BoundCritics) -> _HeldOut:
  """Of validation rows; of training rows if there are too few of them."""
  found = loading.held_out(job, bound.latents, bound.train)
  z, y = found.sample(bound.seed), found.attributes
  errors = np.abs(y - bound.labels.probabilities(bound.attribute_critic(z)))
  if isinstance(bound.labels, types.Classes):
    errors = errors.max(axis=1)
  realism = jax.nn.sigmoid(bound.realism_critic(z))
  return _HeldOut(np.asarray(realism), errors.ravel())


def mixtures_key(job: jobs.Job, replicate: int) -> dict[str, Any]:
  """All that the mixtures of a replicate follow from, as stored."""
  return fingerprint.follows_from(job, stage.MIXTURES, replicate)


@dataclasses.dataclass(frozen=True)
class Choices:
  """What is chosen for one replicate; every part is made when first used.

  Attributes:
    job: config and workdir of the run.
    replicate: index from 0.
    bound: models of the replicate.
    train: the training split.
    make_walk: (setting, whether labels are requested) -> its mover, which
      starts where it is told to.
    make_accept: (choices) -> the test of rejection sampling.
  """

  job: jobs.Job
  replicate: int
  bound: loading.BoundCritics
  train: dataset.Dataset
  make_walk: walks.MakeWalk
  make_accept: Callable[['Choices'], walks.Accept]

  @property
  def _folder(self) -> epath.Path:
    return stage.root_of(self.job.workdir, self.replicate) / FOLDER

  @functools.cached_property
  def validation(self) -> validation.Validation | None:
    """What chooses."""
    return validation.load(self.job, self.train)

  @functools.cached_property
  def _held_out(self) -> _HeldOut:
    return _ask_critics(self.job, self.bound)

  def realism_above(self, quantile: float) -> float:
    """The value that D_realism exceeds at all but this share of real rows."""
    return float(np.quantile(self._held_out.realism, quantile))

  def tolerance(self, quantile: float) -> float:
    """What |y - D_attr| stays below at all but this share of real rows."""
    found = np.quantile(self._held_out.errors, 1.0 - quantile)
    return max(float(found), _LEAST_TOLERANCE)

  @property
  def _walks_key(self) -> dict[str, Any]:
    return fingerprint.follows_from(self.job, stage.WALKS, self.replicate)

  def _mixture(self, labelled: bool) -> chosen_mixtures.Chosen:
    return chosen_mixtures.load_or_fit(
      self._folder,
      mixtures_key(self.job, self.replicate),
      self.bound,
      self.job.config.mixture,
      self.validation,
      labelled,
    )

  @property
  def has_narrow(self) -> bool:
    """Whether narrow mixtures are among what is chosen; without fitting any."""
    return bool(self.job.config.mixture.narrow) and self.validation is not None

  @functools.cached_property
  def labelled(self) -> chosen_mixtures.Chosen:
    """The mixtures that draw requested labels."""
    return self._mixture(labelled=True)

  @functools.cached_property
  def unlabelled(self) -> chosen_mixtures.Chosen:
    """The mixtures of all encodings."""
    return self._mixture(labelled=False)

  @functools.cached_property
  def walks(self) -> walks.Walks:
    """The settings of the rows of short walks.

    Stored in `chosen.json` with all candidates and their scores. A config with
    a single value of each kind leaves nothing to choose: it pins the setting.
    Without validation images, the first candidate is taken.
    """
    section, real = self.job.config.walk, self.validation
    guided = walks.settings(section, guided=True)
    if real is None or len(guided) == 1:
      return walks.pinned(guided, walks.settings(section, guided=False))
    path, key = self._folder / 'chosen.json', self._walks_key
    stored = walks.read(path, key)
    if stored is not None:
      return stored
    # Before the clock of the search: fits have seconds of their own.
    draws = self.labelled.plain.draw, self.unlabelled.plain.draw
    found, report = walks.search(
      section,
      real,
      draws,
      self.make_walk,
      self.bound.decode,
      self.make_accept(self),
      self.bound.seed,
    )
    files.write_json(path, report | {walks.KEY: key})
    return found
