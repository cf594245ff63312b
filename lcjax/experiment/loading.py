"""Loads the trained models of one replicate and binds their parameters."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple, Self

import jax
import numpy as np

from lcjax import types
from lcjax.constraints import attributes, critics, learn
from lcjax.data import dataset
from lcjax.evaluation import judging
from lcjax.experiment import (
  build,
  class_mixture,
  extensions,
  generator,
  jobs,
  stage,
  train_actor_critic,
  train_classifier,
  train_denoiser,
  train_rules,
  training_parts,
  wants,
)
from lcjax.generators import latent_model
from lcjax.latent import encodings, mixtures
from lcjax.losses import divergences
from lcjax.models import apply
from lcjax.movers import actor as actor_lib
from lcjax.movers import denoiser as denoiser_lib
from lcjax.training import parallel, state

LEAST_ROWS = 2  # of the validation split; a covariance needs two


class BoundActor(NamedTuple):
  """An actor and its critic.

  Attributes:
    mover: the actor.
    critic: (z, y) -> log-odds of D(z, y), see `build.make_critic`.
    seconds: training time of both.
    divergence: that the critic estimates.
  """

  mover: actor_lib.Actor
  critic: Callable[..., Any]
  seconds: float
  divergence: divergences.Divergence


@dataclasses.dataclass(frozen=True)
class BoundCritics:
  """A model and its latent critics: everything that optimizer-G needs.

  Attributes:
    model: whose samples are images in [0, 1].
    encode: uint8 images -> (mean, scale), see `generator.Generator`.
    decode: z -> uint8 images.
    latents: (data, split) -> encodings, or draws of the prior, likewise.
    attributes: the constraint D_attr, with a target of the same name.
    realism: the constraint D_realism.
    attribute_critic: z -> logits of D_attr.
    realism_critic: z -> log-odds of D_realism.
    train: those of the training split.
    seconds: training time of each stage.
    labels: names and kind of the attributes.
    batch_size: latents per call.
    want: constraints that the config adds, and how all are composed.
    seed: of the replicate.
  """

  model: latent_model.LatentModel
  encode: Callable[[np.ndarray], Any]
  decode: Callable[[np.ndarray], np.ndarray]
  latents: Callable[[dataset.Dataset, str], encodings.Encodings]
  attributes: attributes.Attributes
  realism: critics.Critic
  attribute_critic: Callable[..., Any]
  realism_critic: Callable[..., Any]
  train: encodings.Encodings
  seconds: dict[str, float]
  labels: types.Labels
  batch_size: int
  want: wants.Want
  seed: int

  @property
  def unconstrained(self) -> Self:
    """The same without the config's constraints, for realism alone."""
    return dataclasses.replace(self, want=wants.ALL)

  @property
  def parts(self) -> extensions.Parts:
    """What movers of a config are made of."""
    return extensions.Parts(
      self.model, self.data, self.realism, self.attributes, self.seed
    )

  @property
  def data(self) -> latent_model.LatentData:
    """The encodings with their labels."""
    from_prior = self.model.encode_fn is None
    return latent_model.LatentData(
      self.train, self.labels, from_prior, self.model.own_prior
    )


@dataclasses.dataclass(frozen=True)
class BoundMovers(BoundCritics):
  """All trained parts of one replicate's movers.

  Attributes:
    actors: actors by mover name; the main one is 'actor'.
    velocity: the denoiser's network.
    mixture: the class mixture in standard units of q(z), for the first phase of
      the guided denoiser; None if it has none.
  """

  actors: dict[str, BoundActor]
  velocity: denoiser_lib.Velocity
  mixture: mixtures.Noised | None


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


def held_out(
  job: jobs.Job,
  latents: Callable[[dataset.Dataset, str], encodings.Encodings],
  train: encodings.Encodings,
) -> encodings.Encodings:
  """Those of validation rows; of training rows if there are too few of them.

  Args:
    job: config and workdir of the run.
    latents: as `BoundCritics.latents`.
    train: those of the training split.
  """
  data = build.load_data(job, 'validation')
  return latents(data, 'validation') if len(data) >= LEAST_ROWS else train


def load_critics(
  job: jobs.Job, replicate: int, data: dataset.Dataset
) -> BoundCritics:
  """Restores the model and the latent critics of one replicate.

  Args:
    job: config and workdir of the run.
    replicate: index from 0.
    data: the training split.

  Raises:
    UserError: a training is missing or unfinished; gives the command to run.
  """
  config = job.config
  networks = build.build_networks(config, data)
  made = generator.load(job, data, replicate)
  found = training_parts.load(
    job,
    stage.LATENT_CRITICS,
    replicate,
    train_actor_critic.make_critics_state(
      config, networks, config.seed + replicate
    ),
  )
  decay = config.latent_critics.average_decay
  attribute = attributes.Attributes(
    state.averaged(found.state['attribute'], decay),
    config.optimize.attribute_tolerance,
    apply.Apply(networks.attribute_critic),
    data.labels,
  )
  train = made.latents(data, 'train')
  divergence = networks.realism_divergence
  realism_fn = apply.Apply(networks.realism_critic)
  realism_params = state.averaged(found.state['realism'], decay)
  quantiles = None
  if divergence.calibrated:
    quantiles = learn.calibrate(
      divergence, realism_fn, realism_params, held_out(job, made.latents, train)
    )
  realism = critics.Critic(
    realism_params,
    config.optimize.realism_threshold,
    realism_fn,
    of_density=True,
    divergence=divergence,
    quantiles=quantiles,
  )
  bind = functools.partial(generator.bind, config)
  bound = BoundCritics(
    model=made.model,
    encode=made.encode,
    decode=made.decode,
    latents=made.latents,
    attributes=attribute,
    realism=realism,
    attribute_critic=bind(jax.jit(attribute.classifier_fn), attribute.params),
    realism_critic=bind(critics.log_odds, realism),
    train=train,
    seconds=made.seconds | {'latent_critics': found.seconds},
    labels=data.labels,
    batch_size=config.generate.batch_size,
    want=wants.ALL,
    seed=config.seed + replicate,
  )
  further = extensions.make_constraints(
    config, bound.parts, functools.partial(train_rules.load, job, replicate)
  )
  want = wants.Want(
    dict(zip(config.constraints.to_dict(), further, strict=True)),
    wants.parse(config),
  )
  return dataclasses.replace(bound, want=want)


def load_movers(
  job: jobs.Job,
  replicate: int,
  data: dataset.Dataset,
) -> BoundMovers:
  """Restores all trained models of one replicate except the classifier.

  Args:
    job: config and workdir of the run.
    replicate: index from 0.
    data: the training split.

  Raises:
    UserError: a training is missing or unfinished; gives the command to run.
  """
  config = job.config
  networks = build.build_networks(config, data)
  seed, num_attributes = config.seed + replicate, len(data.attribute_names)
  base = load_critics(job, replicate, data)
  make_actor = train_actor_critic.make_actor_state(
    config, networks, num_attributes, seed
  )
  pairs = {
    name: training_parts.load(job, which, replicate, make_actor)
    for name, which in stage.actors(config).items()
  }
  denoiser = training_parts.load(
    job,
    stage.DENOISER,
    replicate,
    train_denoiser.make_state(config, networks, seed),
  )
  decay = config.denoiser.average_decay
  fitted = class_mixture.for_denoiser(job, replicate, base.train)
  noised_mixture = None
  if fitted is not None:
    noised_mixture = mixtures.prepare(
      fitted.mixture, base.train.aggregate_mean, base.train.aggregate_std
    )
  attribute = dataclasses.replace(
    base.attributes,
    noised_params=state.averaged(denoiser.state['attribute'], decay),
    noised_fn=apply.Apply(networks.noised_attribute_critic),
  )
  critic_fn = build.make_critic(networks.critic, networks.divergence)
  actors = {
    name: BoundActor(
      actor_lib.Actor(
        state.averaged(pair.state['actor'], config.actor_critic.average_decay),
        base.attributes,
        apply.Apply(networks.actor),
        batch_size=base.batch_size,
      ),
      generator.bind(config, critic_fn, pair.state['critic'].params),
      pair.seconds,
      networks.divergence,
    )
    for name, pair in pairs.items()
  }
  shared = {f.name: getattr(base, f.name) for f in dataclasses.fields(base)}
  seconds = {
    **base.seconds,
    **{
      which.name: actors[name].seconds
      for name, which in stage.actors(config).items()
    },
    'denoiser': denoiser.seconds,
    'class_mixture': 0.0 if fitted is None else fitted.seconds,
  }
  return BoundMovers(
    **shared | {'seconds': seconds, 'attributes': attribute},
    actors=actors,
    velocity=denoiser_lib.Velocity(
      state.averaged(denoiser.state['velocity'], decay),
      apply.Apply(networks.denoiser),
    ),
    mixture=noised_mixture,
  )
