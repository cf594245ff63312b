"""Trains a GAN. It sees no labels."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import optax

from lcjax.data import batches, dataset
from lcjax.experiment import (
  architectures,
  build,
  jobs,
  stage,
  training_parts,
)
from lcjax.generators import gan, latent_model
from lcjax.latent import encodings, noise
from lcjax.models import apply
from lcjax.training import (
  gan_steps,
  latent_steps,
  objectives,
  parallel,
  state,
  steps,
)

_EVALUATED = 2000  # held-out images, at most


def _optimizers(
  config: ml_collections.ConfigDict,
) -> tuple[optax.GradientTransformation, optax.GradientTransformation]:
  """Those of the generator and the discriminator."""
  section = config.gan
  num_steps = section.train.num_steps
  return (
    build.make_optimizer(
      section.generator_optimizer,
      max(num_steps // section.discriminator_steps_per_generator_step, 1),
      'gan.generator_optimizer',
    ),
    build.make_optimizer(
      section.discriminator_optimizer, num_steps, 'gan.discriminator_optimizer'
    ),
  )


def make_state(
  config: ml_collections.ConfigDict, data: dataset.Dataset, replicate: int
) -> Callable[[], state.TrainState]:
  """Builds the function that makes the state before the first step."""
  section = config.gan
  generator, discriminator = architectures.build_gan(section, data.image_shape)
  key = build.stage_key(config.seed + replicate, 'gan/init')
  generator_tx, discriminator_tx = _optimizers(config)

  def make() -> state.TrainState:
    own_key, other_key = jax.random.split(key)
    z = jnp.zeros((1, section.latent_size))
    image = jnp.zeros((1, *data.image_shape))
    return state.create(
      {
        'generator': state.create_network(
          generator.init(own_key, z), generator_tx, section.average_decay > 0
        ),
        'discriminator': state.create_network(
          discriminator.init(other_key, image), discriminator_tx, False
        ),
      }
    )

  return make


def load_model(
  job: jobs.Job, data: dataset.Dataset, replicate: int
) -> tuple[latent_model.LatentModel, float]:
  """Restores the trained generator, and the seconds of its training."""
  section = job.config.gan
  make = make_state(job.config, data, replicate)
  found = training_parts.load(job, stage.GAN, replicate, make)
  module, _ = architectures.build_gan(section, data.image_shape)
  params = state.averaged(found.state['generator'], section.average_decay)
  return gan.of_gan(module, params, section.latent_size), found.seconds


def make_training(
  config: ml_collections.ConfigDict,
  data: dataset.Dataset,
  held_out: dataset.Dataset,
  replicate: int,
) -> training_parts.Training:
  """Builds one replicate's training of the GAN."""
  section, seed = config.gan, config.seed + replicate
  generator, discriminator = architectures.build_gan(section, data.image_shape)
  generate_fn, score_fn = apply.Apply(generator), apply.Apply(discriminator)
  divergence = build.find_divergence(config, 'gan')

  def make_step(
    config: ml_collections.ConfigDict,
    constants: dict[str, jax.Array],
    axis_name: str | None,
  ) -> steps.Step:
    del constants
    section = config.gan
    return gan_steps.make_gan_step(
      lambda params, z, _: generate_fn(params, z),
      lambda params, images, _: score_fn(params, images),
      section.latent_size,
      *_optimizers(config),
      latent_steps.CriticWeights(
        moved=1.0,
        prior=0.0,
        mismatched=0.0,
        gradient_penalty=section.gradient_penalty_weight,
        r1=section.r1_weight,
        r2=section.r2_weight,
      ),
      divergence,
      section.average_decay,
      section.discriminator_steps_per_generator_step,
      axis_name,
      section.train.nonfinite == 'skip',
    )

  def make_batches(step: int, count: int) -> dict[str, np.ndarray]:
    rows, numbers = parallel.local_rows(
      batches.stacked_indices(
        (seed, 0), step, count, section.train.batch_size, len(data)
      )
    )
    return {'image': data.images[rows], 'row': numbers}

  key = build.stage_key(seed, 'gan')
  real = held_out.images[:_EVALUATED]
  z = noise.draw(
    build.stage_key(seed, 'gan/evaluate'),
    np.arange(len(real)),
    section.latent_size,
  )
  decode = build.make_decode(generate_fn)
  outputs_of = jax.jit(
    lambda params, images: score_fn(params, objectives.to_unit(images))
  )

  def evaluate(current: state.TrainState) -> dict[str, float]:
    mover = state.averaged(current['generator'], section.average_decay)
    critic = current['discriminator'].params
    size = config.generate.batch_size
    made = encodings.in_batches(
      parallel.over_devices(lambda z: decode(mover, z)), z, batch_size=size
    )
    score = parallel.over_devices(lambda images: outputs_of(critic, images))
    of_real, of_made = (
      jnp.asarray(encodings.in_batches(score, images, batch_size=size))
      for images in (real, made)
    )
    reference = jnp.median(of_real)
    scores = divergence.scores(
      divergence.log_odds(of_real, reference),
      divergence.log_odds(of_made, reference),
    )
    varied = gan_steps.diversity(
      objectives.to_unit(jnp.asarray(made)),
      objectives.to_unit(jnp.asarray(real)),
    )
    return scores | {'diversity': float(varied)}

  return training_parts.Training(
    make_state(config, data, replicate),
    make_step,
    {},
    make_batches,
    evaluate,
    key,
  )
