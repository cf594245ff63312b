"""The rows of the comparison: who made them, and what the judge says."""

import functools
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import ml_collections
import numpy as np

from lcjax import types
from lcjax.data import dataset
from lcjax.evaluation import metrics
from lcjax.experiment import (
  build,
  class_mixture,
  jobs,
  loading,
  movers,
  train_classifier,
)
from lcjax.latent import encodings, mixtures, samplers
from lcjax.training import parallel

Scores = dict[str, float]
# uint8 images -> the judge's (logits, features)
PredictFn = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


class Row(NamedTuple):
  """One row of the table before it is judged.

  Attributes:
    images: [N, H, W, C] uint8.
    attributes: [N, Y] as requested, or None where none were.
    latents: [N, Z], or None for images that have none.
    scores: what is known besides the judge's view.
    against_test: whether to compare with the held-out images; not those
      images with themselves.
  """

  images: np.ndarray
  attributes: np.ndarray | None
  latents: np.ndarray | None
  scores: Scores
  against_test: bool = True


class Judge(NamedTuple):
  """The judge, and real data as it sees them.

  Attributes:
    predict_fn: uint8 images -> (logits, features).
    train: the training split.
    test: the split that results are reported on.
    train_features: [N, F].
    test_features: [N, F].
    seconds: of its training.
  """

  predict_fn: PredictFn
  train: dataset.Dataset
  test: dataset.Dataset
  train_features: np.ndarray
  test_features: np.ndarray
  seconds: float


def load_predict_fn(
  job: jobs.Job, train: dataset.Dataset
) -> tuple[PredictFn, float]:
  """Restores the classifier: its predict_fn, and its seconds."""
  config = job.config
  networks = build.build_networks(config, train)
  found = train_classifier.load(job, networks, train)
  fn = build.make_judge(networks)
  params = found.state['classifier'].params

  def predict_fn(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    logits, features = encodings.in_batches(
      parallel.over_devices(lambda part: fn(params, part)),
      images,
      batch_size=config.generate.batch_size,
    )
    return logits, features

  return predict_fn, found.seconds


def load_judge(
  job: jobs.Job,
  train: dataset.Dataset,
  test: dataset.Dataset,
) -> Judge:
  """Restores the classifier and shows it the real data."""
  predict_fn, seconds = load_predict_fn(job, train)
  return Judge(
    predict_fn,
    train,
    test,
    predict_fn(train.images)[1],
    predict_fn(test.images)[1],
    seconds,
  )


def judge_row(judge: Judge, row: Row, num_neighbours: int) -> Scores:
  """All metrics of one row."""
  logits, features = judge.predict_fn(row.images)
  labels = judge.test.labels
  scores: Scores = {}
  if row.attributes is not None:
    scores |= metrics.classification_scores(
      labels.predict(logits), row.attributes, labels
    )
    scores['diversity'] = metrics.diversity(
      features, row.attributes, judge.train_features, judge.train.attributes
    )
  if row.against_test:
    scores['frechet'] = metrics.frechet_distance(features, judge.test_features)
    scores |= metrics.neighbour_scores(
      features, judge.test_features, num_neighbours
    )
  return scores | row.scores


def requested_attributes(data: dataset.Dataset, num_rows: int) -> np.ndarray:
  """The split's own label vectors, over and over: [num_rows, Y].

  So every len(data) rows have exactly the split's joint frequencies.
  """
  return data.attributes[np.arange(num_rows) % len(data)]


def timed(
  fn: Callable[..., Any], batch_size: int, *arrays: np.ndarray
) -> tuple[Any, float]:
  """The result of `fn(*arrays)`, and its seconds.

  A call on the first `batch_size` rows goes before, so that nothing is compiled
  while the clock runs.
  """
  fn(*(array[:batch_size] for array in arrays))
  started = time.perf_counter()
  result = fn(*arrays)
  return result, time.perf_counter() - started


def real_rows(
  judge: Judge, bound: loading.BoundMovers, num_rows: int
) -> dict[str, Row]:
  """Floor and ceiling: real images, and reconstructions of held-out ones."""
  train, test = judge.train, judge.test
  some = np.random.default_rng(0).permutation(len(train))[:num_rows]
  mean, _ = bound.encode(test.images)
  return {
    'real': Row(test.images, test.attributes, None, {}, against_test=False),
    'real_train': Row(train.images[some], train.attributes[some], None, {}),
    'reconstruction': Row(bound.decode(mean), test.attributes, mean, {}),
  }


def baseline_rows(
  job: jobs.Job,
  replicate: int,
  bound: loading.BoundMovers,
  labels: types.Labels,
  y: np.ndarray,
) -> dict[str, Row]:
  """Models in z from scikit-learn: of classes, or of attributes."""
  config = job.config
  seed, many = config.seed + replicate, config.mixture.num_components
  z, attributes = bound.train.sample(seed), bound.train.attributes
  accept = movers.accepts(bound)

  def fit(components: int) -> mixtures.Sampler:
    if isinstance(labels, types.Classes):
      model = mixtures.fit_classes(z, attributes, components, seed)
      return mixtures.class_sampler(model)
    return mixtures.fit_attributes(z, attributes, components, seed)

  def fit_timed(components: int) -> tuple[mixtures.Sampler, float]:
    started = time.perf_counter()
    return fit(components), time.perf_counter() - started

  one = fit_timed(1)
  if isinstance(
    labels, types.Classes
  ):  # fitted before, for the guided denoiser too
    found = class_mixture.load_or_fit(job, replicate, bound.train)
    several = mixtures.class_sampler(found.mixture), found.seconds
  else:
    several = fit_timed(many)

  def make(fitted: tuple[mixtures.Sampler, float], keep: bool) -> Row:
    sample, fit_seconds = fitted

    def draw_round(y: np.ndarray, rows: np.ndarray, number: int) -> np.ndarray:
      return sample(y, rows, jax.random.fold_in(jax.random.key(seed), number))

    def draw(y: np.ndarray) -> np.ndarray:
      if keep:
        return samplers.keep_accepted(draw_round, accept, y)
      return draw_round(y, np.arange(len(y)), 0)

    latents, seconds = timed(draw, config.generate.batch_size, y)
    critics = bound.seconds['latent_critics'] if keep else 0.0
    scores = {
      'latents_per_second': len(y) / seconds,
      'training_seconds': fit_seconds + critics,
    }
    return Row(bound.decode(latents), y, latents, scores)

  kind = 'class' if isinstance(labels, types.Classes) else 'attribute'
  return {
    f'{kind}_gaussian': make(one, keep=False),
    f'{kind}_mixture': make(several, keep=False),
    f'{kind}_mixture_kept': make(several, keep=True),
  }


def unlabelled_rows(
  config: ml_collections.ConfigDict,
  bound: loading.BoundMovers,
  start: np.ndarray,
  seed: int,
) -> dict[str, Row]:
  """Realism alone, asked for no label: beside it, one plain mixture."""
  section = config.denoise.copy_and_resolve_references()
  section.update(attribute_weight=0.0, mixture_above=1.0, num_starts=1)
  denoiser = loading.with_denoiser(bound, section)
  nothing = np.zeros((len(start), bound.train.attributes.shape[1]))
  nothing = nothing.astype(np.float32)
  started = time.perf_counter()
  model = mixtures.fit(
    bound.train.sample(seed), config.mixture.num_components, seed
  )
  fitted = time.perf_counter() - started
  key = jax.random.key(seed)
  ways: dict[str, tuple[float, Callable[..., np.ndarray]]] = {
    'mixture': (
      fitted,
      lambda z, _: mixtures.sample(model, np.arange(len(z)), key),
    ),
    'realism_optimizer': (
      bound.seconds['latent_critics'],
      lambda z, y: movers.move(bound, 'optimizer', z, y, mask=y).z,
    ),
    'realism_denoiser': (
      bound.seconds['denoiser'],
      lambda z, y: movers.move(denoiser, 'guided_denoiser', z, y).z,
    ),
  }
  rows = {}
  for name, (training, draw) in ways.items():
    z, seconds = timed(draw, config.generate.batch_size, start, nothing)
    scores = {
      'latents_per_second': len(start) / seconds,
      'training_seconds': training,
    }
    rows[name] = Row(bound.decode(z), None, z, scores)
  return rows


def mover_scores(
  bound: loading.BoundMovers, mover: str, moved: movers.Moved, y: np.ndarray
) -> Scores:
  """What the mover's own critic says, and how the optimiser fared."""
  if mover == 'guided_denoiser':  # it has no critic
    seconds = bound.seconds['denoiser'] + bound.seconds['class_mixture']
    if bound.denoise.num_starts > 1:  # D_attr accepts or rejects samples
      seconds += bound.seconds['latent_critics']
    return {'training_seconds': seconds}
  real, labels = bound.train.sample(0), bound.train.attributes
  if mover in bound.actors:
    actor = bound.actors[mover]
    fake = actor.critic(moved.z, y)
    true = actor.critic(real, labels)
    seconds = actor.seconds
  else:
    fake = bound.realism_critic(moved.z)
    true = bound.realism_critic(real)
    seconds = bound.seconds['latent_critics']
    if mover == 'actor_then_optimizer':
      seconds += bound.actors['actor'].seconds
  fake, true = jax.nn.sigmoid(fake).mean(), jax.nn.sigmoid(true).mean()
  scores = {
    'generator_score': float(fake),
    'discriminator_score': float(true + 1.0 - fake) / 2.0,
    'training_seconds': seconds,
  }
  if moved.steps is not None and moved.satisfied is not None:
    scores['satisfied'] = float(np.mean(moved.satisfied))
    scores['steps_mean'] = float(np.mean(moved.steps))
  return scores


def mover_rows(
  config: ml_collections.ConfigDict,
  bound: loading.BoundMovers,
  start: np.ndarray,
  y: np.ndarray,
) -> dict[str, Row]:
  """The prior as it is, and moved: the same noise, the same requests."""
  rows = {'prior': Row(bound.decode(start), y, start, {})}
  for mover in movers.names(config):
    moved, seconds = timed(
      functools.partial(movers.move, bound, mover),
      config.generate.batch_size,
      start,
      y,
    )
    scores = mover_scores(bound, mover, moved, y)
    scores['latents_per_second'] = len(y) / seconds
    scores['z_distance'] = metrics.z_distance(
      moved.z, moved.start, bound.train.mean_scale
    )
    rows[mover] = Row(bound.decode(moved.z), y, moved.z, scores)
  return rows
