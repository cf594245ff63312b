"""Trains the conditional GAN, a row of `config.alternatives`, with labels."""

import functools
from collections.abc import Callable

import jax
import ml_collections
import numpy as np
import optax

from lcjax.data import batches, dataset
from lcjax.evaluation import features, metrics
from lcjax.experiment import (
  architectures,
  build,
  jobs,
  stage,
  training_parts,
)
from lcjax.latent import encodings, noise
from lcjax.models import apply, conditional
from lcjax.training import gan_steps, latent_steps, parallel, state, steps

_NAME = 'conditional_gan'
# Of the validation metric: rows at most, and pixels of a side.
_MOST_ROWS, _PIXELS = 5000, 14


def build_modules(
  config: ml_collections.ConfigDict, data: dataset.Dataset
) -> tuple[
  conditional.ConditionalGenerator, conditional.ConditionalDiscriminator
]:
  """Builds both modules; `data` gives the size of images."""
  return architectures.build_conditional_gan(
    config.conditional_gan, data.image_shape
  )


def _optimizers(
  config: ml_collections.ConfigDict,
) -> tuple[optax.GradientTransformation, optax.GradientTransformation]:
  """Those of the generator, which may take fewer steps, and of D."""
  section = config.conditional_gan
  num_steps = section.train.num_steps
  ratio = section.discriminator_steps_per_generator_step
  return (
    build.make_optimizer(
      section.generator_optimizer,
      max(num_steps // ratio, 1),
      f'{_NAME}.generator_optimizer',
    ),
    build.make_optimizer(
      section.discriminator_optimizer,
      num_steps,
      f'{_NAME}.discriminator_optimizer',
    ),
  )


def make_state(
  config: ml_collections.ConfigDict, data: dataset.Dataset, replicate: int
) -> Callable[[], state.TrainState]:
  """Builds the function that makes the state before the first step."""
  section = config.conditional_gan
  generator, discriminator = build_modules(config, data)
  key = build.stage_key(config.seed + replicate, f'{_NAME}/init')
  y = np.zeros((1, len(data.labels)), np.float32)
  z = np.zeros((1, section.latent_size), np.float32)
  image = np.zeros((1, *data.image_shape), np.float32)
  generator_tx, discriminator_tx = _optimizers(config)

  def make() -> state.TrainState:
    own_key, other_key = jax.random.split(key)
    return state.create(
      {
        'generator': state.create_network(
          generator.init(own_key, z, y), generator_tx, section.average_decay > 0
        ),
        'discriminator': state.create_network(
          discriminator.init(other_key, image, y), discriminator_tx, False
        ),
      }
    )

  return make


def load(
  job: jobs.Job, data: dataset.Dataset, replicate: int
) -> training_parts.Finished:
  """Restores the trained conditional GAN."""
  make = make_state(job.config, data, replicate)
  return training_parts.load(job, stage.CONDITIONAL_GAN, replicate, make)


def critic_weights(
  section: ml_collections.ConfigDict,
) -> latent_steps.CriticWeights:
  """The weights in the discriminator's loss."""
  return latent_steps.CriticWeights(
    moved=1.0,
    prior=0.0,
    mismatched=section.mismatched_weight,
    gradient_penalty=section.gradient_penalty_weight,
    r1=section.r1_weight,
    r2=section.r2_weight,
  )


def joint_features(images: np.ndarray, y: np.ndarray) -> np.ndarray:
  """Shrunk pixels in [0, 1] and labels side by side, [N, F + Y].

  Their Frechet distance sees means and covariances of pixels and of pixels with
  labels, so that images of another label than theirs count, too. No network
  has a part in it, least of all a judge.

  Args:
    images: [N, H, W, C] uint8.
    y: [N, Y].
  """
  small = features.shrunk(images, _PIXELS).reshape(len(images), -1) / 255.0
  return np.concatenate([small, y], axis=-1)


def make_training(
  config: ml_collections.ConfigDict,
  data: dataset.Dataset,
  held_out: dataset.Dataset,
  replicate: int,
) -> training_parts.Training:
  """Builds one replicate's training of the conditional GAN."""
  section, seed = config.conditional_gan, config.seed + replicate
  generator, discriminator = build_modules(config, data)
  divergence = build.find_divergence(config, _NAME)

  def make_step(
    config: ml_collections.ConfigDict,
    constants: dict[str, jax.Array],
    axis_name: str | None,
  ) -> steps.Step:
    del constants
    section = config.conditional_gan
    return gan_steps.make_gan_step(
      apply.Apply(generator),
      apply.Apply(discriminator),
      section.latent_size,
      *_optimizers(config),
      critic_weights(section),
      divergence,
      section.average_decay,
      section.discriminator_steps_per_generator_step,
      axis_name,
      section.train.nonfinite == 'skip',
    )

  def make_batches(step: int, count: int) -> dict[str, np.ndarray]:
    size = section.train.batch_size
    (rows, numbers), (others, _) = (
      parallel.local_rows(
        batches.stacked_indices((seed, order), step, count, size, len(data))
      )
      for order in (0, 1)
    )
    return {
      'image': data.images[rows],
      'attributes': data.attributes[rows],
      'other_attributes': data.attributes[others],
      'row': numbers,
    }

  key = build.stage_key(seed, _NAME)
  decode = build.make_decode(apply.Apply(generator))
  y = held_out.attributes[:_MOST_ROWS]
  real = joint_features(held_out.images[:_MOST_ROWS], y)
  # The same noise at every evaluation, so that values compare.
  z = noise.draw(key, np.arange(len(y)), section.latent_size)

  def evaluate(current: state.TrainState) -> dict[str, float]:
    params = state.averaged(current['generator'], section.average_decay)
    made = encodings.in_batches(
      parallel.over_devices(functools.partial(decode, params)),
      z,
      y,
      batch_size=config.generate.batch_size,
    )
    distance = metrics.frechet_distance(joint_features(made, y), real)
    return {'joint_frechet': float(distance)}

  return training_parts.Training(
    make_state(config, data, replicate),
    make_step,
    {},
    make_batches,
    evaluate,
    key,
  )
