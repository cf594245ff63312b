"""Trains the guided denoiser's two networks on noised encodings.

The denoiser sees no labels. D_attr(z_t, t) learns them from the same noised
latents.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import ml_collections

from lcjax import types
from lcjax.experiment import (
  build,
  external,
  train_actor_critic,
  training_parts,
)
from lcjax.latent import denoise, noise
from lcjax.models import apply
from lcjax.training import denoiser_steps, state, steps

OPTIMIZERS = ('velocity_optimizer', 'attribute_optimizer')


def make_state(
  config: ml_collections.ConfigDict, networks: build.Networks, seed: int
) -> Callable[[], state.TrainState]:
  """Builds the function that makes the state before the first step."""
  first, second = jax.random.split(build.stage_key(seed, 'denoiser/init'))
  z, t = jnp.zeros((1, external.latent_size(config))), jnp.zeros(1)
  average = config.denoiser.average_decay > 0

  def make() -> state.TrainState:
    modules = networks.denoiser, networks.noised_attribute_critic
    velocity, attribute = (
      state.create_network(module.init(key, z, t), tx, average)
      for module, key, tx in zip(
        modules,
        (first, second),
        build.make_optimizers(config, 'denoiser', OPTIMIZERS),
        strict=True,
      )
    )
    return state.create({'velocity': velocity, 'attribute': attribute})

  return make


class _HeldOut(NamedTuple):
  """Held-out latents, noise and times: the same ones at every evaluation.

  Attributes:
    z: [B, Z] latents, standardised by the mean and std of q(z).
    eps: [B, Z] noise.
    time: [B] noise times.
    attributes: [B, Y] labels of the latents.
  """

  z: jax.Array
  eps: jax.Array
  time: jax.Array
  attributes: jax.Array


@functools.lru_cache(maxsize=16)  # replicates share one compiled program
def _make_validate(
  networks: build.Networks, labels: types.Labels, decay: float
) -> Callable[[state.TrainState, _HeldOut], dict[str, jax.Array]]:
  """Builds a jitted `(state, held-out rows) -> validation metrics`."""
  velocity_fn = apply.Apply(networks.denoiser)
  attribute_fn = apply.Apply(networks.noised_attribute_critic)

  @jax.jit
  def validate(
    current: state.TrainState, rows: _HeldOut
  ) -> dict[str, jax.Array]:
    noised = denoise.add_noise(rows.z, rows.time, rows.eps)
    velocity_params = state.averaged(current['velocity'], decay)
    predicted = velocity_fn(velocity_params, noised, rows.time)
    attribute_params = state.averaged(current['attribute'], decay)
    logits = attribute_fn(attribute_params, noised, rows.time)
    target = denoise.velocity(rows.z, rows.time, rows.eps)
    accuracy = labels.accuracy(logits, rows.attributes)
    return {
      'velocity_mse': jnp.mean(jnp.square(predicted - target)),
      'attribute_accuracy': jnp.mean(accuracy),
    }

  return validate


def make_training(
  config: ml_collections.ConfigDict, latents: train_actor_critic.LatentData
) -> training_parts.Training:
  """Builds one replicate's training of the denoiser."""
  networks, labels = latents.networks, latents.labels
  velocity_fn = apply.Apply(networks.denoiser)
  attribute_fn = apply.Apply(networks.noised_attribute_critic)
  mean = jnp.asarray(latents.train.aggregate_mean)
  std = jnp.asarray(latents.train.aggregate_std)

  def make_step(
    config: ml_collections.ConfigDict,
    constants: dict[str, jax.Array],
    axis_name: str | None,
  ) -> steps.Step:
    section = config.denoiser
    velocity_tx, attribute_tx = build.make_optimizers(
      config, 'denoiser', OPTIMIZERS
    )
    return denoiser_steps.make_denoiser_step(
      velocity_fn,
      attribute_fn,
      constants['mean'],
      constants['std'],
      velocity_tx,
      attribute_tx,
      labels,
      section.average_decay,
      axis_name,
      section.train.nonfinite == 'skip',
      section.time_sampling,
    )

  z = (jnp.asarray(latents.validation.sample(0)) - mean[None]) / std[None]
  rows = jnp.arange(len(z))
  held_out = _HeldOut(
    z,
    noise.normal(jax.random.key(0), rows, z.shape[1]),
    (rows.astype(z.dtype) + 0.5) / len(z),
    jnp.asarray(latents.validation.attributes),
  )
  validate = _make_validate(networks, labels, config.denoiser.average_decay)

  def evaluate(current: state.TrainState) -> dict[str, float]:
    return {name: float(v) for name, v in validate(current, held_out).items()}

  return training_parts.Training(
    make_state(config, networks, latents.seed),
    make_step,
    {'mean': mean, 'std': std},
    train_actor_critic.make_batches(latents, config.denoiser.train.batch_size),
    evaluate,
    build.stage_key(latents.seed, 'denoiser'),
  )
