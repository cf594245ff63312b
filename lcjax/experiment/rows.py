"""The rows of the comparison table: samples of every mover and baseline."""

import functools
import time
from collections.abc import Callable

import jax
import ml_collections
import numpy as np

from lcjax import types
from lcjax.data import dataset
from lcjax.evaluation import judging, metrics
from lcjax.experiment import (
  build,
  class_mixture,
  jobs,
  loading,
  movers,
  train_classifier,
)
from lcjax.latent import encodings, mixtures, samplers
from lcjax.movers.base import Moved
from lcjax.training import parallel


def load_predict_fn(
  job: jobs.Job, train: dataset.Dataset
) -> tuple[judging.PredictFn, float]:
  """Restores the classifier; also returns its training time in seconds."""
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
  job: jobs.Job, train: dataset.Dataset, test: dataset.Dataset
) -> judging.Judge:
  """Restores the classifier and computes its features of the real data."""
  predict_fn, seconds = load_predict_fn(job, train)
  return judging.make_judge(predict_fn, train, test, seconds)


def real_rows(
  judge: judging.Judge, bound: loading.BoundMovers, num_rows: int
) -> dict[str, judging.Row]:
  """Rows to compare with: real images, and reconstructions of held-out ones."""
  train, test = judge.train, judge.test
  some = np.random.default_rng(0).permutation(len(train))[:num_rows]
  mean, _ = bound.encode(test.images)
  return {
    'real': judging.Row(
      test.images, test.attributes, None, {}, against_test=False
    ),
    'real_train': judging.Row(
      train.images[some], train.attributes[some], None, {}, in_train=True
    ),
    'reconstruction': judging.Row(
      bound.decode(mean), test.attributes, mean, {}
    ),
  }


def baseline_rows(
  job: jobs.Job,
  replicate: int,
  bound: loading.BoundMovers,
  labels: types.Labels,
  y: np.ndarray,
) -> dict[str, judging.Row]:
  """Baselines: scikit-learn models of z per class, or of z and attributes."""
  config = job.config
  seed, many = config.seed + replicate, config.mixture.num_components
  z, attributes = bound.train.sample(seed), bound.train.attributes
  accept = movers.accepts(bound, config.denoise.accept_above)

  def fit(components: int) -> mixtures.Sampler:
    if isinstance(labels, types.Classes):
      model = mixtures.fit_classes(z, attributes, components, seed)
      return mixtures.class_sampler(model)
    return mixtures.fit_attributes(z, attributes, components, seed)

  def fit_timed(components: int) -> tuple[mixtures.Sampler, float]:
    started = time.perf_counter()
    return fit(components), time.perf_counter() - started

  one = fit_timed(1)
  if isinstance(labels, types.Classes):  # the guided denoiser uses the same fit
    found = class_mixture.load_or_fit(job, replicate, bound.train)
    several = mixtures.class_sampler(found.mixture), found.seconds
  else:
    several = fit_timed(many)

  def make(fitted: tuple[mixtures.Sampler, float], keep: bool) -> judging.Row:
    sample, fit_seconds = fitted

    def draw_round(y: np.ndarray, rows: np.ndarray, number: int) -> np.ndarray:
      return sample(y, rows, jax.random.fold_in(jax.random.key(seed), number))

    def draw(y: np.ndarray) -> np.ndarray:
      if keep:
        return samplers.keep_accepted(draw_round, accept, y)
      return draw_round(y, np.arange(len(y)), 0)

    latents, seconds = judging.timed(draw, config.generate.batch_size, y)
    critics = bound.seconds['latent_critics'] if keep else 0.0
    scores = {
      'latents_per_second': len(y) / seconds,
      'training_seconds': fit_seconds + critics,
    }
    return judging.Row(bound.decode(latents), y, latents, scores)

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
) -> dict[str, judging.Row]:
  """Realism without labels: two movers, and a mixture model as baseline."""
  own = config.copy_and_resolve_references()
  own.denoise.update(attribute_weight=0.0, mixture_above=1.0, num_starts=1)
  made = movers.make_movers(own, bound)
  optimizer, denoiser = made['optimizer'], made['guided_denoiser']
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
      lambda z, y: movers.move(optimizer, z, y, mask=y).z,
    ),
    'realism_denoiser': (
      bound.seconds['denoiser'],
      lambda z, y: movers.move(denoiser, z, y).z,
    ),
  }
  rows = {}
  for name, (training, draw) in ways.items():
    z, seconds = judging.timed(draw, config.generate.batch_size, start, nothing)
    scores = {
      'latents_per_second': len(start) / seconds,
      'training_seconds': training,
    }
    rows[name] = judging.Row(bound.decode(z), None, z, scores)
  return rows


def mover_scores(
  bound: loading.BoundMovers, mover: str, moved: Moved, y: np.ndarray
) -> judging.Scores:
  """Scores by the mover's own critic, and the optimiser's steps."""
  if mover == 'guided_denoiser':  # it has no critic
    seconds = bound.seconds['denoiser'] + bound.seconds['class_mixture']
    if moved.tries is not None:  # D_attr accepts or rejects samples
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
) -> dict[str, judging.Row]:
  """The prior, and the same noise moved to the same requests by each mover."""
  rows = {'prior': judging.Row(bound.decode(start), y, start, {})}
  made = movers.make_movers(config, bound)
  for mover in movers.names(config):
    moved, seconds = judging.timed(
      functools.partial(movers.move, made[mover]),
      config.generate.batch_size,
      start,
      y,
    )
    scores = mover_scores(bound, mover, moved, y)
    scores['latents_per_second'] = len(y) / seconds
    scores['z_distance'] = metrics.z_distance(
      moved.z, moved.start, bound.train.mean_scale
    )
    rows[mover] = judging.Row(bound.decode(moved.z), y, moved.z, scores)
  return rows
