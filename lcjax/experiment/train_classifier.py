"""Trains classifiers of images on real images only: judges, and the labeller.

The labeller is trained only for a model without an encoder.
"""

import functools
from collections.abc import Callable

import jax
import ml_collections

from lcjax import types
from lcjax.data import dataset
from lcjax.experiment import build, jobs, row_batches, stage, training_parts
from lcjax.models import apply, classifier
from lcjax.training import objectives, state, steps


def make_state(
  config: ml_collections.ConfigDict,
  which: stage.Stage,
  data: dataset.Dataset,
) -> Callable[[], state.TrainState]:
  """Builds the function that makes the state before the first step."""
  section = which.section
  module = build.build_classifier(config, section, data)
  seed = config.seed + config[section].seed
  return build.make_image_state(config, section, module, data, seed)


def load(
  job: jobs.Job,
  which: stage.Stage,
  data: dataset.Dataset,
) -> training_parts.Finished:
  """Restores a trained classifier, which all replicates share."""
  make = make_state(job.config, which, data)
  return training_parts.load(job, which, 0, make)


def make_loss(
  module: classifier.Classifier,
  labels: types.Labels,
  pixel_noise: float,
  flip: bool,
) -> steps.LossFn:
  """A classifier's loss, with noise and optional flips as augmentation."""
  logits_and_features = apply.Apply(module)
  return objectives.make_classifier_loss(
    lambda p, x: logits_and_features(p, x)[0], labels, pixel_noise, flip
  )


# Cached, so that the judges of several seeds share one compiled evaluation.
_evaluated_loss = functools.lru_cache(maxsize=16)(make_loss)


def make_training(
  config: ml_collections.ConfigDict,
  which: stage.Stage,
  data: dataset.Dataset,
  held_out: dataset.Dataset,
) -> training_parts.Training:
  """Builds the training of one of `stage.CLASSIFIERS`."""
  name = which.section
  module = build.build_classifier(config, name, data)
  seed = config.seed + config[name].seed

  def make_step(
    config: ml_collections.ConfigDict,
    constants: dict[str, jax.Array],
    axis_name: str | None,
  ) -> steps.Step:
    del constants
    section = config[name]
    update = steps.make_update(
      make_loss(module, data.labels, section.pixel_noise, section.flip),
      build.make_optimizer(
        section.optimizer, section.train.num_steps, f'{name}.optimizer'
      ),
      axis_name=axis_name,
      skip_nonfinite=section.train.nonfinite == 'skip',
    )
    return steps.make_train_step({name: update})

  key = build.stage_key(seed, name)
  validate = build.make_validate(
    _evaluated_loss(module, data.labels, 0.0, flip=False), key
  )

  def evaluate(current: state.TrainState) -> dict[str, float]:
    arrays = {'image': held_out.images, 'attributes': held_out.attributes}
    return validate(current[name].params, arrays)

  return training_parts.Training(
    make_state(config, which, data),
    make_step,
    {},
    row_batches.of_images(
      data, seed, config[name].train.batch_size, labelled=True
    ),
    evaluate,
    key,
  )
