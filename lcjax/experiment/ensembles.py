"""Runs trainings; those that differ only in seeds or floats share a program."""

import hashlib
import os
import shutil
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from etils import epath

from lcjax import errors
from lcjax.experiment import jobs, stage, tasks, training_parts, watched
from lcjax.training import checkpoints, ensemble, provenance, runner, steps

# Builds a training from data and the results of earlier stages.
MakeTraining = Callable[[tasks.Task], training_parts.Training]


def use_all_cores() -> None:
  """Creates a virtual CPU device per core, to spread members over cores.

  Call before JAX starts. Has no effect on accelerators, if XLA_FLAGS already
  sets the number of devices, or if LCJAX_DISTRIBUTED is set.
  """
  flag = '--xla_force_host_platform_device_count'
  distributed = bool(os.environ.get('LCJAX_DISTRIBUTED'))
  if not distributed and flag not in os.environ.get('XLA_FLAGS', ''):
    jax.config.update('jax_num_cpu_devices', os.cpu_count() or 1)


def compile_group(
  group: Sequence[tasks.Task], trainings: Sequence[training_parts.Training]
) -> ensemble.Ensemble:
  """Compiles the training step of an ensemble as one program."""
  config, make_step = group[0].config, trainings[0].make_step
  section = config[group[0].which.section].train
  way: ensemble.Way = 'vmap'
  if jax.default_backend() == 'cpu':
    # Convolutions are slow inside lax loops on CPU. Configs that have them set
    # steps_per_call=1, which avoids the loop over steps; so unroll the loop
    # over members as well.
    way = 'map' if section.steps_per_call > 1 else 'unroll'

  def make(given: tuple[dict[str, Any], dict[str, Any]]) -> steps.Step:
    values, constants = given
    return make_step(stage.with_values(config, values), constants, None)

  constants = [one.constants for one in trainings]
  return ensemble.compile_ensemble(
    make,
    (tasks.numbers(group), jax.tree.map(lambda *a: jnp.stack(a), *constants)),
    jnp.stack([one.key for one in trainings]),
    jax.local_devices(),
    way,
    section.nonfinite == 'skip',
  )


def make_batches(
  trainings: Sequence[training_parts.Training], rows: np.ndarray
) -> Callable[[int, int], dict[str, np.ndarray]]:
  """Builds (first step, K) -> batches [P, K, B, ...].

  Args:
    trainings: of all members.
    rows: [P] the member of every row; padding repeats the last one.
  """

  def make(step: int, count: int) -> dict[str, np.ndarray]:
    own = [one.make_batches(step, count) for one in trainings]
    return jax.tree.map(lambda *a: np.stack([a[row] for row in rows]), *own)

  return make


def _fresh(target: epath.Path) -> epath.Path:
  """Creates an empty folder next to `target`, to be renamed to it later."""
  folder = target.parent / f'{target.name}.new'
  checkpoints.delete(folder)
  folder.mkdir(parents=True)
  return folder


def _replace(fresh: epath.Path, target: epath.Path) -> None:
  """Deletes `target`, then renames the finished folder `fresh` to it."""
  checkpoints.delete(target)
  fresh.rename(target)


def copy_folder(source: epath.Path, target: epath.Path) -> None:
  """Copies a finished folder; `target` never holds part of the copy."""
  fresh = _fresh(target)
  shutil.copytree(source, fresh, dirs_exist_ok=True)
  _replace(fresh, target)


def _hand_out(
  task: tasks.Task,
  log_folder: epath.Path,
  state: Any,
  follows_from: dict[str, Any],
  seconds: float,
) -> None:
  """Writes a member's folder: its log and its last checkpoint."""
  fresh = _fresh(task.folder)
  section = task.config[task.which.section].train
  for path in log_folder.iterdir():
    shutil.copy2(path, fresh / path.name)
  with checkpoints.open_manager(fresh, section.keep) as manager:
    checkpoints.save(manager, int(state.step), state, follows_from, seconds)
  _replace(fresh, task.folder)


def train_group(
  folder: epath.Path, group: Sequence[tasks.Task], make_training: MakeTraining
) -> None:
  """Trains an ensemble to its end and writes the folder of every member.

  Args:
    folder: holds the ensemble's checkpoints and logs during training.
    group: tasks that can share one program.
    make_training: builds the training of a task.

  Raises:
    UserError: a member's training is not finite; names the member.
    Interrupted: stopped by a signal; the ensemble's checkpoint is complete.
  """
  trainings = [make_training(task) for task in group]
  for task in group:
    jobs.note_config(task.job)
  begun = checkpoints.latest_meta(folder)
  if begun is None:
    meta = {'members': [task.follows_from for task in group]}
  else:  # `_begun` has checked it. Kept as stored: it may lack data digests.
    meta = begun[1]['config']
  title = f'{group[0].which.section}: ensemble of {len(group)}'
  started, spent = time.perf_counter(), 0.0
  template = jax.eval_shape(
    lambda: ensemble.stack([trainings[0].make_state()] * len(group))
  )
  found = checkpoints.restore_newest(folder, template, meta)
  if found is None:
    state = ensemble.stack([one.make_state() for one in trainings])
  else:
    state, spent = found.state, found.meta['seconds']
    print(f'{title}: resuming from step {found.step}')
  logs = [folder / 'members' / str(i) for i in range(len(group))]
  run = runner.Run(
    title=title,
    folder=folder,
    schedule=training_parts.schedule_of(group[0].config, group[0].which),
    follows_from=meta,
    members=[
      runner.Member(task.title, path, one.evaluate)
      for task, path, one in zip(group, logs, trainings, strict=True)
    ],
    state=state,
    seconds=spent,
    started=started,
  )
  compiled = compile_group(group, trainings)
  program = ensemble.program(compiled, len(group))
  with group[0].job.stop_on_signal() as should_stop:
    state = runner.train(
      run,
      program,
      make_batches(trainings, compiled.rows),
      trainings[0].key,  # not used: each member has its own key
      should_stop,
    )
  latest = checkpoints.latest_meta(folder)
  assert latest is not None
  # Each member is charged an equal share of the ensemble's time.
  share = latest[1]['seconds'] / len(group)
  for task, path, member_state, follows_from in zip(
    group, logs, program.members(state), meta['members'], strict=True
  ):
    if not tasks.is_finished(task):
      _hand_out(task, path, member_state, follows_from, share)
    watched.tell(task.title, task.folder)


def _begun(
  root: epath.Path, same: dict[str, list[tasks.Task]], overwrite: bool
) -> list[tuple[epath.Path, list[tasks.Task]]]:
  """Interrupted ensembles in `root` whose members are all requested again.

  Raises:
    UserError: an ensemble was trained on other data or is unreadable, and
      `overwrite` is False.
  """
  wanted = [those[0] for those in same.values()]
  found = []
  for folder in sorted(root.iterdir()) if root.exists() else []:
    try:
      latest = checkpoints.latest_meta(folder)
      if latest is None:
        continue
      stored = latest[1]['config']['members']
      asked = [_with_same_config(member, wanted) for member in stored]
      group = [task for task in asked if task is not None]
      if len(group) < len(stored):  # started by another command
        continue
      for task, member in zip(group, stored, strict=True):
        provenance.check(folder, folder, member, task.follows_from, task.advice)
    except errors.UserError:
      if not overwrite:
        raise
      checkpoints.delete(folder)
      continue
    found.append((folder, group))
  return found


def _with_same_config(
  member: dict[str, Any], wanted: Sequence[tasks.Task]
) -> tasks.Task | None:
  """The task of a stored member, or one with its config and other data."""
  for task in wanted:  # configs may be equal and the data still differ
    if task.follows_from == member:
      return task
  for task in wanted:
    current = provenance.without_read(task.follows_from)
    if provenance.refusal('', member, current, task.advice) is None:
      return task
  return None


def train(
  root: epath.Path,
  wanted: Sequence[tasks.Task],
  make_training: MakeTraining,
  limit: int,
) -> None:
  """Runs the unfinished trainings of one stage, identical ones together.

  Interrupted ensembles are resumed whole, even for members that have since been
  finished elsewhere.

  Args:
    root: holds the folders of this stage's ensembles during training.
    wanted: all requested trainings, finished or not.
    make_training: builds the training of an unfinished task.
    limit: maximum number of members per ensemble.

  Raises:
    UserError: a folder holds another training, or a training is not finite.
    Interrupted: stopped by a signal.
  """
  same: dict[str, list[tasks.Task]] = {}
  for task in wanted:
    same.setdefault(task.identity, []).append(task)
  done = {
    key: task
    for key, those in same.items()
    for task in those
    if tasks.is_finished(task)
  }
  # Interrupted ensembles resume with the same members, even if some of the
  # members' folders have already been written.
  overwrite = any(task.job.overwrite for task in wanted)
  ready = _begun(root, same, overwrite)
  begun = {task.identity for _, group in ready for task in group}
  fresh = [
    those[0] for key, those in same.items() if key not in {*done, *begun}
  ]
  for group in tasks.groups(fresh, limit):
    text = '\n'.join(task.identity for task in group)
    name = hashlib.sha256(text.encode()).hexdigest()[:12]
    ready.append((root / name, group))
  for folder, group in ready:
    names = ', '.join(dict.fromkeys(task.name for task in group))
    noun = 'training' if len(group) == 1 else 'trainings'
    print(f'{group[0].which.section}: {len(group)} {noun} of {names}')
    train_group(folder, group, make_training)
    done |= {task.identity: task for task in group}
    _copy_shared(same, done)
    checkpoints.delete(folder)
  _copy_shared(same, done)


def _copy_shared(
  same: dict[str, list[tasks.Task]], done: dict[str, tasks.Task]
) -> None:
  """Copies finished trainings to the folders of identical tasks."""
  for key, source in done.items():
    for task in same[key]:
      if not tasks.is_finished(task):
        jobs.note_config(task.job)
        copy_folder(source.folder, task.folder)
