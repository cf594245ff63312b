"""A finished run that figures are made from, loaded lazily."""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from lcjax.data import dataset
from lcjax.evaluation import judging, paper_figures
from lcjax.experiment import build, choices, jobs, loading, movers, stage


class Drawn(NamedTuple):
  """A figure.

  Attributes:
    pictures: of it.
    numbers: the plotted numbers, as JSON.
    caption: Markdown, with the main numbers.
  """

  pictures: paper_figures.Pictures
  numbers: dict[str, Any]
  caption: str


@dataclasses.dataclass(frozen=True)
class LoadedRun:
  """The first replicate of a run; every part is loaded when first used.

  Attributes:
    job: config and workdir of the run.
  """

  job: jobs.Job

  @functools.cached_property
  def train(self) -> dataset.Dataset:
    """The training split."""
    return build.load_data(self.job, 'train')

  @functools.cached_property
  def test(self) -> dataset.Dataset:
    """The split that results are reported on."""
    return build.load_data(self.job, self.job.config.compare.split)

  @functools.cached_property
  def bound(self) -> loading.BoundMovers:
    """Every mover."""
    return loading.load_movers(self.job, 0, self.train)

  @functools.cached_property
  def chosen(self) -> choices.Choices:
    """What the second judge chose on validation images."""
    return movers.choices_of(self.job, 0, self.bound, self.train)

  @functools.cached_property
  def predict_fn(self) -> judging.PredictFn:
    """The judge of the split: uint8 images -> (logits, features)."""
    which = stage.judge_of(self.job.config)
    return loading.load_predict_fn(self.job, which, self.train)[0]

  @functools.cached_property
  def to_choose(self) -> 'LoadedRun':
    """The run on validation images, by their judge: to choose settings."""
    config = stage.with_values(self.job.config, {'compare.split': 'validation'})
    found = LoadedRun(self.job._replace(config=config))
    vars(found)['bound'] = self.bound  # not loaded twice
    return found

  @functools.cached_property
  def test_features(self) -> np.ndarray:
    """[N, F]: the judge's features of the held-out split."""
    return self.predict_fn(self.test.images)[1]

  def predict(self, images: np.ndarray) -> np.ndarray:
    """[B, Y] of 0 and 1: the judge's decisions."""
    return self.test.labels.predict(self.predict_fn(images)[0])


def pictured_actors(bound: loading.BoundMovers) -> list[str]:
  """The first two actors, the main one first: a page has room for no more."""
  return list(bound.actors)[:2]


def spaced(names: Sequence[str]) -> list[str]:
  """Names as shown in figures: Black_Hair becomes Black Hair."""
  return [name.replace('_', ' ') for name in names]
