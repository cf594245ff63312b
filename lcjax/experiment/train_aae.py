"""Trains an adversarial autoencoder, or its twin with an MMD. No labels."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from lcjax.data import dataset
from lcjax.experiment import (
  architectures,
  build,
  jobs,
  row_batches,
  stage,
  train_gan,
  training_parts,
)
from lcjax.generators import aae, latent_model
from lcjax.generators import vae as vae_lib
from lcjax.latent import encodings, noise, priors
from lcjax.losses import mmd
from lcjax.models import apply, critic, vae
from lcjax.training import (
  aae_steps,
  objectives,
  parallel,
  state,
  steps,
)

_EVALUATED = 2000  # held-out images, at most


def has_critic(config: ml_collections.ConfigDict) -> bool:
  """Whether a critic keeps q(z) at the prior, and not an MMD."""
  return bool(config.aae.divergence != build.MMD)


def find_prior(config: ml_collections.ConfigDict) -> priors.Prior:
  """The prior of a config."""
  return priors.PRIORS[config.aae.prior](config.aae.latent_size)


def _modules(
  config: ml_collections.ConfigDict, data: dataset.Dataset
) -> tuple[vae.Vae, critic.Critic]:
  section = config.aae
  module = architectures.build_vae(section, data.image_shape, 'aae')
  sizes = tuple(section.critic_hidden_sizes)
  return module, critic.Critic(0, sizes, 'silu')


def make_state(
  config: ml_collections.ConfigDict, data: dataset.Dataset, replicate: int
) -> Callable[[], state.TrainState]:
  """Builds the function that makes the state before the first step."""
  section = config.aae
  module, critic_module = _modules(config, data)
  key = build.stage_key(config.seed + replicate, 'aae/init')
  tx, critic_tx = build.make_optimizers(
    config, 'aae', ('optimizer', 'critic_optimizer')
  )

  def make() -> state.TrainState:
    own_key, critic_key = jax.random.split(key)
    params = module.init(own_key, jnp.zeros((1, *data.image_shape)))
    networks = {
      'autoencoder': state.create_network(params, tx, section.average_decay > 0)
    }
    if has_critic(config):
      z = jnp.zeros((1, section.latent_size))
      networks['critic'] = state.create_network(
        critic_module.init(critic_key, z), critic_tx, False
      )
    return state.create(networks)

  return make


def load_model(
  job: jobs.Job, data: dataset.Dataset, replicate: int
) -> tuple[latent_model.LatentModel, dict[str, float]]:
  """Restores the trained autoencoder, and the seconds of its training."""
  section = job.config.aae
  make = make_state(job.config, data, replicate)
  found = training_parts.load(job, stage.AAE, replicate, make)
  params = state.averaged(found.state['autoencoder'], section.average_decay)
  module, _ = _modules(job.config, data)
  model = aae.of_aae(
    module, params, section.least_scale, find_prior(job.config)
  )
  return model, {'aae': found.seconds}


def make_training(
  config: ml_collections.ConfigDict,
  data: dataset.Dataset,
  held_out: dataset.Dataset,
  replicate: int,
) -> training_parts.Training:
  """Builds one replicate's training of the autoencoder."""
  section, seed = config.aae, config.seed + replicate
  module, critic_module = _modules(config, data)
  prior = find_prior(config)

  def make_step(
    config: ml_collections.ConfigDict,
    constants: dict[str, jax.Array],
    axis_name: str | None,
  ) -> steps.Step:
    del constants
    section = config.aae
    autoencoder = aae_steps.Autoencoder(
      aae.Encode(module, section.least_scale, prior),
      apply.Apply(module, vae_lib.decode),
      prior,
      section.sigma_x,
      section.match_weight,
    )
    tx, critic_tx = build.make_optimizers(
      config, 'aae', ('optimizer', 'critic_optimizer')
    )
    skips = section.train.nonfinite == 'skip'
    if not has_critic(config):
      update = steps.make_update(
        aae_steps.make_mmd_loss(autoencoder),
        tx,
        section.average_decay,
        axis_name,
        skips,
        'mover_grad_norm',
      )
      return steps.make_train_step({'autoencoder': update})
    return aae_steps.make_aae_step(
      autoencoder,
      apply.Apply(critic_module),
      tx,
      critic_tx,
      train_gan.critic_weights(section),
      build.find_divergence(config, 'aae'),
      section.average_decay,
      axis_name,
      skips,
    )

  return training_parts.Training(
    make_state(config, data, replicate),
    make_step,
    {},
    row_batches.of_images(data, seed, section.train.batch_size),
    _make_evaluate(config, module, held_out, seed),
    build.stage_key(seed, 'aae'),
  )


def _make_evaluate(
  config: ml_collections.ConfigDict,
  module: vae.Vae,
  held_out: dataset.Dataset,
  seed: int,
) -> Callable[[state.TrainState], dict[str, float]]:
  """Builds: state -> errors of reconstructions, and how far q(z) is from p(z).

  The MMD is that of WAE, whatever the training's, so that all compare.
  """
  section, prior = config.aae, find_prior(config)
  images = held_out.images[:_EVALUATED]
  encode = build.make_encode(aae.Encode(module, section.least_scale, prior))
  decode_fn = apply.Apply(module, vae_lib.decode)
  rows = np.arange(len(images))
  key, own_key = jax.random.split(build.stage_key(seed, 'aae/evaluate'))
  drawn = prior(None, key, jnp.asarray(rows))
  eps = noise.draw(own_key, rows, section.latent_size)

  @jax.jit
  def errors_of(params: Any, z: jax.Array, images: jax.Array) -> jax.Array:
    decoded = decode_fn(params, z)
    squared = jnp.square(decoded - objectives.to_unit(images))
    return jnp.mean(squared, axis=tuple(range(1, squared.ndim)))

  def evaluate(current: state.TrainState) -> dict[str, float]:
    params = state.averaged(current['autoencoder'], section.average_decay)
    size = config.generate.batch_size
    mean, scale = encodings.in_batches(
      parallel.over_devices(lambda part: encode(params, part)),
      images,
      batch_size=size,
    )
    z = (mean + scale * eps).astype(np.float32)
    errors = encodings.in_batches(
      parallel.over_devices(lambda *parts: errors_of(params, *parts)),
      z,
      images,
      batch_size=size,
    )
    expected = 2.0 * jnp.sum(jnp.square(prior.std))
    found = mmd.mmd(jnp.asarray(z), drawn, expected)
    return {
      'pixel_mse': float(errors.mean()),
      'match_mmd': float(found),
      'mean_scale': float(scale.mean()),
    }

  return evaluate
