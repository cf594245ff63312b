"""Samples as an independent classifier, the judge, sees them."""

from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol

import numpy as np

from lcjax import types
from lcjax.evaluation import intervals, metrics

Scores = dict[str, float]
# Samples [B, ...] -> the judge's (logits [B, Y], features [B, F]).
PredictFn = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]

# The distance to the nearest training image costs a pass over all of them per
# sample, so it is measured on this many; their median varies by a percent.
_NEAREST_ROWS = 2000


class Data(Protocol):
  """Real samples and their labels, such as a `dataset.Dataset`."""

  @property
  def images(self) -> np.ndarray:
    """[N, ...] samples, of any shape and dtype."""

  @property
  def attributes(self) -> np.ndarray:
    """[N, Y] of zeros and ones; Y = 0 without labels."""

  @property
  def labels(self) -> types.Labels | None:
    """What the attributes are; None without labels."""

  def __len__(self) -> int:
    """N."""


class Row(NamedTuple):
  """One row of the comparison table before it is judged.

  Attributes:
    images: [N, ...] samples, of the shape and dtype of the real ones.
    attributes: [N, Y] as requested, or None if none were.
    latents: [N, Z], or None for images without latents.
    scores: scores that do not need the judge.
    against_test: whether to compare with the held-out images; False for those
      images themselves.
    in_train: whether these are training images, whose nearest training image
      is the image itself.
  """

  images: np.ndarray
  attributes: np.ndarray | None
  latents: np.ndarray | None
  scores: Scores
  against_test: bool = True
  in_train: bool = False


class Judge(NamedTuple):
  """The judge, the real data, and their features.

  Attributes:
    predict_fn: samples -> (logits, features).
    train: the training split.
    test: the split that results are reported on.
    train_features: [N, F].
    test_features: [N, F].
    seconds: its training time.
    other_fn: another judge, as `predict_fn`, whose agreement is reported.
  """

  predict_fn: PredictFn
  train: Data
  test: Data
  train_features: np.ndarray
  test_features: np.ndarray
  seconds: float
  other_fn: PredictFn | None = None


def make_judge(
  predict_fn: PredictFn,
  train: Data,
  test: Data,
  seconds: float,
  other_fn: PredictFn | None = None,
) -> Judge:
  """Computes the judge's features of the real data once, for all rows."""
  train_features, test_features = (
    predict_fn(split.images)[1] for split in (train, test)
  )
  return Judge(
    predict_fn, train, test, train_features, test_features, seconds, other_fn
  )


def decisions(
  predict_fn: PredictFn, images: np.ndarray, labels: types.Labels
) -> np.ndarray:
  """[N, Y] of 0 and 1: what a judge decides on samples."""
  return labels.predict(predict_fn(images)[0])


def agreement(decided: np.ndarray, other: np.ndarray) -> float:
  """Share of rows of which two judges decide the same, all Y attributes."""
  return float(np.mean(np.all(decided == other, axis=1)))


class Judged(NamedTuple):
  """What is known of a row.

  Attributes:
    scores: metric -> value.
    drawn: metric -> array whose standard deviation is the standard error over
      images, see `intervals.Draws`; that of a difference is the one of the
      difference of two rows' arrays. Absent for scores that the row came with.
  """

  scores: Scores
  drawn: dict[str, np.ndarray]


def judge_row(
  judge: Judge,
  row: Row,
  num_neighbours: int,
  draws: intervals.Draws,
  frechet: intervals.Frechet,
) -> Judged:
  """All metrics of one row but the distance to training images.

  Args:
    judge: also knows the real data.
    row: samples and what was requested.
    num_neighbours: k of precision, recall, density and coverage.
    draws: of the bootstrap.
    frechet: distances to the test images, for all draws.
  """
  logits, features = judge.predict_fn(row.images)
  labels = judge.test.labels
  scores: Scores = {}
  drawn: dict[str, np.ndarray] = {}
  if labels is not None and row.attributes is not None:
    answers = labels.predict(logits) > 0.5, row.attributes > 0.5

    def classify(predicted: np.ndarray, requested: np.ndarray) -> Scores:
      return metrics.classification_scores(predicted, requested, labels)

    scores |= classify(*answers)
    drawn |= draws.apply(classify, *answers)
    right = answers[0] == answers[1]
    drawn['accuracy'] = draws.mean(
      right.all(axis=1)
      if isinstance(labels, types.Classes)
      else right.mean(axis=1)
    )
    spread = (
      features,
      row.attributes,
      judge.train_features,
      judge.train.attributes,
    )
    scores['diversity'] = metrics.diversity(*spread)
    drawn['diversity'] = draws.diversity(*spread)
  if labels is not None and judge.other_fn is not None:
    scores['judges_agree'] = agreement(
      labels.predict(logits), decisions(judge.other_fn, row.images, labels)
    )
  if row.against_test:
    scores['frechet'] = metrics.frechet_distance(features, judge.test_features)
    drawn['frechet'] = frechet(features)
    for name, values in metrics.neighbour_values(
      features, judge.test_features, num_neighbours
    ).items():
      scores[name] = float(values.mean())
      drawn[name] = draws.overlap(values)
  return Judged(scores | row.scores, drawn)


def judge_rows(
  judge: Judge, rows: Mapping[str, Row], num_neighbours: int
) -> dict[str, Judged]:
  """All metrics of every row, see `judge_row`.

  `nearest_train_ratio` compares distances to the nearest training image with
  those of held-out images: copies of training images are below 1.
  """
  draws = intervals.Draws(len(judge.test))
  frechet = intervals.Frechet(draws, judge.test_features)
  test_near = metrics.nearest_train_distances(
    judge.test.images[:_NEAREST_ROWS], judge.train.images
  )
  found = {}
  for name, row in rows.items():
    found[name] = judge_row(judge, row, num_neighbours, draws, frechet)
    if not row.in_train:
      near = metrics.nearest_train_distances(
        row.images[:_NEAREST_ROWS], judge.train.images
      )
      found[name].scores.update(_nearest_ratio(near, test_near))
      found[name].drawn.update(draws.apply(_nearest_ratio, near, test_near))
  return found


def _nearest_ratio(near: np.ndarray, test_near: np.ndarray) -> Scores:
  ratio = metrics.ratio(float(np.median(near)), float(np.median(test_near)))
  return {'nearest_train_ratio': ratio}


def requested_attributes(data: Data, num_rows: int) -> np.ndarray:
  """The split's own label vectors, repeated: [num_rows, Y].

  Every len(data) rows have exactly the joint frequencies of the split.
  """
  return data.attributes[np.arange(num_rows) % len(data)]
