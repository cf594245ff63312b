"""What every figure is made from, loaded when first needed, and gives."""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from lcjax.data import dataset
from lcjax.evaluation import figures, judging
from lcjax.experiment import build, jobs, loading, rows


class Drawn(NamedTuple):
  """A figure.

  Attributes:
    pictures: of it.
    numbers: behind it, as JSON.
    caption: Markdown, with the numbers that matter.
  """

  pictures: figures.Pictures
  numbers: dict[str, Any]
  caption: str


@dataclasses.dataclass(frozen=True)
class LoadedRun:
  """One run, its first replicate.

  Attributes:
    job: what to do.
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
  def predict_fn(self) -> judging.PredictFn:
    """The judge: uint8 images -> (logits, features)."""
    return rows.load_predict_fn(self.job, self.train)[0]

  @functools.cached_property
  def test_features(self) -> np.ndarray:
    """[N, F]: the held-out split as the judge sees it."""
    return self.predict_fn(self.test.images)[1]

  def predict(self, images: np.ndarray) -> np.ndarray:
    """[B, Y] of 0 and 1: what the judge says holds."""
    return self.test.labels.predict(self.predict_fn(images)[0])


def pictured_actors(bound: loading.BoundMovers) -> list[str]:
  """The actors that a page of images has room for: two, the main one first."""
  return list(bound.actors)[:2]


def spaced(names: Sequence[str]) -> list[str]:
  """Names as labels: Black_Hair becomes Black Hair."""
  return [name.replace('_', ' ') for name in names]
