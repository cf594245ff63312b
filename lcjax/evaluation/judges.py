"""Judges for samples of any shape: trained here, or given by a user."""

import dataclasses
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from sklearn import decomposition, ensemble

from lcjax import errors, types
from lcjax.data import batches
from lcjax.evaluation import judging
from lcjax.latent import encodings
from lcjax.models import apply, classifier, networks
from lcjax.training import fit, objectives, optimizer_spec, steps

_BATCH_SIZE = 1024
_HIDDEN_SIZES = 256, 128
_ADAM = optimizer_spec.adam(1e-3)
_TRAIN_STEPS, _TRAIN_BATCH = 1000, 128
_NOISE = 0.3  # in standard deviations; a regulariser
_STATISTICS_ROWS = 10_000  # of training samples, for means and components
_MOST_COMPONENTS = 64
_NUM_TREES = 100


class Found(NamedTuple):
  """A judge: its function, what its features are, and its training time."""

  predict_fn: judging.PredictFn
  features: str
  seconds: float


def _some(samples: np.ndarray) -> np.ndarray:
  """Random samples, enough for their statistics."""
  rows = np.random.default_rng(0).permutation(len(samples))
  return samples[np.sort(rows[:_STATISTICS_ROWS])]


def _make_flatten(
  samples: np.ndarray,
) -> Callable[[np.ndarray], np.ndarray]:
  """Builds samples [B, ...] -> [B, D], float32 of mean 0 and variance 1.

  Columns of a table have a scale each; pixels share one, so that those that
  hardly vary are not blown up.
  """
  some = _some(samples)
  flat = some.reshape(len(some), -1).astype(np.float64)
  mean, std = flat.mean(axis=0), flat.std(axis=0)
  if samples.ndim > 2:
    std = np.sqrt(np.mean(np.square(std)))
  std = np.where(std > 0, std, 1.0)

  def flatten(x: np.ndarray) -> np.ndarray:
    rows = np.reshape(x, (len(x), -1)).astype(np.float32)
    return ((rows - mean) / std).astype(np.float32)

  return flatten


@dataclasses.dataclass(frozen=True)
class _Loss:
  """Cross-entropy of labels, of samples with noise."""

  classifier_fn: apply.Apply
  labels: types.Labels

  def __call__(
    self, params: Any, batch: steps.Batch, key: jax.Array
  ) -> tuple[jax.Array, steps.Metrics]:
    x = batch['sample']
    x += _NOISE * jax.random.normal(key, x.shape)
    logits, _ = self.classifier_fn(params, x)
    loss, accuracy = objectives.classification(
      logits, batch['attributes'], self.labels
    )
    return loss, {'loss': loss, 'accuracy': accuracy}


def train_classifier(
  train: judging.Data, labels: types.Labels, progress: bool
) -> Found:
  """Trains a small classifier of real samples."""
  started = time.perf_counter()
  flatten = _make_flatten(train.images)
  module = classifier.Classifier(len(labels), networks.Mlp(_HIDDEN_SIZES))
  classifier_fn = apply.Apply(module)
  init_key, step_key = jax.random.split(jax.random.key(0))

  def make_batches(step: int, count: int) -> dict[str, np.ndarray]:
    rows = batches.stacked_indices((0,), step, count, _TRAIN_BATCH, len(train))
    x = flatten(train.images[rows.reshape(-1)])
    return {
      'sample': x.reshape(*rows.shape, -1),
      'attributes': train.attributes[rows],
    }

  params = fit.fit_network(
    'judge',
    _Loss(classifier_fn, labels),
    module.init(init_key, jnp.asarray(flatten(train.images[:1]))),
    _ADAM,
    make_batches,
    step_key,
    _TRAIN_STEPS,
    progress,
  )
  apply_fn = jax.jit(classifier_fn)

  def predict_fn(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    logits, features = encodings.in_batches(
      lambda part: apply_fn(params, flatten(part)), x, batch_size=_BATCH_SIZE
    )
    return logits, features

  seconds = time.perf_counter() - started
  return Found(predict_fn, 'last hidden layer of the judge', seconds)


def fit_trees(train: judging.Data, labels: types.Labels) -> Found:
  """A judge of another kind, to hold the first against: random trees.

  Extremely randomised trees (Geurts et al. 2006), on some of the samples.
  """
  started = time.perf_counter()
  rows = np.random.default_rng(1).permutation(len(train))[:_STATISTICS_ROWS]
  classes = isinstance(labels, types.Classes)
  y = train.attributes[rows]
  if classes or len(labels) == 1:  # scikit-learn wants a single answer [N]
    y = y.argmax(axis=1) if classes else y[:, 0]
  trees = ensemble.ExtraTreesClassifier(_NUM_TREES, random_state=1)
  trees.fit(train.images[rows].reshape(len(rows), -1), y)

  def predict_fn(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    found = trees.predict(x.reshape(len(x), -1))
    if classes:
      found = np.eye(len(labels))[found]
    decided = found.reshape(len(x), len(labels)) - 0.5
    return decided, decided

  seconds = time.perf_counter() - started
  return Found(predict_fn, 'the decisions', seconds)


def fit_components(train: judging.Data) -> Found:
  """A judge without labels: its features are principal components."""
  started = time.perf_counter()
  flatten = _make_flatten(train.images)
  some = flatten(_some(train.images))
  pca = decomposition.PCA(min(_MOST_COMPONENTS, *some.shape), random_state=0)
  pca.fit(some)

  def predict_fn(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    features = pca.transform(flatten(x))
    return np.zeros((len(x), 0), np.float32), features

  seconds = time.perf_counter() - started
  count = pca.n_components_
  words = f'{count} principal components of training samples'
  return Found(predict_fn, words, seconds)


def check(
  judge: judging.PredictFn, labels: types.Labels | None, name: str = 'judge'
) -> Found:
  """A user's judge, called in batches; its shapes are checked.

  Args:
    judge: samples [B, ...] -> (logits [B, Y], features [B, F]).
    labels: of the data; without, logits are not looked at.
    name: of the argument, for errors.
  """

  def predict_part(part: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    found = judge(part)
    if not isinstance(found, tuple) or len(found) != 2:
      raise errors.UserError(
        f'{name}: it gives a {type(found).__name__}, it must be a tuple '
        '(logits, features)'
      )
    logits, features = found
    if labels is None:
      logits = np.zeros((len(part), 0), np.float32)
    wanted = len(part), 0 if labels is None else len(labels)
    if np.shape(logits) != wanted:
      raise errors.UserError(
        f'{name}: {len(part)} samples give logits of shape {np.shape(logits)}, '
        f'it must be {wanted}'
      )
    if np.ndim(features) != 2 or len(features) != len(part):
      raise errors.UserError(
        f'{name}: {len(part)} samples give features of shape '
        f'{np.shape(features)}, it must be ({len(part)}, F)'
      )
    return logits, features

  def predict_fn(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    size = min(_BATCH_SIZE, len(x))
    logits, features = encodings.in_batches(
      predict_part, x, batch_size=size, one_shape=True
    )
    return logits, features

  return Found(predict_fn, 'those that the given judge returns', 0.0)
