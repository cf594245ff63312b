"""Everything that a launcher will need, asked before its first training."""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from etils import epath

from lcjax import errors, types
from lcjax.data import dataset
from lcjax.experiment import (
  build,
  class_mixture,
  jobs,
  stage,
  train_actor_critic,
  train_classifier,
  train_denoiser,
  train_vae,
)

# Sources of independent attributes, known as such before a file is read.
_BITS = ('celeba', 'tfds:celeb_a')
# What `launch.ablate` writes first into its workdir.
ABLATIONS = 'ablations.json'


def check(
  job: jobs.Job, trainings: Sequence[stage.Stage], judges: bool
) -> None:
  """Raises UserError for the first thing that would fail later.

  Args:
    job: what is to be done.
    trainings: that are to be done, or to be there.
    judges: whether the launcher reads the split that results are reported on.
  """
  config = job.config
  check_workdir(job.workdir)
  check_places(job.workdir, [one.name for one in trainings], config.num_seeds)
  if config.data.name in _BITS:
    check_mixture_above(config, types.Bits(()))
  train = build.load_data(job, 'train')
  build.load_data(job, 'validation')
  check_mixture_above(config, train.labels)
  if judges:
    test = build.load_data(job, config.compare.split)
    check_neighbours(config, test)
    check_classes(train, test, config.compare.split)
  check_memory(config, trainings, train)


def check_pipeline(job: jobs.Job) -> None:
  """`check` of every training and the comparison."""
  check(job, stage.trainings(job.config), judges=True)


def _holds_run(workdir: epath.Path) -> bool:
  """Whether a run lies in a workdir itself: a copy may lack its config."""
  own = (workdir / 'config.json', workdir / 'compare' / 'runs')
  return any(path.exists() for path in own) or any(
    workdir.glob('*/checkpoints')
  )


def is_ablate(workdir: epath.Path) -> bool:
  """Whether a workdir is one of `launch.ablate`."""
  if (workdir / ABLATIONS).exists():
    return True
  # From before there was that file: a comparison, or groups, and no run.
  written = any((workdir / one).exists() for one in ('groups', 'compare'))
  return written and not _holds_run(workdir)


def check_workdir(workdir: epath.Path) -> None:
  """Raises UserError if runs of `launch.ablate` lie in a workdir."""
  if is_ablate(workdir):
    raise errors.UserError(
      f'--workdir={workdir} is one of launch.ablate: name one of the runs in '
      'it, or another folder'
    )


def check_ablate_workdir(workdir: epath.Path) -> None:
  """Raises UserError if a workdir holds a run of its own."""
  if _holds_run(workdir):
    raise errors.UserError(
      f'--workdir={workdir} holds a run, whose comparison launch.ablate would '
      'replace: name another folder'
    )


def check_path(workdir: str) -> None:
  """Raises UserError unless a folder of that name can be made."""
  try:
    workdir.encode()
  except UnicodeEncodeError as error:
    raise errors.UserError(
      f'--workdir={workdir!r} is no text in UTF-8: name another folder'
    ) from error
  if '\0' in workdir:
    raise errors.UserError(
      f'--workdir={workdir!r} holds a NUL character: name another folder'
    )


def check_places(
  workdir: epath.Path, names: Sequence[str], num_seeds: int
) -> None:
  """Raises UserError if a file lies where a folder is to be made."""
  own = ('cache', 'compare', 'generate', 'figures', class_mixture.FOLDER)
  roots = [stage.root_of(workdir, i) for i in range(num_seeds)]
  wanted = [root / name for root in roots for name in (*names, *own)]
  for path in (workdir, workdir / 'seeds', *roots, *wanted):
    if path.exists() and not path.is_dir():
      raise errors.UserError(
        f'{path} is a file, where a folder is to be made: move it, or take '
        'another --workdir'
      )


def check_mixture_above(config: Any, labels: types.Labels) -> None:
  """Raises UserError if a mixture of classes is asked for without classes."""
  above = config.denoise.mixture_above
  if above < 1.0 and isinstance(labels, types.Bits):
    raise errors.UserError(
      f'config.denoise.mixture_above={above} needs classes, but the attributes '
      f'of {config.data.name!r} are independent of each other: set it to 1'
    )


def check_neighbours(config: Any, test: dataset.Dataset) -> None:
  """Raises UserError if there are too few images to have so many neighbours."""
  least = min(config.compare.num_samples, len(test))
  if config.compare.num_neighbours >= least:
    raise errors.UserError(
      f'config.compare.num_neighbours={config.compare.num_neighbours} must be '
      f'below {least}: config.compare.num_samples, and the images of the '
      f'{config.compare.split} split'
    )


def check_classes(
  train: dataset.Dataset, test: dataset.Dataset, split: str
) -> None:
  """Raises UserError for a class that is requested and cannot be learnt."""
  if not isinstance(train.labels, types.Classes):
    return
  if test.labels != train.labels:
    raise errors.UserError(
      f'the classes of the {split} split, {errors.listed(test.labels.names)}, '
      f'are not those of the train split, {errors.listed(train.labels.names)}'
    )
  counts = train.attributes.sum(axis=0).astype(int)
  asked = test.attributes.sum(axis=0) > 0
  for name, count, is_asked in zip(
    train.labels.names, counts, asked, strict=True
  ):
    if is_asked and count < 2:
      rows = 'no row' if count == 0 else 'a single row'
      raise errors.UserError(
        f'the {split} split has rows of the class {name!r}, and the train '
        f'split {rows} of it: a mixture needs two. Add some, or take the class '
        'out of the data'
      )
    if count == 1:
      raise errors.UserError(
        f'the train split has a single row of the class {name!r}: a mixture '
        'needs two. Add some, or take the class out of the data'
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
  return sum(int(np.prod(leaf.shape)) * leaf.dtype.itemsize for leaf in leaves)


def check_memory(
  config: Any, trainings: Sequence[stage.Stage], train: dataset.Dataset
) -> None:
  """Raises UserError if a training's state cannot fit into memory.

  On a CPU: of an accelerator's, JAX itself says it at the first step.
  """
  memory = memory_bytes()
  if memory is None or jax.default_backend() != 'cpu':
    return
  networks = build.build_networks(config, train)
  seed, size = config.seed, len(train.labels)
  makers: Mapping[str, Callable[[], Any]] = {
    'vae': train_vae.make_state(config, networks, train, 0),
    'classifier': train_classifier.make_state(config, networks, train),
    'latent_critics': train_actor_critic.make_critics_state(
      config, networks, seed
    ),
    'actor_critic': train_actor_critic.make_actor_state(
      config, networks, size, seed
    ),
    'denoiser': train_denoiser.make_state(config, networks, seed),
  }
  for section in dict.fromkeys(one.section for one in trainings):
    needed = state_bytes(makers[section])
    if needed > memory:
      raise errors.UserError(
        f'config.{section}: parameters and optimiser take '
        f'{needed / 2**30:.1f} GiB, '
        f'this machine has {memory / 2**30:.1f}: make '
        'its networks smaller'
      )
