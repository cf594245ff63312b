"""Trains a GAN of images: without labels, or conditional on them.

The former is a model (`config.generator`) and a row of `config.alternatives`,
and sees no labels; the latter is a row. Their config sections have the same
keys, but for those of labels.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import optax
from flax import linen as nn

from lcjax.data import batches, dataset
from lcjax.evaluation import features, metrics
from lcjax.experiment import (
  architectures,
  build,
  jobs,
  row_batches,
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
  watch,
)

# Of the validation metrics: rows at most, and pixels of a side.
_MOST_ROWS, _PIXELS = 5000, 14


def is_conditional(which: stage.Stage) -> bool:
  """Whether a GAN sees labels."""
  return which is stage.CONDITIONAL_GAN


def build_modules(
  config: ml_collections.ConfigDict,
  which: stage.Stage,
  data: dataset.Dataset,
) -> tuple[nn.Module, nn.Module]:
  """Builds generator and discriminator; `data` gives the size of images."""
  make = (
    architectures.build_conditional_gan
    if is_conditional(which)
    else architectures.build_gan
  )
  found: tuple[nn.Module, nn.Module] = make(
    config[which.section], data.image_shape
  )
  return found


def critic_weights(
  section: ml_collections.ConfigDict,
) -> latent_steps.CriticWeights:
  """The weights in the loss of a discriminator, or of an AAE's critic."""
  return latent_steps.CriticWeights(
    moved=1.0,
    prior=0.0,
    mismatched=section.get('mismatched_weight', 0.0),
    gradient_penalty=section.gradient_penalty_weight,
    r1=section.r1_weight,
    r2=section.r2_weight,
  )


def _optimizers(
  config: ml_collections.ConfigDict, name: str
) -> tuple[optax.GradientTransformation, optax.GradientTransformation]:
  """Those of the generator, which may take fewer steps, and of D."""
  section = config[name]
  num_steps = section.train.num_steps
  return (
    build.make_optimizer(
      section.generator_optimizer,
      max(num_steps // section.discriminator_steps_per_generator_step, 1),
      f'{name}.generator_optimizer',
    ),
    build.make_optimizer(
      section.discriminator_optimizer,
      num_steps,
      f'{name}.discriminator_optimizer',
    ),
  )


def make_state(
  config: ml_collections.ConfigDict,
  which: stage.Stage,
  data: dataset.Dataset,
  replicate: int,
) -> Callable[[], state.TrainState]:
  """Builds the function that makes the state before the first step."""
  name, section = which.section, config[which.section]
  generator, discriminator = build_modules(config, which, data)
  key = build.stage_key(config.seed + replicate, f'{name}/init')
  generator_tx, discriminator_tx = _optimizers(config, name)
  z = np.zeros((1, section.latent_size), np.float32)
  image = np.zeros((1, *data.image_shape), np.float32)
  label = np.zeros((1, len(data.labels)), np.float32)
  more = (label,) if is_conditional(which) else ()

  def make() -> state.TrainState:
    own_key, other_key = jax.random.split(key)
    return state.create(
      {
        'generator': state.create_network(
          generator.init(own_key, z, *more),
          generator_tx,
          section.average_decay > 0,
        ),
        'discriminator': state.create_network(
          discriminator.init(other_key, image, *more), discriminator_tx, False
        ),
      }
    )

  return make


def load(
  job: jobs.Job, which: stage.Stage, data: dataset.Dataset, replicate: int
) -> tuple[nn.Module, Any, float]:
  """Restores a trained generator.

  Returns:
    The module, its parameters, and the seconds of its training.
  """
  make = make_state(job.config, which, data, replicate)
  found = training_parts.load(job, which, replicate, make)
  decay = job.config[which.section].average_decay
  params = state.averaged(found.state['generator'], decay)
  module, _ = build_modules(job.config, which, data)
  return module, params, found.seconds


def load_model(
  job: jobs.Job, data: dataset.Dataset, replicate: int
) -> tuple[latent_model.LatentModel, dict[str, float]]:
  """Restores the GAN without labels, and the seconds of its training."""
  module, params, seconds = load(job, stage.GAN, data, replicate)
  model = gan.of_gan(module, params, job.config.gan.latent_size)
  return model, {'gan': seconds}


def joint_features(images: np.ndarray, y: np.ndarray) -> np.ndarray:
  """Shrunk pixels in [0, 1] and labels side by side, [N, F + Y].

  Their Frechet distance sees means and covariances of pixels and of pixels with
  labels, so that images of another label than theirs count, too. No network
  has a part in it, least of all a judge.

  Args:
    images: [N, H, W, C] uint8.
    y: [N, Y]; Y is 0 without labels.
  """
  small = features.shrunk(images, _PIXELS).reshape(len(images), -1) / 255.0
  return np.concatenate([small, y], axis=-1)


def make_training(
  config: ml_collections.ConfigDict,
  which: stage.Stage,
  data: dataset.Dataset,
  held_out: dataset.Dataset,
  replicate: int,
) -> training_parts.Training:
  """Builds one replicate's training of a GAN."""
  name, seed = which.section, config.seed + replicate
  generator, discriminator = build_modules(config, which, data)
  generate_fn, score_fn = _with_labels(which, generator, discriminator)
  divergence = build.find_divergence(config, name)

  def make_step(
    config: ml_collections.ConfigDict,
    constants: dict[str, jax.Array],
    axis_name: str | None,
  ) -> steps.Step:
    del constants
    section = config[name]
    return gan_steps.make_gan_step(
      generate_fn,
      score_fn,
      section.latent_size,
      *_optimizers(config, name),
      critic_weights(section),
      divergence,
      section.average_decay,
      section.discriminator_steps_per_generator_step,
      axis_name,
      section.train.nonfinite == 'skip',
    )

  return training_parts.Training(
    make_state(config, which, data, replicate),
    make_step,
    {},
    _make_batches(config, which, data, seed),
    _make_evaluate(config, which, held_out, seed),
    build.stage_key(seed, name),
  )


def _with_labels(
  which: stage.Stage, generator: nn.Module, discriminator: nn.Module
) -> tuple[Callable[..., jax.Array], Callable[..., jax.Array]]:
  """Both networks as functions of labels, too, which may not see them."""
  generate_fn, score_fn = apply.Apply(generator), apply.Apply(discriminator)
  if is_conditional(which):
    return generate_fn, score_fn
  return (
    lambda params, z, _: generate_fn(params, z),
    lambda params, images, _: score_fn(params, images),
  )


def _make_batches(
  config: ml_collections.ConfigDict,
  which: stage.Stage,
  data: dataset.Dataset,
  seed: int,
) -> Callable[[int, int], dict[str, np.ndarray]]:
  """Batches of images; with labels of their own rows and of other ones."""
  size = config[which.section].train.batch_size
  if not is_conditional(which):
    return row_batches.of_images(data, seed, size)
  own = row_batches.of_images(data, seed, size, labelled=True)

  def make(step: int, count: int) -> dict[str, np.ndarray]:
    others, _ = parallel.local_rows(
      batches.stacked_indices((seed, 1), step, count, size, len(data))
    )
    return own(step, count) | {'other_attributes': data.attributes[others]}

  return make


def _make_evaluate(
  config: ml_collections.ConfigDict,
  which: stage.Stage,
  held_out: dataset.Dataset,
  seed: int,
) -> Callable[[state.TrainState], dict[str, float]]:
  """Builds: state -> scores, `watch.measure` of pixels, and 'joint_frechet'."""
  name, section = which.section, config[which.section]
  modules = build_modules(config, which, held_out)
  generate_fn, score_fn = _with_labels(which, *modules)
  divergence = build.find_divergence(config, name)
  decode = build.make_decode(generate_fn)
  outputs_of = jax.jit(
    lambda params, images, y: score_fn(params, objectives.to_unit(images), y)
  )
  real = held_out.images[:_MOST_ROWS]
  labels = held_out.attributes[:_MOST_ROWS]
  y = labels if is_conditional(which) else labels[:, :0]
  of_real = joint_features(real, y)
  # The same noise at every evaluation, so that values compare.
  z = noise.draw(
    build.stage_key(seed, f'{name}/evaluate'),
    np.arange(len(real)),
    section.latent_size,
  )
  size = config.generate.batch_size

  def evaluate(current: state.TrainState) -> dict[str, float]:
    mover = state.averaged(current['generator'], section.average_decay)
    critic = current['discriminator'].params
    made = encodings.in_batches(
      parallel.over_devices(lambda *rows: decode(mover, *rows)),
      z,
      y,
      batch_size=size,
    )
    score = parallel.over_devices(lambda *rows: outputs_of(critic, *rows))
    outputs = [
      encodings.in_batches(score, images, y, batch_size=size)
      for images in (real, made)
    ]
    reference = jnp.median(outputs[0])
    odds = [divergence.log_odds(jnp.asarray(v), reference) for v in outputs]
    rows = joint_features(made, y), of_real
    made_pixels, real_pixels = (a[:, : a.shape[1] - y.shape[1]] for a in rows)
    measured = watch.measure(
      made_pixels,
      real_pixels,
      outputs[1],
      outputs[0],
      y if is_conditional(which) else None,
    )
    distance = metrics.frechet_distance(*rows)
    return (
      divergence.scores(*odds) | measured | {'joint_frechet': float(distance)}
    )

  return evaluate
