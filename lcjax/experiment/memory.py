"""Checks, before training, whether a config fits into main memory."""

import functools
import math
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax

from lcjax import errors
from lcjax.data import dataset
from lcjax.experiment import (
  build,
  external,
  named_movers,
  stage,
  train_aae,
  train_actor_critic,
  train_classifier,
  train_conditional_vae,
  train_denoiser,
  train_gan,
  train_two_stage,
  train_vae,
)

# Sections of trainings on images; the others see encodings.
_OF_IMAGES = tuple(
  which.section
  for which in (*stage.MODEL_STAGES, *stage.CLASSIFIERS)
  if which is not stage.TWO_STAGE
)


def memory_bytes() -> int | None:
  """Size of main memory in bytes; None if the system does not report it."""
  try:
    return os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE')
  except (AttributeError, OSError, ValueError):
    return None


def state_bytes(make_state: Callable[[], Any]) -> int:
  """Size in bytes of a training's state, which is not allocated."""
  leaves = jax.tree.leaves(jax.eval_shape(make_state))
  return sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in leaves)


def _check_bytes(what: str, needed: int, remedy: str) -> None:
  """Raises UserError if `needed` bytes exceed this machine's memory."""
  memory = memory_bytes()
  if memory is not None and needed > memory:
    raise errors.UserError(
      f'{what} take {needed / 2**30:.1f} GiB, but this machine has '
      f'{memory / 2**30:.1f} GiB: {remedy}'
    )


def check_images(config: Any, sections: Sequence[str], num_pixels: int) -> None:
  """Raises UserError if the image batches of one call exceed the memory.

  Args:
    config: of the experiment.
    sections: config sections of the trainings to run.
    num_pixels: values per image, over all channels.
  """
  sizes = f'{num_pixels} values'
  if config.data.name in dataset.CROPPED:  # others have a fixed size
    sizes += f' (config.data.image_size={config.data.image_size})'
  for section in _OF_IMAGES:
    if section in sections:
      schedule = config[section].train
      # Per value: a uint8 for every step of the call and, for one step, a
      # float32 and its gradient.
      needed = schedule.batch_size * num_pixels * (schedule.steps_per_call + 8)
      _check_bytes(
        f'config.{section}.train.batch_size={schedule.batch_size} images of '
        f'{sizes}',
        needed,
        'make one of them smaller',
      )


def _latent_bytes(config: Any, train: dataset.Dataset) -> int:
  """Size in bytes of a latent and its attributes, as float32."""
  return 4 * (external.latent_size(config) + len(train.labels))


def _batch_bytes(config: Any, section: str, train: dataset.Dataset) -> int:
  """Lower bound in bytes of the batches of one call of a training."""
  schedule = config[section].train
  row = _latent_bytes(config, train)
  if section in _OF_IMAGES:  # trained on uint8 images
    row = math.prod(train.image_shape)
  rows = schedule.batch_size * schedule.steps_per_call
  return int(rows * row)


def check_batches(
  config: Any, sections: Sequence[str], train: dataset.Dataset
) -> None:
  """Raises UserError if the batches of one call exceed the memory.

  Uses a lower bound of their size, so that a config that fits is never
  rejected.

  Args:
    config: of the experiment.
    sections: config sections of the trainings to run.
    train: the training split.
  """
  check_images(config, sections, math.prod(train.image_shape))
  for section in sections:
    if section not in _OF_IMAGES:
      size = config[section].train.batch_size
      _check_bytes(
        f'config.{section}.train.batch_size={size} rows',
        _batch_bytes(config, section, train),
        'make it smaller',
      )


def check_samples(config: Any, train: dataset.Dataset, judges: bool) -> None:
  """Raises UserError if the samples held at one time exceed the memory.

  Args:
    config: of the experiment.
    train: the training split.
    judges: whether samples of all movers are compared, and so all in memory.
  """
  row = math.prod(train.image_shape) + _latent_bytes(config, train)
  size = config.generate.batch_size  # fewer rows are padded to it
  _check_bytes(
    f'config.generate.batch_size={size} rows', size * row, 'make it smaller'
  )
  if judges:
    size, kept = config.compare.num_samples, len(named_movers.names(config))
    _check_bytes(
      f'config.compare.num_samples={size} samples of each of {kept} movers',
      size * kept * row,
      'make it smaller',
    )


def _classifier_state(
  config: Any, which: stage.Stage, train: dataset.Dataset
) -> Any:
  return train_classifier.make_state(config, which, train)()


def _gan_state(config: Any, which: stage.Stage, train: dataset.Dataset) -> Any:
  return train_gan.make_state(config, which, train, 0)()


def _state_makers(
  config: Any, train: dataset.Dataset
) -> Mapping[str, Callable[[], Any]]:
  """Functions that make the initial training state, by config section."""
  networks = build.build_networks(config, train)
  seed, size = config.seed, len(train.labels)
  # Lambdas, so that under `eval_shape` the inputs of `init` are not allocated
  # either.
  return {
    'vae': lambda: train_vae.make_state(config, networks, train, 0)(),
    'aae': lambda: train_aae.make_state(config, train, 0)(),
    'two_stage': lambda: train_two_stage.make_state(config, 0)(),
    'conditional_vae': lambda: train_conditional_vae.make_state(
      config, train, 0
    )(),
    **{
      which.section: functools.partial(_classifier_state, config, which, train)
      for which in stage.CLASSIFIERS
    },
    **{
      which.section: functools.partial(_gan_state, config, which, train)
      for which in stage.GANS
    },
    'latent_critics': lambda: train_actor_critic.make_critics_state(
      config, networks, seed
    )(),
    'actor_critic': lambda: train_actor_critic.make_actor_state(
      config, networks, size, seed
    )(),
    'denoiser': lambda: train_denoiser.make_state(config, networks, seed)(),
  }


def check_states(
  config: Any, sections: Sequence[str], train: dataset.Dataset
) -> None:
  """Raises UserError if the state of a training exceeds the memory.

  Only checked on CPU; on an accelerator, JAX raises at the first step.
  """
  if jax.default_backend() != 'cpu':
    return
  makers = _state_makers(config, train)
  for section in sections:
    _check_bytes(
      f'config.{section}: parameters and optimiser',
      state_bytes(makers[section]),
      'make its networks smaller',
    )


def check_ensemble(
  config: Any, section: str, train: dataset.Dataset, count: int, flag: str
) -> None:
  """Raises UserError if an ensemble exceeds the memory.

  Uses a lower bound: the batches of one call and, on CPU, the state of every
  member.

  Args:
    config: of one member.
    section: config section of the trainings.
    train: the training split.
    count: number of members.
    flag: the flag that limits `count`, with its value, for the message.
  """
  memory = memory_bytes()
  each = _batch_bytes(config, section, train)
  if jax.default_backend() == 'cpu':
    each += state_bytes(_state_makers(config, train)[section])
  if memory is None or count * each <= memory:
    return
  fits = memory // each
  remedy = f'set the flag to at most {fits}'
  if not fits:
    remedy = f'reduce config.{section}.train.batch_size or its networks'
  raise errors.UserError(
    f'{flag}: an ensemble of {count} trainings of config.{section} takes '
    f'{count * each / 2**30:.1f} GiB, but this machine has '
    f'{memory / 2**30:.1f} GiB: {remedy}'
  )
