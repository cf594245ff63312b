"""Samples as an independent classifier, the judge, sees them."""

import dataclasses
import functools
from collections.abc import Mapping
from typing import NamedTuple, Protocol

import numpy as np

from lcjax import types
from lcjax.evaluation import features as features_lib
from lcjax.evaluation import intervals, judges, metrics
from lcjax.evaluation.judges import PredictFn

Scores = dict[str, float]

# The distance to the nearest training image costs a pass over all of them per
# sample, so it is measured on this many; their median varies by a percent.
_NEAREST_ROWS = 2000
# Recall in the second features is of so many, for a quarter of the time.
_RECALL_ROWS = 5000
_KERNEL_SUBSETS, _KERNEL_ROWS = 20, 1000
# The classifier of CAS: steps, and pixels of a side that it sees at most.
_CAS_PIXELS = 32


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


class Steps(NamedTuple):
  """Training steps of the networks that a comparison trains for itself.

  Attributes:
    features: of the second features' autoencoder.
    cas: of the classifier of each row, see `usefulness`.
  """

  features: int = 1000
  cas: int = 300


STEPS = Steps()


class Second(NamedTuple):
  """Features that share nothing with the judge.

  Attributes:
    space: their function, and its training time.
    train: [N, G] of the training split.
    test: [M, G] of the held-out split.
  """

  space: features_lib.Space
  train: np.ndarray
  test: np.ndarray


@dataclasses.dataclass(frozen=True)
class Judge:
  """The judge, the real data, and their features.

  Attributes:
    predict_fn: samples -> (logits, features).
    train: the training split.
    test: the split that results are reported on.
    train_features: [N, F].
    test_features: [N, F].
    seconds: its training time.
    other_fn: another judge, as `predict_fn`, whose agreement is reported.
    steps: of the comparison's own networks.
    progress: whether to show a bar while the second features are learned.
  """

  predict_fn: PredictFn
  train: Data
  test: Data
  train_features: np.ndarray
  test_features: np.ndarray
  seconds: float
  other_fn: PredictFn | None = None
  steps: Steps = STEPS
  progress: bool = False

  @functools.cached_property
  def second(self) -> Second:
    """The second features; learned when a row is judged for the first time."""
    space = features_lib.learn(
      self.train.images, self.steps.features, self.progress
    )
    train, test = (
      space.features_fn(split.images) for split in (self.train, self.test)
    )
    return Second(space, train, test)


def make_judge(
  predict_fn: PredictFn,
  train: Data,
  test: Data,
  seconds: float,
  other_fn: PredictFn | None = None,
  steps: Steps = STEPS,
  progress: bool = False,
) -> Judge:
  """Computes the judge's features of the real data once, for all rows.

  Args:
    predict_fn: of the judge.
    train: the training split.
    test: the split that results are reported on.
    seconds: the judge's training time.
    other_fn: another judge, whose agreement is reported.
    steps: see `Judge`.
    progress: see `Judge`.
  """
  train_features, test_features = (
    predict_fn(split.images)[1] for split in (train, test)
  )
  return Judge(
    predict_fn,
    train,
    test,
    train_features,
    test_features,
    seconds,
    other_fn,
    steps,
    progress,
  )


def decisions(
  predict_fn: PredictFn, images: np.ndarray, labels: types.Labels
) -> np.ndarray:
  """[N, Y] of 0 and 1: what a judge decides on samples."""
  return labels.predict(predict_fn(images)[0])


def agreement(decided: np.ndarray, other: np.ndarray) -> float:
  """Share of rows of which two judges decide the same, all Y attributes."""
  return float(np.mean(np.all(decided == other, axis=1)))


def common_rows(rows: Mapping[str, Row]) -> int:
  """The smallest number of samples of a row that is compared with test data.

  The Frechet distance depends on their number, so all rows have it at this one.
  """
  return min(len(row.images) for row in rows.values() if row.against_test)


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
  num_rows: int,
  draws: intervals.Draws,
  frechet: intervals.Frechet,
) -> Judged:
  """All metrics of one row in the judge's features.

  Args:
    judge: also knows the real data.
    row: samples and what was requested.
    num_neighbours: k of precision, recall, density and coverage.
    num_rows: see `common_rows`.
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
    real = judge.test_features
    scores['frechet'] = metrics.frechet_of_equal_size(features, real, num_rows)
    parts = metrics.equal_parts(features, num_rows)
    drawn['frechet'] = np.mean([frechet(part) for part in parts], axis=0)
    # Smaller subsets than there are rows: else, their spread would be 0.
    size = max(2, min(_KERNEL_ROWS, num_rows // 2))
    scores['kid'], scores['kid_std'] = metrics.kernel_distance(
      features, real, _KERNEL_SUBSETS, size, 0
    )
    for name, values in metrics.neighbour_values(
      features, real, num_neighbours
    ).items():
      scores[name] = float(values.mean())
      drawn[name] = draws.overlap(values)
  return Judged(scores | row.scores, drawn)


def usefulness(judge: Judge, row: Row, num_rows: int) -> Scores:
  """The score `cas` of a row with requested labels.

  A small classifier, fitted to the row's first samples alone, is tested on real
  test samples: the classification accuracy score of Ravuri & Vinyals,
  arXiv:1905.10887, with another classifier. Macro F1 for bits.

  Args:
    judge: knows the real data.
    row: samples and what was requested.
    num_rows: number of samples to fit, the same for all rows.
  """
  labels = judge.test.labels
  if labels is None or row.attributes is None or not row.against_test:
    return {}
  samples, real = row.images[:num_rows], judge.test.images
  if not np.isfinite(samples).all():
    return {'cas': float('nan')}
  if features_lib.are_pictures(real):
    samples, real = (
      features_lib.shrunk(part, _CAS_PIXELS) for part in (samples, real)
    )
  found = judges.train_classifier(
    samples, row.attributes[:num_rows], labels, False, judge.steps.cas
  )
  scores = metrics.classification_scores(
    labels.predict(found.predict_fn(real)[0]), judge.test.attributes, labels
  )
  name = 'accuracy' if isinstance(labels, types.Classes) else 'macro_f1'
  return {'cas': scores[name]}


def second_scores(
  judge: Judge,
  row: Row,
  num_neighbours: int,
  num_rows: int,
  test_near: float,
) -> Scores:
  """Metrics of one row in the features that share nothing with the judge.

  Args:
    judge: knows them, and the real data.
    row: samples.
    num_neighbours: k of recall.
    num_rows: see `common_rows`.
    test_near: median distance of test samples to the nearest training sample.
  """
  features, real = judge.second.space.features_fn(row.images), judge.second.test
  scores = {}
  if row.against_test:
    scores['second_frechet'] = metrics.frechet_of_equal_size(
      features, real, num_rows
    )
    recalled = metrics.neighbour_values(
      features[:_RECALL_ROWS], real[:_RECALL_ROWS], num_neighbours
    )['knn_recall']
    scores['second_knn_recall'] = float(recalled.mean())
  if not row.in_train:
    scores['authenticity'], near = metrics.authenticity(
      features[:_NEAREST_ROWS], judge.second.train
    )
    scores['second_nearest_train_ratio'] = metrics.ratio(near, test_near)
  return scores


def judge_rows(
  judge: Judge, rows: Mapping[str, Row], num_neighbours: int
) -> dict[str, Judged]:
  """All metrics of every row.

  `nearest_train_ratio` compares distances to the nearest training image with
  those of held-out images: copies of training images are below 1.
  """
  num_rows = common_rows(rows)
  draws = intervals.Draws(len(judge.test))
  frechet = intervals.Frechet(draws, judge.test_features)
  test_near = metrics.nearest_train_distances(
    judge.test.images[:_NEAREST_ROWS], judge.train.images
  )
  _, second_near = metrics.authenticity(
    judge.second.test[:_NEAREST_ROWS], judge.second.train
  )
  found = {}
  for name, row in rows.items():
    found[name] = judge_row(
      judge, row, num_neighbours, num_rows, draws, frechet
    )
    found[name].scores.update(
      usefulness(judge, row, num_rows)
      | second_scores(judge, row, num_neighbours, num_rows, second_near)
    )
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
