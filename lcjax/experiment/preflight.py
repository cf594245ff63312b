"""Everything that a launcher will need, asked before its first training."""

import json
import os
from collections.abc import Sequence
from typing import Any

from etils import epath

from lcjax import errors, types
from lcjax.data import dataset
from lcjax.experiment import (
  build,
  class_mixture,
  jobs,
  memory,
  stage,
)
from lcjax.training import parallel

# What `launch.ablate` writes first into its workdir.
ABLATIONS = 'ablations.json'


def check(
  job: jobs.Job,
  trainings: Sequence[stage.Stage],
  judges: bool,
  trains: bool = True,
  further_splits: Sequence[str] = (),
) -> None:
  """Raises UserError for the first thing that would fail later.

  In all processes, if in any of them: their machines and files may differ.

  Args:
    job: what is to be done.
    trainings: that are to be done, or to be there.
    judges: whether the launcher reads the split that results are reported on.
    trains: whether batches are read, and shared by the devices of this machine.
      A finished run may be read on others.
    further_splits: that it reads beside that one, and those of trainings.
  """
  config = job.config
  sections = list(dict.fromkeys(one.section for one in trainings))
  with parallel.raising_together():  # before images are decoded
    check_workdir(job.workdir)
    check_places(job.workdir, [one.name for one in trainings], config.num_seeds)
    if trains:
      for section in sections:
        parallel.check_batch_size(
          config[section].train.batch_size, f'config.{section}.train.batch_size'
        )
      if config.data.name in dataset.CROPPED:
        memory.check_images(config, sections, config.data.image_size**2)
    check_mixture_above(job)
  train = load_split(job, 'train')
  load_split(job, 'validation')
  for split in further_splits:
    load_split(job, split)
  test = load_split(job, config.compare.split) if judges else None
  with parallel.raising_together():
    if test is not None:
      check_neighbours(config, train, test)
      check_classes(train, test, config.compare.split)
    memory.check_states(config, sections, train)
    if trains:
      memory.check_batches(config, sections, train)
    if judges or not trains:
      memory.check_samples(config, train, judges)


def load_split(job: jobs.Job, split: str) -> dataset.Dataset:
  """A split, or UserError if there is nothing in it.

  Waits for all processes, see `build.load_data`.
  """
  data = build.load_data(job, split)
  with parallel.raising_together():
    if not len(data):
      raise errors.UserError(
        f'config.data.name={job.config.data.name!r} has no image in its '
        f'{split} split (config.data.dir={job.config.data.dir!r}): add some'
      )
  return data


def check_pipeline(
  job: jobs.Job, trains: bool = False, further_splits: Sequence[str] = ()
) -> None:
  """`check` of every training and the comparison."""
  check(job, stage.trainings(job.config), True, trains, further_splits)


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
  # From before there was that file: a comparison, groups, or a run that keeps
  # its pixels here, and no run of its own.
  written = any((workdir / one).exists() for one in ('groups', 'compare'))
  return (written or _shares_cache(workdir)) and not _holds_run(workdir)


def _shares_cache(workdir: epath.Path) -> bool:
  """Whether a run in a folder of a workdir has its cache in the workdir."""
  for path in workdir.glob('*/config.json'):
    try:
      place = json.loads(path.read_text())['data']['cache_dir']
    except (OSError, ValueError, KeyError, TypeError):
      continue  # somebody else's file
    if place and epath.Path(place).resolve() == (workdir / 'cache').resolve():
      return True
  return False


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
    # A link that leads nowhere does not exist, but is in the way.
    if os.path.lexists(path) and not path.is_dir():
      raise errors.UserError(
        f'{path} is a file, where a folder is to be made: move it, or take '
        'another --workdir'
      )


def check_mixture_above(job: jobs.Job) -> None:
  """Raises UserError if a mixture of classes is asked for without classes."""
  above = job.config.denoise.mixture_above
  if above < 1.0 and isinstance(build.load_labels(job), types.Bits):
    raise errors.UserError(
      f'config.denoise.mixture_above={above} needs classes, but the attributes '
      f'of {job.config.data.name!r} are independent of each other: set it to 1'
    )


def check_neighbours(
  config: Any, train: dataset.Dataset, test: dataset.Dataset
) -> None:
  """Raises UserError if there are too few images to have so many neighbours."""
  least = min(config.compare.num_samples, len(test), len(train))
  if config.compare.num_neighbours >= least:
    raise errors.UserError(
      f'config.compare.num_neighbours={config.compare.num_neighbours} must be '
      f'below {least}: config.compare.num_samples, the images of the '
      f'{config.compare.split} split, and those of the train split'
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
