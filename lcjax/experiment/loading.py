"""Everything trained of one replicate, as jitted functions of arrays."""

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
  """An actor with its critic.

  Attributes:
    move: (z, y) -> z.
    critic: (z, y) -> D(z, y).
    seconds: that their training took.
  """

  move: Callable[..., Any]
  critic: Callable[..., Any]
  seconds: float


@dataclasses.dataclass(frozen=True)
class BoundCritics:
  """A VAE and the critics of its latents: all that optimizer-G needs.

  Attributes:
    encode: uint8 images -> (mean, scale).
    decode: z -> uint8 images.
    optimizer: (max_steps, start, y, mask, reference) -> `optimize.Optimized`.
    make_optimizer: (section like `config.optimize`, its name) -> the same with
      those settings.
    attribute_critic: z -> D_attr(z).
    image_attributes: z -> D_attr of the encoding of the decoded z. A critic
      of latents has seen encodings alone, and errs on others.
    realism_critic: z -> D_realism(z).
    train: encodings of the training split.
    seconds: that each training took.
    max_steps: of optimizer-G.
    num_starts: of optimizer-G, from noise.
    labels: of the attributes.
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
  """One replicate: jitted functions with their parameters bound.

  Attributes:
    actors: every actor by its mover's name, 'actor' the main one.
    denoiser: (edit, key, start, y, mask, reference, rows) -> z.
    make_denoiser: section like `config.denoise` -> `denoiser` set by it.
    denoise: the section that `denoiser` was made with.
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
  """`fn` with its first arguments bound, on any number of rows."""
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
    job: what to do.
    replicate: which one.
    data: the training split.

  Raises:
    UserError: a training is missing or unfinished; names its command.
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
    # Asked again and again for fewer and fewer rows, as the denoiser is.
    image_attributes=bind(
      build.make_image_attributes(networks),
      params,
      attribute,
      one_shape=True,
    ),
    realism_critic=bind(jax.jit(apply.Apply(networks.realism_critic)), realism),
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
  """Restores every training of one replicate.

  Args:
    job: what to do.
    replicate: which one.
    data: the training split.

  Raises:
    UserError: a training is missing or unfinished; names its command.
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
      data = np.asarray(jax.random.key_data(key))
      return bind(fn, velocity, noised, edit, data, one_shape=True)(*arrays)

    return sample

  actor_fn = jax.jit(apply.Apply(networks.actor))
  critic_fn = jax.jit(apply.Apply(networks.critic))
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
  """The same with optimizer-G as another section sets it.

  Args:
    bound: one replicate.
    section: like `config.optimize`.
    key: name of the section, for errors.
  """
  return dataclasses.replace(
    bound,
    optimizer=bound.make_optimizer(section, key),
    max_steps=section.max_steps,
  )


def with_denoiser(
  bound: BoundMovers, section: ml_collections.ConfigDict
) -> BoundMovers:
  """The same with the guided denoiser as another section sets it."""
  return dataclasses.replace(
    bound, denoiser=bound.make_denoiser(section), denoise=section
  )
