"""Samples as an independent classifier, the judge, sees them."""

import dataclasses
import functools
from collections.abc import Mapping
from typing import NamedTuple, Protocol

import jax.numpy as jnp
import numpy as np
import tqdm

from lcjax import types
from lcjax.evaluation import features as features_lib
from lcjax.evaluation import glossary, intervals, judges, metrics
from lcjax.evaluation import terms as terms_lib
from lcjax.evaluation.judges import PredictFn

Scores = dict[str, float]

# The distance to the nearest training image costs a pass over all of them per
# sample, so it is measured on this many; their median varies by a percent.
_NEAREST_ROWS = 2000
# Recall in the second features is of so many, for a quarter of the time.
_RECALL_ROWS = 5000
_LEAST_SATISFYING = 10  # test samples that a Frechet distance is to
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
    progress: whether to show bars.
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


class Shared(NamedTuple):
  """What all rows of a table are judged with.

  Attributes:
    num_neighbours: k of precision, recall, density and coverage.
    num_rows: see `common_rows`.
    draws: of the bootstrap.
    frechet: distances to the test images, for all draws.
    second_frechet: the same in the second features.
    near: [M] distances of test images to the nearest training image.
    second_near: the same in the second features.
    terms: of a constraint, that rows are judged by, too; None for none.
    satisfying: [K, F] features of the test samples that satisfy it; None if
      that is not known, or there are too few.
  """

  num_neighbours: int
  num_rows: int
  draws: intervals.Draws
  frechet: intervals.Frechet
  second_frechet: intervals.Frechet
  near: np.ndarray
  second_near: np.ndarray
  terms: terms_lib.Terms | None = None
  satisfying: np.ndarray | None = None


def judge_row(judge: Judge, row: Row, shared: Shared) -> Judged:
  """All metrics of one row in the judge's features."""
  logits, features = judge.predict_fn(row.images)
  labels, draws = judge.test.labels, shared.draws
  scores: Scores = {}
  drawn: dict[str, np.ndarray] = {}
  if labels is not None and row.attributes is not None:
    found = _classified(labels.predict(logits), row.attributes, labels, draws)
    scores |= found.scores
    drawn |= found.drawn
    spread = (
      features,
      row.attributes,
      judge.train_features,
      judge.train.attributes,
    )
    scores['diversity'] = metrics.diversity(*spread)
    drawn['diversity'] = draws.diversity(*spread)
  if shared.terms is not None:
    predicted = None if labels is None else labels.predict(logits)
    for term, met in shared.terms.met(
      row.images, predicted, row.attributes, row.latents
    ).items():
      scores[f'{glossary.MET}{term}'] = float(met.mean())
      drawn[f'{glossary.MET}{term}'] = draws.mean(met)
  if labels is not None and judge.other_fn is not None:
    scores['judges_agree'] = agreement(
      labels.predict(logits), decisions(judge.other_fn, row.images, labels)
    )
  if row.against_test:
    real, num_rows = judge.test_features, shared.num_rows
    scores['frechet'] = metrics.frechet_of_equal_size(features, real, num_rows)
    drawn['frechet'] = _drawn_frechet(shared.frechet, features, num_rows)
    if shared.satisfying is not None:
      scores['frechet_satisfying'] = metrics.frechet_of_equal_size(
        features, shared.satisfying, num_rows
      )
    # Smaller subsets than there are rows: else, their spread would be 0.
    size = max(2, min(_KERNEL_ROWS, num_rows // 2))
    scores['kid'], scores['kid_std'] = metrics.kernel_distance(
      features, real, _KERNEL_SUBSETS, size, 0
    )
    for name, values in metrics.neighbour_values(
      features, real, shared.num_neighbours
    ).items():
      scores[name] = float(values.mean())
      drawn[name] = draws.overlap(values)
  return Judged(scores | row.scores, drawn)


def _classified(
  predicted: np.ndarray,
  requested: np.ndarray,
  labels: types.Labels,
  draws: intervals.Draws,
) -> Judged:
  """`metrics.classification_scores` and their draws."""
  answers = np.asarray(predicted) > 0.5, np.asarray(requested) > 0.5

  def classify(predicted: np.ndarray, requested: np.ndarray) -> Scores:
    return metrics.classification_scores(predicted, requested, labels)

  drawn = draws.apply(classify, *answers)
  right = answers[0] == answers[1]
  classes = isinstance(labels, types.Classes)
  drawn['accuracy'] = draws.mean(
    right.all(axis=1) if classes else right.mean(axis=1)
  )
  return Judged(classify(*answers), drawn)


def _drawn_frechet(
  frechet: intervals.Frechet, features: np.ndarray, num_rows: int
) -> np.ndarray:
  """`metrics.frechet_of_equal_size` of every draw."""
  parts = metrics.equal_parts(features, num_rows)
  return np.mean([frechet(part) for part in parts], axis=0)


def usefulness(judge: Judge, row: Row, shared: Shared) -> Judged:
  """The score `cas` of a row with requested labels.

  A small classifier, fitted to the row's first samples alone, is tested on real
  test samples: the classification accuracy score of Ravuri & Vinyals,
  arXiv:1905.10887, with another classifier. Macro F1 for bits.
  """
  labels, num_rows = judge.test.labels, shared.num_rows
  if labels is None or row.attributes is None or not row.against_test:
    return Judged({}, {})
  samples, real = row.images[:num_rows], judge.test.images
  if not np.isfinite(samples).all():
    return Judged({'cas': float('nan')}, {})
  if features_lib.are_pictures(real):
    samples, real = (
      features_lib.shrunk(part, _CAS_PIXELS) for part in (samples, real)
    )
  fitted = judges.train_classifier(
    samples, row.attributes[:num_rows], labels, False, judge.steps.cas
  )
  predicted = labels.predict(fitted.predict_fn(real)[0])
  found = _classified(predicted, judge.test.attributes, labels, shared.draws)
  name = 'accuracy' if isinstance(labels, types.Classes) else 'macro_f1'
  return Judged({'cas': found.scores[name]}, {'cas': found.drawn[name]})


def second_scores(judge: Judge, row: Row, shared: Shared) -> Judged:
  """Metrics of one row in the features that share nothing with the judge."""
  features, real = judge.second.space.features_fn(row.images), judge.second.test
  scores: Scores = {}
  drawn: dict[str, np.ndarray] = {}
  if row.against_test:
    scores['second_frechet'] = metrics.frechet_of_equal_size(
      features, real, shared.num_rows
    )
    drawn['second_frechet'] = _drawn_frechet(
      shared.second_frechet, features, shared.num_rows
    )
    recalled = metrics.neighbour_values(
      features[:_RECALL_ROWS], real[:_RECALL_ROWS], shared.num_neighbours
    )['knn_recall']
    scores['second_knn_recall'] = float(recalled.mean())
    drawn['second_knn_recall'] = shared.draws.overlap(recalled)
  if not row.in_train:
    authentic, near = metrics.authenticity(
      features[:_NEAREST_ROWS], judge.second.train
    )
    scores['authenticity'] = float(authentic.mean())
    drawn['authenticity'] = shared.draws.mean(authentic)
    name, pair = 'second_nearest_train_ratio', (near, shared.second_near)
    scores[name] = _nearest_ratio(*pair)['ratio']
    drawn[name] = shared.draws.apply(_nearest_ratio, *pair)['ratio']
  return Judged(scores, drawn)


def _nearest_scores(judge: Judge, row: Row, shared: Shared) -> Judged:
  """`nearest_train_ratio`: copies of training images are below 1."""
  if row.in_train:
    return Judged({}, {})
  near = metrics.nearest_train_distances(
    row.images[:_NEAREST_ROWS], judge.train.images
  )
  name, pair = 'nearest_train_ratio', (near, shared.near)
  return Judged(
    {name: _nearest_ratio(*pair)['ratio']},
    {name: shared.draws.apply(_nearest_ratio, *pair)['ratio']},
  )


def _nearest_ratio(near: np.ndarray, test_near: np.ndarray) -> Scores:
  """Median distance over that of held-out images."""
  pair = float(np.median(near)), float(np.median(test_near))
  return {'ratio': metrics.ratio(*pair)}


def satisfying(data: Data, terms: terms_lib.Terms) -> np.ndarray | None:
  """[N]: which real samples satisfy a constraint, by their own labels.

  None if nobody can say.
  """
  y = None if data.labels is None else data.attributes
  return terms.met(data.images, y, y, None).get(terms_lib.JOINTLY)


def share(
  judge: Judge,
  rows: Mapping[str, Row],
  num_neighbours: int,
  terms: terms_lib.Terms | None = None,
) -> Shared:
  """Computes what all rows of a table are judged with."""
  draws = intervals.Draws(len(judge.test))
  found = None if terms is None else satisfying(judge.test, terms)
  enough = found is not None and found.sum() >= _LEAST_SATISFYING
  return Shared(
    num_neighbours,
    common_rows(rows),
    draws,
    intervals.Frechet(draws, judge.test_features),
    intervals.Frechet(draws, judge.second.test),
    metrics.nearest_train_distances(
      judge.test.images[:_NEAREST_ROWS], judge.train.images
    ),
    metrics.authenticity(judge.second.test[:_NEAREST_ROWS], judge.second.train)[
      1
    ],
    terms,
    judge.test_features[found] if enough else None,
  )


def judge_rows(
  judge: Judge,
  rows: Mapping[str, Row],
  num_neighbours: int,
  terms: terms_lib.Terms | None = None,
) -> dict[str, Judged]:
  """All metrics of every row, also of the terms of a constraint."""
  shared = share(judge, rows, num_neighbours, terms)
  found = {}
  bar = tqdm.tqdm(
    rows.items(), 'judging', leave=False, disable=not judge.progress
  )
  for name, row in bar:
    bar.set_postfix_str(name)
    found[name] = Judged({}, {})
    every = judge_row, usefulness, second_scores, _nearest_scores
    for part in every[:1] if name == glossary.REAL_SATISFYING else every:
      one = part(judge, row, shared)
      found[name].scores.update(one.scores)
      found[name].drawn.update(one.drawn)
  return found


def least_agreement(
  logits: np.ndarray, y: np.ndarray, labels: types.Labels
) -> np.ndarray:
  """Lowest probability [B] of a requested value; of the class, for classes."""
  held = np.asarray(labels.probabilities(jnp.asarray(logits)))
  if isinstance(labels, types.Classes):
    return np.sum(held * y, axis=1)
  return np.min(np.where(y > 0.5, held, 1.0 - held), axis=1)


def requested_attributes(data: Data, num_rows: int) -> np.ndarray:
  """The split's own label vectors, repeated: [num_rows, Y].

  Every len(data) rows have exactly the joint frequencies of the split.
  """
  return data.attributes[np.arange(num_rows) % len(data)]
