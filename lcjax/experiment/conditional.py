"""Rows of models that are trained from scratch with labels."""

import jax

from lcjax.data import dataset
from lcjax.evaluation import moving
from lcjax.experiment import (
  build,
  generator,
  jobs,
  loading,
  train_conditional_gan,
  train_conditional_vae,
)
from lcjax.generators import conditional
from lcjax.models import apply
from lcjax.models import conditional as models
from lcjax.training import state


def _mean_image(
  module: models.ConditionalVae, z: jax.Array, y: jax.Array
) -> jax.Array:
  return jax.nn.sigmoid(module.decode(z, y))


def vae_contender(
  job: jobs.Job,
  replicate: int,
  bound: loading.BoundMovers,
  train: dataset.Dataset,
) -> moving.Contender:
  """The row of the conditional VAE: means of p(x|z, y), z from N(0, I)."""
  del bound
  config = job.config
  found = train_conditional_vae.load(job, train, replicate)
  module = train_conditional_vae.build_module(config, train)
  decode = generator.bind(
    config,
    build.make_decode(apply.Apply(module, _mean_image)),
    found.state['conditional_vae'].params,
  )
  return moving.Contender(
    conditional.Conditional(decode, config.conditional_vae.latent_size),
    {'training_seconds': found.seconds},
  )


def gan_contender(
  job: jobs.Job,
  replicate: int,
  bound: loading.BoundMovers,
  train: dataset.Dataset,
) -> moving.Contender:
  """The row of the conditional GAN: g(z, y), z from N(0, I)."""
  del bound
  config, section = job.config, job.config.conditional_gan
  found = train_conditional_gan.load(job, train, replicate)
  module, _ = train_conditional_gan.build_modules(config, train)
  decode = generator.bind(
    config,
    build.make_decode(apply.Apply(module)),
    state.averaged(found.state['generator'], section.average_decay),
  )
  return moving.Contender(
    conditional.Conditional(decode, section.latent_size),
    {'training_seconds': found.seconds},
  )
