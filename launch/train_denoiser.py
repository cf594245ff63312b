r"""Trains the guided denoiser's two networks on noised encodings.

python -m launch.train_denoiser --config=configs/digits.py \
  --workdir=runs/digits

The denoiser sees no labels; D_attr(z_t, t) learns them on the same latents.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import ml_collections

from launch import class_mixture, experiment, stage, startup, train_actor_critic
from lcjax.latent import denoise, noise
from lcjax.losses import attributes
from lcjax.training import denoiser_steps, state, steps

OPTIMIZERS = ('velocity_optimizer', 'attribute_optimizer')


def make_state(
  config: ml_collections.ConfigDict, networks: experiment.Networks, seed: int
) -> Callable[[], state.DenoiserState]:
  """Builds the function that makes the state before the first step."""
  first, second = jax.random.split(experiment.stage_key(seed, 'denoiser/init'))
  z, t = jnp.zeros((1, config.vae.latent_size)), jnp.zeros(1)
  average = config.denoiser.average_decay > 0

  def make() -> state.DenoiserState:
    modules = networks.denoiser, networks.noised_attribute_critic
    velocity, attribute = (
      state.create(module.init(key, z, t), tx, average)
      for module, key, tx in zip(
        modules,
        (first, second),
        experiment.make_optimizers(config, 'denoiser', OPTIMIZERS),
        strict=True,
      )
    )
    return state.DenoiserState(jnp.int32(0), velocity, attribute)

  return make


def train(
  job: startup.Job, repeat: int, setting: train_actor_critic.Setting
) -> None:
  """Trains the denoiser of one repetition."""
  config = job.config
  section, networks = config.denoiser, setting.networks
  # With the training that it belongs to, not at the first use of the mover.
  class_mixture.for_denoiser(job, repeat, setting.train)
  velocity_fn = experiment.apply_fn(networks.denoiser)
  attribute_fn = experiment.apply_fn(networks.noised_attribute_critic)
  center = jnp.asarray(setting.train.center)
  spread = jnp.asarray(setting.train.spread)
  velocity_tx, attribute_tx = experiment.make_optimizers(
    config, 'denoiser', OPTIMIZERS
  )

  def make_step(axis_name: str | None) -> steps.Step:
    return denoiser_steps.make_denoiser_step(
      velocity_fn,
      attribute_fn,
      center,
      spread,
      velocity_tx,
      attribute_tx,
      setting.exclusive,
      section.average_decay,
      axis_name,
      section.train.nonfinite == 'skip',
    )

  # The same latents, noise and times at every evaluation.
  z = (jnp.asarray(setting.validation.sample(0)) - center[None]) / spread[None]
  y = jnp.asarray(setting.validation.attributes)
  rows = jnp.arange(len(z))
  eps = noise.normal(jax.random.key(0), rows, z.shape[1])
  time = (rows + 0.5) / len(z)
  noised = denoise.add_noise(z, time, eps)

  @jax.jit
  def validate(current: state.DenoiserState) -> dict[str, jax.Array]:
    decay = section.average_decay
    velocity_params = state.averaged(current.velocity, decay)
    predicted = velocity_fn(velocity_params, noised, time)
    attribute_params = state.averaged(current.attribute, decay)
    logits = attribute_fn(attribute_params, noised, time)
    error = jnp.square(predicted - denoise.velocity(z, time, eps))
    accuracy = attributes.accuracy(logits, y, setting.exclusive)
    return {
      'velocity_mse': jnp.mean(error),
      'attribute_accuracy': jnp.mean(accuracy),
    }

  def evaluate(current: state.DenoiserState) -> dict[str, float]:
    return {name: float(v) for name, v in validate(current).items()}

  stage.run(
    job,
    stage.DENOISER,
    repeat,
    make_state(config, networks, setting.seed),
    make_step,
    train_actor_critic.make_batches(setting, section.train.batch_size),
    evaluate,
    experiment.stage_key(setting.seed, 'denoiser'),
  )


def run(job: startup.Job) -> None:
  """Trains the denoiser for every seed."""
  for repeat in range(job.config.num_seeds):
    train(job, repeat, train_actor_critic.prepare(job, repeat))


def main() -> None:
  """Flags, then one call."""
  run(startup.job())


if __name__ == '__main__':
  startup.run(main)
