"""The rows of the comparison table: samples of every mover and baseline."""

from collections.abc import Callable

import jax
import ml_collections
import numpy as np

from lcjax import types
from lcjax.data import dataset
from lcjax.evaluation import baselines, judging, metrics
from lcjax.experiment import (
  build,
  class_mixture,
  jobs,
  loading,
  movers,
  stage,
  train_classifier,
)
from lcjax.latent import encodings, mixtures
from lcjax.movers.base import Moved
from lcjax.training import parallel


def load_predict_fn(
  job: jobs.Job, which: stage.Stage, train: dataset.Dataset
) -> tuple[judging.PredictFn, float]:
  """Restores one of `stage.JUDGES`; also returns its training seconds."""
  config = job.config
  found = train_classifier.load(job, which, train)
  fn = build.make_judge(build.build_classifier(config, which.section, train))
  params = found.state[which.section].params

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
  """Restores the judge of the split and the other one; sees the real data."""
  own = stage.judge_of(job.config)
  (other,) = (one for one in stage.JUDGES if one is not own)
  predict_fn, seconds = load_predict_fn(job, own, train)
  other_fn, _ = load_predict_fn(job, other, train)
  return judging.make_judge(predict_fn, train, test, seconds, other_fn)


def baseline_rows(
  job: jobs.Job,
  replicate: int,
  bound: loading.BoundMovers,
  y: np.ndarray,
) -> dict[str, judging.Row]:
  """Baselines: scikit-learn models of z, alone and with attributes."""
  config = job.config
  shared = (
    bound.data,
    bound.decode,
    y,
    config.mixture.num_components,
    config.seed + replicate,
    config.generate.batch_size,
  )
  several = None
  if isinstance(bound.labels, types.Classes):  # the denoiser has the same fit
    found = class_mixture.load_or_fit(job, replicate, bound.train)
    sampler = mixtures.class_sampler(found.mixture)
    several = baselines.Fitted(
      lambda target, rows, key: sampler(target['attributes'], rows, key),
      found.seconds,
    )
  accept = baselines.Accept(
    movers.accepts(bound, config.denoise.accept_above),
    bound.seconds['latent_critics'],
  )
  return {
    'mixture': baselines.mixture_row(*shared),
    **baselines.labelled_rows(*shared, accept, several),
  }


def unlabelled_rows(
  config: ml_collections.ConfigDict,
  bound: loading.BoundMovers,
  start: np.ndarray,
) -> dict[str, judging.Row]:
  """Realism without labels, by two movers."""
  section = config.denoise.copy_and_resolve_references()
  section.update(attribute_weight=0.0, mixture_above=1.0)
  optimizer = movers.make_best_optimizer(bound, config.optimize)
  denoiser = movers.make_denoiser(bound, section)
  nothing = np.zeros((len(start), bound.train.attributes.shape[1]))
  nothing = nothing.astype(np.float32)
  ways: dict[str, tuple[float, Callable[..., np.ndarray]]] = {
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
    parts = ['denoiser', 'class_mixture']
    if moved.tries is not None:  # D_attr accepts or rejects samples
      parts.append('latent_critics')
    return {'training_seconds': sum(bound.seconds[part] for part in parts)}
  real, labels = bound.train.sample(0), bound.train.attributes
  seconds: float | None
  if mover in bound.actors:
    actor = bound.actors[mover]
    fake = actor.critic(moved.z, y)
    true = actor.critic(real, labels)
    seconds = actor.seconds
  else:
    # What a mover of `config.movers` needs is not known.
    known = mover in ('optimizer', 'actor_then_optimizer')
    fake = bound.realism_critic(moved.z)
    true = bound.realism_critic(real)
    seconds = bound.seconds['latent_critics'] if known else None
    if mover == 'actor_then_optimizer':
      seconds = bound.seconds['latent_critics'] + bound.actors['actor'].seconds
  fake, true = jax.nn.sigmoid(fake).mean(), jax.nn.sigmoid(true).mean()
  scores = {
    'generator_score': float(fake),
    'discriminator_score': float(true + 1.0 - fake) / 2.0,
  }
  if seconds is not None:
    scores['training_seconds'] = seconds
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
      movers.with_key(made[mover]),
      config.generate.batch_size,
      start,
      movers.make_target(y),
    )
    scores = mover_scores(bound, mover, moved, y)
    scores['latents_per_second'] = len(y) / seconds
    scores['z_distance'] = metrics.z_distance(
      moved.z, moved.start, bound.train.mean_scale
    )
    rows[mover] = judging.Row(bound.decode(moved.z), y, moved.z, scores)
  return rows
