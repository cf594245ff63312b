r"""Trains seeds and ablations as ensembles, and compares them in one table.

python -m launch.ablate --config=configs/digits.py --workdir=runs/ablate \
  --ablations=default,no_distance,no_encodings --num_seeds=5

The ablations are defined in the config file. Trainings that differ only in
numbers are compiled as one program, the others run one after another. A
training that several ablations share runs once. Afterwards WORKDIR/ABLATION is
an ordinary run. With --stages=vae,actor_critic, only these are trained.
"""

import os
import shlex
from collections.abc import Mapping
from typing import Any

import jax
from absl import flags
from etils import epath
from ml_collections import config_flags

from configs import base
from launch import config_files, startup
from lcjax import errors
from lcjax.experiment import (
  ablate,
  ensembles,
  stage,
)

ABLATIONS = flags.DEFINE_list(
  'ablations', [], "Names in the config file's ABLATIONS, joined by commas."
)
NUM_SEEDS = flags.DEFINE_integer(
  'num_seeds', None, 'Seeds per ablation. Default: config.num_seeds.'
)
MAX_ENSEMBLE = flags.DEFINE_integer(
  'max_ensemble', 64, 'Maximum number of trainings in one compiled program.'
)
flags.DEFINE_alias('max_together', 'max_ensemble')  # its former name
STAGES = flags.DEFINE_list(
  'stages',
  [],
  'Config sections of the only trainings to run, such as vae,actor_critic, '
  'without a comparison: WORKDIR/states.md and .png show how adversarial '
  'trainings went. Default: all trainings, and the comparison.',
)

# Folders of the workdir that do not belong to an ablation.
_OWN_FOLDERS = 'cache', 'compare', 'groups'


def check_names(names: list[str], known: list[str]) -> None:
  """Raises UserError unless the names are ablations, each given once."""
  if not names:
    raise errors.UserError(
      f'--ablations is missing: name some of {errors.listed(known)}'
    )
  for name in names:
    if name not in known:
      raise errors.UserError(
        f'--ablations: {name!r} is not an ablation of this config: '
        f'{errors.nearest(name, known)}'
      )
    if names.count(name) > 1:
      raise errors.UserError(
        f'--ablations: {name!r} is listed twice; for further replicates '
        'raise --num_seeds'
      )
    if name in _OWN_FOLDERS:
      raise errors.UserError(
        f'--ablations: {name!r} needs the folder WORKDIR/{name}, which has '
        'another purpose: rename the ablation in the config file'
      )


def known_ablations(path: str) -> Mapping[str, Mapping[str, Any]]:
  """All ablations of a config file; UserError if it has none."""
  found = getattr(config_files.load(path), 'ABLATIONS', None)
  if not isinstance(found, Mapping) or not all(
    isinstance(changes, Mapping) for changes in found.values()
  ):
    raise errors.UserError(
      f'--config={path} has no ABLATIONS, a dict of dicts by name: see '
      'configs/digits.py'
    )
  return found


def check_stages(sections: list[str], known: list[str]) -> None:
  """Raises UserError unless these are config sections of trainings."""
  for section in sections:
    if section not in known:
      raise errors.UserError(
        f'--stages: {section!r} is no config section of a training: '
        f'{errors.nearest(section, known)}'
      )


def check_overrides(
  overrides: dict[str, Any], ablations: dict[str, dict[str, Any]]
) -> None:
  """Raises UserError if a flag sets what an ablation varies."""
  for name, changes in ablations.items():
    for key in changes:
      if key in overrides:
        raise errors.UserError(
          f'--config.{key} is varied by ablation {name!r}: leave out the flag '
          'or the ablation'
        )


def arguments(
  given: str, name: str, workdir: epath.Path, num_seeds: int
) -> str:
  """The flags with which a launcher continues the run of one ablation."""
  kept = []
  for argument in shlex.split(given):
    key, _, value = argument.partition('=')
    if key.lstrip('-') == 'config':
      kept.append(f'--config={value}:{name}')
    elif key.lstrip('-') not in ('workdir', 'config.num_seeds'):
      kept.append(argument)
  kept += [f'--workdir={workdir}', f'--config.num_seeds={num_seeds}']
  return ' '.join(shlex.quote(argument) for argument in kept)


def read_flags() -> ablate.Ablations:
  """Reads the flags; every mistake is a UserError."""
  whole = startup.job()
  if '://' in os.fspath(whole.workdir):
    raise errors.UserError(
      f'--workdir={whole.workdir} is remote, and launch.ablate has to copy '
      'folders: name a local folder or one on a shared disk'
    )
  if jax.process_count() > 1:
    raise errors.UserError(
      'launch.ablate cannot run as several processes: start it separately on '
      'each host, with some of the --ablations and a different --workdir'
    )
  flag = flags.FLAGS['config']
  path, _, chosen = config_flags.get_config_filename(flag).partition(':')
  if chosen:
    raise errors.UserError(
      f'--config names the ablation {chosen!r}: list it in --ablations instead'
    )
  num_seeds = NUM_SEEDS.value
  if num_seeds is None:
    num_seeds = whole.config.num_seeds
  if num_seeds < 1:
    raise errors.UserError(f'--num_seeds={num_seeds} must be at least 1')
  if MAX_ENSEMBLE.value < 1:
    raise errors.UserError(
      f'--max_ensemble={MAX_ENSEMBLE.value} must be at least 1'
    )
  known = known_ablations(path)
  names = [name.strip() for name in ABLATIONS.value]
  check_names(names, list(known))
  overrides = config_flags.get_override_values(flag)
  if NUM_SEEDS.value is not None and 'num_seeds' in overrides:
    raise errors.UserError(
      f'--num_seeds={num_seeds} and --config.num_seeds mean the same: give one'
    )
  changes = {name: dict(known[name]) for name in names}
  check_overrides(overrides, changes)
  sections = [name.strip() for name in STAGES.value]
  check_stages(sections, [one.section for one in stage.trainings(whole.config)])
  jobs = {}
  for name in names:
    config = config_files.read(f'{path}:{name}')
    config.update_from_flattened_dict(overrides)
    config.num_seeds = num_seeds
    startup.split_names(config)
    # Decode once for all ablations; the location affects no result.
    config.data.cache_dir = config.data.cache_dir or os.fspath(
      whole.workdir / 'cache'
    )
    try:
      base.validate(config)
    except errors.UserError as error:
      raise errors.UserError(f'ablation {name!r}: {error}') from error
    config.lock()
    workdir = whole.workdir / name
    jobs[name] = whole._replace(
      config=config,
      workdir=workdir,
      arguments=arguments(whole.arguments, name, workdir, num_seeds),
      lock=startup.locked(workdir),
      varied=tuple(changes[name]),
    )
  command = whole.command('ablate')
  command += f' --ablations={",".join(names)} --num_seeds={num_seeds}'
  if sections:
    command += f' --stages={",".join(sections)}'
  assert whole.lock is not None
  return ablate.Ablations(
    whole.workdir, whole.lock, jobs, changes, command, tuple(sections)
  )


def main() -> None:
  """Reads the flags and runs the launcher."""
  asked = read_flags()
  ablate.train_and_compare(asked, MAX_ENSEMBLE.value)


if __name__ == '__main__':
  startup.run(main, ensembles.use_all_cores)
