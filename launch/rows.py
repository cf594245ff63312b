"""The rows of the comparison: who made them, and what the judge says."""

import functools
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import ml_collections
import numpy as np

from launch import experiment, movers, startup, train_classifier
from lcjax.data import dataset
from lcjax.evaluation import metrics
from lcjax.latent import encodings, samplers

Scores = dict[str, float]


class Row(NamedTuple):
  """One row of the table before it is judged.

  Attributes:
    images: [N, H, W, C] uint8.
    attributes: [N, Y] as requested.
    latents: [N, Z], or None for images that have none.
    scores: what is known besides the judge's view.
    against_test: whether to compare with the held-out images; not those
      images with themselves.
  """

  images: np.ndarray
  attributes: np.ndarray
  latents: np.ndarray | None
  scores: Scores
  against_test: bool = True


class Judge(NamedTuple):
  """The judge, and real data as it sees them.

  Attributes:
    look: uint8 images -> (logits, features).
    train: the training split.
    test: the split that results are reported on.
    train_features: [N, F].
    test_features: [N, F].
    seconds: of its training.
  """

  look: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
  train: dataset.Dataset
  test: dataset.Dataset
  train_features: np.ndarray
  test_features: np.ndarray
  seconds: float


def load_judge(
  job: startup.Job,
  train: dataset.Dataset,
  test: dataset.Dataset,
) -> Judge:
  """Restores the classifier and shows it the real data."""
  config = job.config
  networks = experiment.build_networks(config, train)
  found = train_classifier.load(job, networks, train)
  fn = experiment.make_judge(networks)

  def look(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    logits, features = encodings.in_batches(
      lambda part: fn(found.state.params, part),
      images,
      batch_size=config.generate.batch_size,
    )
    return logits, features

  return Judge(
    look,
    train,
    test,
    look(train.images)[1],
    look(test.images)[1],
    found.seconds,
  )


def judge_row(judge: Judge, row: Row, num_neighbours: int) -> Scores:
  """All metrics of one row."""
  logits, features = judge.look(row.images)
  exclusive = judge.test.exclusive
  scores = metrics.classification_scores(
    metrics.predict(logits, exclusive), row.attributes, exclusive
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


def timed(fn: Callable[[], Any]) -> tuple[Any, float]:
  """The result and seconds of a second call; the first one compiles."""
  fn()
  started = time.perf_counter()
  result = fn()
  return result, time.perf_counter() - started


def real_rows(
  judge: Judge, trained: movers.Trained, num_rows: int
) -> dict[str, Row]:
  """Floor and ceiling: real images, and reconstructions of held-out ones."""
  train, test = judge.train, judge.test
  some = np.random.default_rng(0).permutation(len(train))[:num_rows]
  mean, _ = trained.encode(test.images)
  return {
    'real': Row(test.images, test.attributes, None, {}, against_test=False),
    'real_train': Row(train.images[some], train.attributes[some], None, {}),
    'reconstruction': Row(trained.decode(mean), test.attributes, mean, {}),
  }


def baseline_rows(
  config: ml_collections.ConfigDict,
  trained: movers.Trained,
  exclusive: bool,
  y: np.ndarray,
  seed: int,
) -> dict[str, Row]:
  """Class models in z from scikit-learn."""
  section = config.compare
  z, attributes = trained.train.sample(seed), trained.train.attributes
  accept = movers.accepts(trained, exclusive, section.kept_above)

  def make(components: int, keep: bool) -> Row:
    started = time.perf_counter()
    sample = samplers.fit_class_mixtures(z, attributes, components, seed)
    fitted = time.perf_counter() - started
    draw = functools.partial(sample, y, seed)
    if keep:
      draw = functools.partial(samplers.keep_accepted, sample, accept, y, seed)
    latents, seconds = timed(draw)
    critics = trained.seconds['latent_critics'] if keep else 0.0
    scores = {
      'latents_per_second': len(y) / seconds,
      'training_seconds': fitted + critics,
    }
    return Row(trained.decode(latents), y, latents, scores)

  components = section.mixture_components
  return {
    'class_gaussian': make(1, keep=False),
    'class_mixture': make(components, keep=False),
    'class_mixture_kept': make(components, keep=True),
  }


def mover_scores(
  trained: movers.Trained, mover: str, moved: movers.Moved, y: np.ndarray
) -> Scores:
  """What the mover's own critic says, and how the optimiser fared."""
  if mover == 'guided_denoiser':  # it has no critic
    return {'training_seconds': trained.seconds['denoiser']}
  real, labels = trained.train.sample(0), trained.train.attributes
  if mover == 'actor':
    fake = trained.critic(moved.z, y)
    true = trained.critic(real, labels)
    seconds = trained.seconds['actor_critic']
  else:
    fake = trained.realism_critic(moved.z)
    true = trained.realism_critic(real)
    seconds = trained.seconds['latent_critics']
    if mover == 'actor_then_optimizer':
      seconds += trained.seconds['actor_critic']
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
  trained: movers.Trained, start: np.ndarray, y: np.ndarray
) -> dict[str, Row]:
  """The prior as it is, and moved: the same noise, the same requests."""
  rows = {'prior': Row(trained.decode(start), y, start, {})}
  for mover in movers.MOVERS:
    moved, seconds = timed(
      functools.partial(movers.move, trained, mover, start, y)
    )
    scores = mover_scores(trained, mover, moved, y)
    scores['latents_per_second'] = len(y) / seconds
    scores['z_distance'] = metrics.z_distance(
      moved.z, start, trained.train.mean_scale
    )
    rows[mover] = Row(trained.decode(moved.z), y, moved.z, scores)
  return rows
