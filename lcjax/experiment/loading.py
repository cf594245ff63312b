"""Loads the trained models of one replicate as jitted functions."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import ml_collections
import numpy as np

from lcjax import types
from lcjax.data import dataset
from lcjax.experiment import (
  build,
  class_mixture,
  jobs,
  mover_fns,
  stage,
  train_actor_critic,
  train_denoiser,
  train_vae,
)
from lcjax.latent import encodings, mixtures
from lcjax.models import apply
from lcjax.training import parallel, state


class BoundActor(NamedTuple):
  """An actor and its critic.

  Attributes:
    move: (z, y) -> z.
    critic: (z, y) -> log-odds of D(z, y).
    seconds: training time of both.
  """

  move: Callable[..., Any]
  critic: Callable[..., Any]
  seconds: float


@dataclasses.dataclass(frozen=True)
class BoundCritics:
  """A VAE and its latent critics: everything that optimizer-G needs.

  Attributes:
    encode: uint8 images -> (mean, scale) of q(z|x).
    decode: z -> uint8 images.
    optimizer: (max_steps, start, y, mask, reference) -> `optimize.Optimized`.
    make_optimizer: (section with the keys of `config.optimize`, its name) ->
      an `optimizer` with those settings.
    attribute_critic: z -> D_attr(z).
    image_attributes: z -> D_attr at the encoding of the decoded z. More
      reliable for latents that are not encodings, since D_attr is trained on
      encodings only.
    realism_critic: z -> log-odds of D_realism(z).
    train: encodings of the training split.
    seconds: training time of each stage.
    max_steps: maximum number of updates of optimizer-G.
    num_starts: number of tries of optimizer-G when it starts from noise.
    labels: names and kind of the attributes.
  """

  encode: Callable[[np.ndarray], Any]
  decode: Callable[[np.ndarray], np.ndarray]
  optimizer: Callable[..., Any]
  make_optimizer: Callable[[ml_collections.ConfigDict, str], Callable[..., Any]]
  attribute_critic: Callable[..., Any]
  image_attributes: Callable[..., Any]
  realism_critic: Callable[..., Any]
  train: encodings.Encodings
  seconds: dict[str, float]
  max_steps: int
  num_starts: int
  labels: types.Labels


@dataclasses.dataclass(frozen=True)
class BoundMovers(BoundCritics):
  """All movers of one replicate: jitted functions with bound parameters.

  Attributes:
    actors: actors by mover name; the main one is 'actor'.
    denoiser: (edit, key, start, y, mask, reference, rows) -> z; see
      `mover_fns.make_denoiser`.
    make_denoiser: section with the keys of `config.denoise` -> a `denoiser`
      with those settings.
    denoise: the settings of `denoiser`.
  """

  actors: dict[str, BoundActor]
  denoiser: Callable[..., Any]
  make_denoiser: Callable[[ml_collections.ConfigDict], Callable[..., Any]]
  denoise: ml_collections.ConfigDict


def _in_batches(
  config: ml_collections.ConfigDict,
  fn: Callable[..., Any],
  *params: Any,
  one_shape: bool = False,
) -> Callable[..., Any]:
  """Binds the first arguments of `fn` and batches any number of rows."""
  return lambda *arrays: encodings.in_batches(
    parallel.over_devices(lambda *parts: fn(*params, *parts)),
    *arrays,
    batch_size=config.generate.batch_size,
    one_shape=one_shape,
  )


def load_critics(
  job: jobs.Job, replicate: int, data: dataset.Dataset
) -> BoundCritics:
  """Restores the VAE and the latent critics of one replicate.

  Args:
    job: config and workdir of the run.
    replicate: index from 0.
    data: the training split.

  Raises:
    UserError: a training is missing or unfinished; gives the command to run.
  """
  config = job.config
  networks = build.build_networks(config, data)
  vae = train_vae.load(job, networks, data, replicate)
  critics = stage.load(
    job,
    stage.LATENT_CRITICS,
    replicate,
    train_actor_critic.make_critics_state(
      config, networks, config.seed + replicate
    ),
  )
  params = vae.state['vae'].params
  decay = config.latent_critics.average_decay
  attribute = state.averaged(critics.state['attribute'], decay)
  realism = state.averaged(critics.state['realism'], decay)
  train = train_actor_critic.encode(config, networks, params, data)

  bind = functools.partial(_in_batches, config)

  def make_optimizer(
    section: ml_collections.ConfigDict, key: str
  ) -> Callable[..., Any]:
    fn = mover_fns.make_optimizer_g(
      section, key, networks, train.mean_scale, data.labels
    )
    return lambda max_steps, *arrays: bind(fn, attribute, realism, max_steps)(
      *arrays
    )

  return BoundCritics(
    encode=bind(build.make_encode(networks), params),
    decode=bind(build.make_decode(networks), params),
    optimizer=make_optimizer(config.optimize, 'optimize'),
    make_optimizer=make_optimizer,
    attribute_critic=bind(
      jax.jit(apply.Apply(networks.attribute_critic)), attribute
    ),
    # Rejection sampling passes fewer rows each round: avoid recompilation.
    image_attributes=bind(
      build.make_image_attributes(networks),
      params,
      attribute,
      one_shape=True,
    ),
    realism_critic=bind(
      build.make_critic(networks.realism_critic, networks.realism_divergence),
      realism,
    ),
    train=train,
    seconds={'vae': vae.seconds, 'latent_critics': critics.seconds},
    max_steps=config.optimize.max_steps,
    num_starts=config.optimize.num_starts,
    labels=data.labels,
  )


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
    name: stage.load(job, which, replicate, make_actor)
    for name, which in stage.actors(config).items()
  }
  denoiser = stage.load(
    job,
    stage.DENOISER,
    replicate,
    train_denoiser.make_state(config, networks, seed),
  )
  decay = config.denoiser.average_decay
  velocity = state.averaged(denoiser.state['velocity'], decay)
  noised = state.averaged(denoiser.state['attribute'], decay)

  bind = functools.partial(_in_batches, config)

  fitted = class_mixture.for_denoiser(job, replicate, base.train)
  noised_mixture = None
  if fitted is not None:
    noised_mixture = mixtures.prepare(
      fitted.mixture, base.train.aggregate_mean, base.train.aggregate_std
    )

  def make_denoiser(section: ml_collections.ConfigDict) -> Callable[..., Any]:
    fn = mover_fns.make_denoiser(
      section, networks, base.train, data.labels, noised_mixture
    )

    def sample(edit: bool, key: jax.Array, *arrays: np.ndarray) -> Any:
      key_data = np.asarray(jax.random.key_data(key))
      return bind(fn, velocity, noised, edit, key_data, one_shape=True)(*arrays)

    return sample

  actor_fn = jax.jit(apply.Apply(networks.actor))
  critic_fn = build.make_critic(networks.critic, networks.divergence)
  decay = config.actor_critic.average_decay
  actors = {
    name: BoundActor(
      bind(actor_fn, state.averaged(pair.state['actor'], decay)),
      bind(critic_fn, pair.state['critic'].params),
      pair.seconds,
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
    **shared | {'seconds': seconds},
    actors=actors,
    denoiser=make_denoiser(config.denoise),
    make_denoiser=make_denoiser,
    denoise=config.denoise,
  )


def with_optimizer(
  bound: BoundMovers, section: ml_collections.ConfigDict, key: str
) -> BoundMovers:
  """Returns a copy whose optimizer-G has other settings.

  Args:
    bound: movers of one replicate.
    section: settings with the keys of `config.optimize`.
    key: name of the section, for error messages.
  """
  return dataclasses.replace(
    bound,
    optimizer=bound.make_optimizer(section, key),
    max_steps=section.max_steps,
  )


def with_denoiser(
  bound: BoundMovers, section: ml_collections.ConfigDict
) -> BoundMovers:
  """Returns a copy whose guided denoiser has other settings.

  Args:
    bound: movers of one replicate.
    section: settings with the keys of `config.denoise`.
  """
  return dataclasses.replace(
    bound, denoiser=bound.make_denoiser(section), denoise=section
  )
