"""Whether what a config asks for can fit into this machine's memory."""

import math
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax

from lcjax import errors
from lcjax.data import dataset
from lcjax.experiment import (
  build,
  movers,
  train_actor_critic,
  train_classifier,
  train_denoiser,
  train_vae,
)


def memory_bytes() -> int | None:
  """Bytes of this machine's memory; None where it does not say."""
  try:
    return os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE')
  except (AttributeError, OSError, ValueError):
    return None


def state_bytes(make_state: Callable[[], Any]) -> int:
  """Bytes of a training's state: parameters, their average, the optimiser's."""
  leaves = jax.tree.leaves(jax.eval_shape(make_state))
  return sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in leaves)


def _check_bytes(what: str, needed: int, remedy: str) -> None:
  """Raises UserError if so many bytes exceed this machine's memory."""
  memory = memory_bytes()
  if memory is not None and needed > memory:
    raise errors.UserError(
      f'{what} take {needed / 2**30:.1f} GiB, this machine has '
      f'{memory / 2**30:.1f}: {remedy}'
    )


def check_images(config: Any, sections: Sequence[str], num_pixels: int) -> None:
  """Raises UserError if a call's batches of images cannot fit into memory.

  Args:
    config: of the experiment.
    sections: of the trainings that are to be done, or to be there.
    num_pixels: of one image, over all channels.
  """
  sizes = f'{num_pixels} values'
  if config.data.name in dataset.CROPPED:  # of the others it is the files'
    sizes += f' (config.data.image_size={config.data.image_size})'
  for section in ('vae', 'classifier'):
    if section in sections:
      schedule = config[section].train
      # uint8 of all steps in a call; an image and its gradient of one step.
      needed = schedule.batch_size * num_pixels * (schedule.steps_per_call + 8)
      _check_bytes(
        f'config.{section}.train.batch_size={schedule.batch_size} images of '
        f'{sizes}',
        needed,
        'make one of them smaller',
      )


def _latent_bytes(config: Any, train: dataset.Dataset) -> int:
  """Of a latent and its attributes."""
  return 4 * (config.vae.latent_size + len(train.labels))


def _batch_bytes(config: Any, section: str, train: dataset.Dataset) -> int:
  """Bytes of the batches of one call of a training, at least."""
  schedule = config[section].train
  row = _latent_bytes(config, train)
  if section in ('vae', 'classifier'):  # they see images, as uint8
    row = math.prod(train.image_shape)
  rows = schedule.batch_size * schedule.steps_per_call
  return int(rows * row)


def check_batches(
  config: Any, sections: Sequence[str], train: dataset.Dataset
) -> None:
  """Raises UserError if a call's batches cannot fit into memory.

  The least that they take, so that nothing is refused that would have fitted.

  Args:
    config: of the experiment.
    sections: of the trainings that are to be done.
    train: the training split.
  """
  check_images(config, sections, math.prod(train.image_shape))
  for section in sections:
    if section not in ('vae', 'classifier'):
      size = config[section].train.batch_size
      _check_bytes(
        f'config.{section}.train.batch_size={size} rows',
        _batch_bytes(config, section, train),
        'make it smaller',
      )


def check_samples(config: Any, train: dataset.Dataset, judges: bool) -> None:
  """Raises UserError if samples that are kept cannot fit into memory.

  Args:
    config: of the experiment.
    train: the training split.
    judges: whether samples of all movers are compared.
  """
  row = math.prod(train.image_shape) + _latent_bytes(config, train)
  size = config.generate.batch_size  # the sampler pads fewer rows to it
  _check_bytes(
    f'config.generate.batch_size={size} rows', size * row, 'make it smaller'
  )
  if judges:
    size, kept = config.compare.num_samples, len(movers.names(config))
    _check_bytes(
      f'config.compare.num_samples={size} samples of each of {kept} movers',
      size * kept * row,
      'make it smaller',
    )


def _state_makers(
  config: Any, train: dataset.Dataset
) -> Mapping[str, Callable[[], Any]]:
  """What makes the state of every training, by section of the config."""
  networks = build.build_networks(config, train)
  seed, size = config.seed, len(train.labels)
  # Called under `eval_shape`: the inputs of `init` are not allocated either.
  return {
    'vae': lambda: train_vae.make_state(config, networks, train, 0)(),
    'classifier': lambda: train_classifier.make_state(
      config, networks, train
    )(),
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
  """Raises UserError if a training's state cannot fit into memory.

  On a CPU: of an accelerator's, JAX itself says it at the first step.
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
  """Raises UserError if an ensemble cannot fit into memory.

  The least that it takes: every member's batches of a call and, on a CPU,
  every member's state.

  Args:
    config: of one of its members.
    section: of the trainings.
    train: the training split.
    count: members.
    flag: that limits their number, as it is set.
  """
  memory = memory_bytes()
  each = _batch_bytes(config, section, train)
  if jax.default_backend() == 'cpu':
    each += state_bytes(_state_makers(config, train)[section])
  if memory is None or count * each <= memory:
    return
  fits = memory // each
  remedy = f'make it at most {fits}'
  if not fits:
    remedy = f'make config.{section}.train.batch_size or its networks smaller'
  raise errors.UserError(
    f'{flag}: an ensemble of {count} trainings of config.{section} takes '
    f'{count * each / 2**30:.1f} GiB, this machine has {memory / 2**30:.1f}: '
    f'{remedy}'
  )
