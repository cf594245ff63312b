"""Validation images as the second judge sees them: what chooses settings."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np

from lcjax.data import dataset
from lcjax.evaluation import glossary, judging, metrics
from lcjax.experiment import build, jobs, loading, stage

_NUM_NEIGHBOURS = 5  # k of the recall
LEAST_ROWS = loading.LEAST_ROWS


class Validation(NamedTuple):
  """Validation images, as the second judge sees them.

  Attributes:
    data: of the split.
    predict_fn: the second judge.
    features: [N, F] of the images.
    score: `glossary.score_metric` of the images.
  """

  data: dataset.Dataset
  predict_fn: judging.PredictFn
  features: np.ndarray
  score: float

  def ask(self) -> tuple[dict[str, Any], np.ndarray]:
    """Target and row numbers of the images' own labels."""
    y = self.data.attributes
    return {'attributes': (y, np.ones_like(y))}, np.arange(len(y))

  def judge(self, images: np.ndarray) -> 'Judged':
    """What the second judge says of samples, one for each label of `ask`."""
    logits, features = self.predict_fn(images)
    return Judged(self, self.data.labels.predict(logits), features)


class Judged(NamedTuple):
  """Samples, as the second judge sees them.

  Attributes:
    against: the real images.
    predicted: [N, Y] decisions.
    features: [N, F].
  """

  against: Validation
  predicted: np.ndarray
  features: np.ndarray

  def scores(self, accepted: np.ndarray | None = None) -> dict[str, float]:
    """Score, Frechet distance and diversity; NaN if the features are.

    Args:
      accepted: [N] bool, samples that count, at least `LEAST_ROWS` of them;
        None for all.
    """
    data, rows = (
      self.against.data,
      slice(None) if accepted is None else accepted,
    )
    y, labels = data.attributes, data.labels
    scores = metrics.classification_scores(
      self.predicted[rows], y[rows], labels
    )
    own = self.features[rows]
    return {
      'score': scores[glossary.score_metric(labels.kind) or ''],
      'frechet': metrics.frechet_distance(own, self.against.features),
      'diversity': metrics.diversity(own, y[rows], self.against.features, y),
    }

  def recall(self) -> dict[str, float]:
    """k-NN recall, if there are enough samples."""
    if len(self.features) <= _NUM_NEIGHBOURS:
      return {}
    values = metrics.neighbour_values(
      self.features, self.against.features, _NUM_NEIGHBOURS
    )
    return {'knn_recall': float(values['knn_recall'].mean())}


_S = TypeVar('_S')
ScoresOf = Callable[[_S], Mapping[str, float]]


def as_accurate(
  found: Sequence[_S], least: float, scores_of: ScoresOf[_S]
) -> list[_S]:
  """Candidates of at least this score, or else those of the highest."""
  reached = min(least, max(scores_of(one)['score'] for one in found))
  return [one for one in found if scores_of(one)['score'] >= reached]


def least_frechet(found: Sequence[_S], scores_of: ScoresOf[_S]) -> _S:
  """The candidate of the least Frechet distance."""
  return min(found, key=lambda one: scores_of(one)['frechet'])


def load(job: jobs.Job, train: dataset.Dataset) -> Validation | None:
  """Restores the second judge; None if there are too few validation images."""
  data = build.load_data(job, 'validation')
  if len(data) < LEAST_ROWS:
    return None
  predict_fn, _ = loading.load_predict_fn(job, stage.SECOND_CLASSIFIER, train)
  logits, features = predict_fn(data.images)
  scores = metrics.classification_scores(
    data.labels.predict(logits), data.attributes, data.labels
  )
  name = glossary.score_metric(data.labels.kind)
  assert name is not None  # every data set here has labels
  return Validation(data, predict_fn, features, scores[name])
