"""The rows of the comparison table: samples of every mover and baseline."""

from typing import NamedTuple

import jax
import ml_collections
import numpy as np

from lcjax.constraints import base as constraints
from lcjax.data import dataset
from lcjax.evaluation import baselines as baselines_lib
from lcjax.evaluation import glossary, judging, metrics, moving
from lcjax.experiment import (
  build,
  jobs,
  loading,
  movers,
  stage,
  train_classifier,
)
from lcjax.latent import encodings
from lcjax.movers import base, starts
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
  section = job.config.compare
  steps = judging.Steps(section.feature_steps, section.cas_steps)
  return judging.make_judge(
    predict_fn, train, test, seconds, other_fn, steps, progress=True
  )


def make_rejection(
  config: ml_collections.ConfigDict, bound: loading.BoundMovers
) -> moving.Rejection:
  """The test that the baseline's rows share with the movers'."""
  return moving.Rejection(
    movers.make_accept(bound, config.retry),
    config.retry.tries,
    bound.seconds['latent_critics'],
  )


def make_cost(
  job: jobs.Job, bound: loading.BoundMovers, train: dataset.Dataset
) -> baselines_lib.Cost | None:
  """What chooses the size of a mixture: its samples, on the validation split.

  It is their Frechet distance to validation images, as the second judge sees
  them, at the labels of these images; None if there are too few of them.
  """
  predict_fn, _ = load_predict_fn(job, stage.SECOND_CLASSIFIER, train)
  held_out = build.load_data(job, 'validation')
  if len(held_out) < 2:
    return None
  _, real = predict_fn(held_out.images)
  rows = np.arange(len(held_out))

  def cost(draw: starts.MixtureStart) -> float:
    target = movers.make_target(held_out.attributes)
    z = draw(target, rows, jax.random.key(bound.seed))
    _, features = predict_fn(bound.decode(z))
    return metrics.frechet_distance(features, real)

  return cost


def baselines(
  config: ml_collections.ConfigDict,
  bound: loading.BoundMovers,
  cost: baselines_lib.Cost | None,
) -> dict[str, moving.Contender]:
  """Mixtures of z for labels, by row; one of them with rejection sampling."""
  made = baselines_lib.labelled(
    bound.data, config.mixture.num_components, bound.seed, cost
  )
  if config.retry.tries > 1:
    name = glossary.baseline(bound.labels.kind)
    draw = starts.prior_start(bound.model)  # only the number of rows matters
    kept = make_rejection(config, bound).of(made[name], draw)
    made[f'{name}{glossary.KEPT}'] = kept
  return made


def unlabelled(
  config: ml_collections.ConfigDict,
  bound: loading.BoundMovers,
  cost: baselines_lib.Cost | None,
) -> dict[str, moving.Contender]:
  """Realism without labels: a mixture of z, and two movers, by row."""
  section = config.denoise.copy_and_resolve_references()
  section.update(attribute_weight=0.0, mixture_above=1.0)
  pairs: dict[str, tuple[base.Mover, str]] = {
    'realism_optimizer': (
      movers.make_optimizer(bound, config.optimize),
      'latent_critics',
    ),
    'realism_denoiser': (movers.make_denoiser(bound, section), 'denoiser'),
  }
  components = config.mixture.unlabelled_components
  return {
    'mixture': baselines_lib.unlabelled(
      bound.data, components, bound.seed, cost
    ),
  } | {
    name: moving.Contender(mover, {'training_seconds': bound.seconds[training]})
    for name, (mover, training) in pairs.items()
  }


def _needs(
  config: ml_collections.ConfigDict, mover: str
) -> tuple[str, ...] | None:
  """The trainings of a mover, in `BoundMovers.seconds`.

  None if it is one of `config.movers`, of which that is not known.
  """
  if mover in config.movers:
    return None
  single = mover.removesuffix(glossary.KEPT)
  needs = {
    'optimizer': ('latent_critics',),
    'actor_then_optimizer': (stage.ACTOR_CRITIC.name, 'latent_critics'),
    'guided_denoiser': ('denoiser', 'class_mixture'),
  } | {name: (which.name,) for name, which in stage.actors(config).items()}
  asked = () if mover == single else ('latent_critics',)
  return tuple(dict.fromkeys((*needs[single], *asked)))


def mover_contenders(
  config: ml_collections.ConfigDict, bound: loading.BoundMovers
) -> dict[str, moving.Contender]:
  """All movers, by row."""
  made, found = movers.make_movers(config, bound), {}
  for name in movers.names(config):
    needs, scores = _needs(config, name), {}
    if needs is not None:
      scores['training_seconds'] = sum(bound.seconds[one] for one in needs)
    found[name] = moving.Contender(made[name], scores, bound.train.mean_scale)
  return found


def critic_scores(
  bound: loading.BoundMovers, mover: str, row: judging.Row
) -> judging.Scores:
  """What a mover's own critic says of its latents; empty if it has none."""
  single = mover.removesuffix(glossary.KEPT)
  real, labels = bound.train.sample(0), bound.train.attributes
  z, y = row.latents, row.attributes
  if single in bound.actors:
    critic = bound.actors[single].critic
    fake, true = critic(z, y), critic(real, labels)
  elif single in ('optimizer', 'actor_then_optimizer'):
    fake, true = bound.realism_critic(z), bound.realism_critic(real)
  else:
    return {}
  fake, true = jax.nn.sigmoid(fake).mean(), jax.nn.sigmoid(true).mean()
  return {
    'generator_score': float(fake),
    'discriminator_score': float(true + 1.0 - fake) / 2.0,
  }


class Asked(NamedTuple):
  """A contender, and what is asked of it.

  Attributes:
    contender: makes the row.
    target: of its mover.
    requested: [N, Y] labels that the row is judged by; None for none.
  """

  contender: moving.Contender
  target: constraints.Target
  requested: np.ndarray | None


def contenders(
  job: jobs.Job,
  bound: loading.BoundMovers,
  train: dataset.Dataset,
  y: np.ndarray,
) -> dict[str, Asked]:
  """All baselines and all movers, by row; all but a few are asked for y."""
  config, cost = job.config, make_cost(job, bound, train)
  nothing = movers.make_target(np.zeros_like(y), np.zeros_like(y))
  labelled = baselines(config, bound, cost) | mover_contenders(config, bound)
  return {
    name: Asked(one, nothing, None)
    for name, one in unlabelled(config, bound, cost).items()
  } | {
    name: Asked(one, movers.make_target(y), y) for name, one in labelled.items()
  }
