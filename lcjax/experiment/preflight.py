"""Checks everything that a launcher needs, before its first training."""

import json
import os
from collections.abc import Sequence
from typing import Any

from etils import epath

from lcjax import errors, types
from lcjax.data import dataset
from lcjax.experiment import (
  build,
  choices,
  class_mixture,
  external,
  jobs,
  memory,
  named_movers,
  rule_entries,
  stage,
)
from lcjax.training import parallel

# The first file that `launch.ablate` writes; marks its workdir.
ABLATIONS = 'ablations.json'


def check(
  job: jobs.Job,
  trainings: Sequence[stage.Stage],
  judges: bool,
  trains: bool = True,
  further_splits: Sequence[str] = (),
) -> None:
  """Raises UserError for the first problem that would appear later.

  If one process has a problem, all processes raise, since their machines and
  files may differ.

  Args:
    job: config and workdir of the run.
    trainings: trainings to run or, unless `trains`, to read.
    judges: whether the launcher evaluates on `config.compare.split`.
    trains: whether to check that batches fit the devices and the memory. Not
      needed to read a finished run, which works on any machine.
    further_splits: splits to check, in addition to those that trainings and
      the evaluation read.
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
    check_trained(config, trainings)
    build.check_divergences(config, sections)
    check_mixture_above(job)
    named_movers.check(config)
  train = load_split(job, 'train')
  load_split(job, 'validation')
  for split in further_splits:
    load_split(job, split)
  test = load_split(job, config.compare.split) if judges else None
  with parallel.raising_together():
    if test is not None:
      check_neighbours(config, train, test)
      check_classes(train, test, config.compare.split)
    external.check(config, train.image_shape)
    memory.check_states(config, sections, train)
    if trains:
      rule_entries.try_on(config, train.images)
      for which in stage.CLASSIFIERS:
        if which.section in sections:  # its layers may not fit the images
          build.build_classifier(config, which.section, train)
      memory.check_batches(config, sections, train)
    if judges or not trains:
      memory.check_samples(config, train, judges)


def check_rules(job: jobs.Job) -> None:
  """Raises UserError if a config has no rules to learn."""
  if not rule_entries.entries(job.config):
    raise errors.UserError(
      'config.constraints has no rule: add one in a config file, as in '
      "config.constraints.round = {'kind': 'rule', 'rule': 'holes'}"
    )


def check_trained(config: Any, trainings: Sequence[stage.Stage]) -> None:
  """Raises UserError if a training is none of this config's experiment."""
  for one in trainings:
    if one not in stage.trainings(config):
      raise errors.UserError(
        f'{one.name} is not trained with config.generator.kind='
        f'{config.generator.kind!r}: leave out launch.{one.launcher}'
      )


def load_split(job: jobs.Job, split: str) -> dataset.Dataset:
  """Loads a split; raises UserError if it has no images.

  A barrier for all processes, as `build.load_data` is.
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
  """Runs `check` for every training and the comparison."""
  check(job, stage.trainings(job.config), True, trains, further_splits)


def _holds_run(workdir: epath.Path) -> bool:
  """Whether a run is stored in a workdir, perhaps a copy without its config."""
  own = (workdir / 'config.json', workdir / 'compare' / 'runs')
  return any(path.exists() for path in own) or any(
    workdir.glob('*/checkpoints')
  )


def is_ablate(workdir: epath.Path) -> bool:
  """Whether a workdir belongs to `launch.ablate`."""
  if (workdir / ABLATIONS).exists():
    return True
  # Older versions did not write that file. Their workdirs have a comparison,
  # groups, or the cache of a run in a subfolder, but no run at the top level.
  written = any((workdir / one).exists() for one in ('groups', 'compare'))
  return (written or _shares_cache(workdir)) and not _holds_run(workdir)


def _shares_cache(workdir: epath.Path) -> bool:
  """Whether a run in a subfolder has its cache in WORKDIR/cache."""
  for path in workdir.glob('*/config.json'):
    try:
      place = json.loads(path.read_text())['data']['cache_dir']
    except (OSError, ValueError, KeyError, TypeError):
      continue  # not the config of a run
    if place and epath.Path(place).resolve() == (workdir / 'cache').resolve():
      return True
  return False


def check_workdir(workdir: epath.Path) -> None:
  """Raises UserError if a workdir belongs to `launch.ablate`."""
  if is_ablate(workdir):
    raise errors.UserError(
      f'--workdir={workdir} is one of launch.ablate: give the folder of one of '
      'its runs, or another folder'
    )


def check_ablate_workdir(workdir: epath.Path) -> None:
  """Raises UserError if a workdir holds a run, so ablations cannot use it."""
  if _holds_run(workdir):
    raise errors.UserError(
      f'--workdir={workdir} holds a run, and launch.ablate would replace its '
      'comparison: name another folder'
    )


def check_path(workdir: str) -> None:
  """Raises UserError if a path has characters that no folder can have."""
  try:
    workdir.encode()
  except UnicodeEncodeError as error:
    raise errors.UserError(
      f'--workdir={workdir!r} is not valid UTF-8: name another folder'
    ) from error
  if '\0' in workdir:
    raise errors.UserError(
      f'--workdir={workdir!r} contains a NUL character: name another folder'
    )


def check_places(
  workdir: epath.Path, names: Sequence[str], num_seeds: int
) -> None:
  """Raises UserError if a file is in the place of a folder of the run."""
  own = (
    'cache',
    'compare',
    'generate',
    'figures',
    class_mixture.FOLDER,
    choices.FOLDER,
    rule_entries.FOLDER,
  )
  roots = [stage.root_of(workdir, i) for i in range(num_seeds)]
  wanted = [root / name for root in roots for name in (*names, *own)]
  for path in (workdir, workdir / 'seeds', *roots, *wanted):
    # A broken link does not `exist`, but no folder can be created there.
    if os.path.lexists(path) and not path.is_dir():
      raise errors.UserError(
        f'{path} is a file, but a folder is needed there: move it, or use '
        'another --workdir'
      )


def check_mixture_above(job: jobs.Job) -> None:
  """Raises UserError if the denoiser uses a class mixture without classes."""
  above = job.config.denoise.mixture_above
  if above < 1.0 and isinstance(build.load_labels(job), types.Bits):
    raise errors.UserError(
      f'config.denoise.mixture_above={above} needs classes, but the attributes '
      f'of {job.config.data.name!r} are independent: set it to 1'
    )


def check_neighbours(
  config: Any, train: dataset.Dataset, test: dataset.Dataset
) -> None:
  """Raises UserError if there are too few images for `num_neighbours`."""
  least = min(config.compare.num_samples, len(test), len(train))
  if config.compare.num_neighbours >= least:
    raise errors.UserError(
      f'config.compare.num_neighbours={config.compare.num_neighbours} must be '
      f'below {least}, the smallest of config.compare.num_samples and the '
      f'numbers of images in the {config.compare.split} and train splits'
    )


def check_classes(
  train: dataset.Dataset, test: dataset.Dataset, split: str
) -> None:
  """Raises UserError if classes differ or have too few rows for a mixture."""
  if not isinstance(train.labels, types.Classes):
    return
  if test.labels != train.labels:
    raise errors.UserError(
      f'the {split} split has the classes {errors.listed(test.labels.names)}, '
      f'but the train split has {errors.listed(train.labels.names)}: use data '
      'with the same classes in both'
    )
  counts = train.attributes.sum(axis=0).astype(int)
  asked = test.attributes.sum(axis=0) > 0
  for name, count, is_asked in zip(
    train.labels.names, counts, asked, strict=True
  ):
    if is_asked and count < 2:
      rows = 'no row' if count == 0 else 'a single row'
      raise errors.UserError(
        f'the {split} split has rows of the class {name!r}, but the train '
        f'split has {rows} of it, and a mixture needs two: add rows, or remove '
        'the class from the data'
      )
    if count == 1:
      raise errors.UserError(
        f'the train split has a single row of the class {name!r}, and a '
        'mixture needs two: add rows, or remove the class from the data'
      )
