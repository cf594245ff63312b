"""The parts of a training; runs it alone, or loads it once it is finished."""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import ml_collections
import numpy as np
from etils import epath

from lcjax import errors
from lcjax.experiment import fingerprint, jobs, stage, watched
from lcjax.training import (
  checkpoints,
  metrics_log,
  parallel,
  provenance,
  runner,
  steps,
)


class Training(NamedTuple):
  """The parts of one training, independent of how it is run.

  Attributes:
    make_state: makes the state before the first step.
    make_step: (config, constants, axis to average over or None) -> the pure
      step. Floats in the config, and the constants, may be tracers, so that
      trainings that differ only in these can share a program.
    constants: arrays that the step reads, by name.
    make_batches: (first step, K) -> batches of K steps, stacked.
    evaluate: state -> validation metrics.
    key: the training's random key.
  """

  make_state: Callable[[], Any]
  make_step: Callable[
    [ml_collections.ConfigDict, dict[str, jax.Array], str | None], steps.Step
  ]
  constants: dict[str, jax.Array]
  make_batches: Callable[[int, int], dict[str, np.ndarray]]
  evaluate: Callable[[Any], dict[str, float]]
  key: jax.Array


def schedule_of(
  config: ml_collections.ConfigDict, which: stage.Stage
) -> runner.Schedule:
  """Converts the `train` section of a stage for the runner."""
  section = config[which.section].train
  return runner.Schedule(*(section[key] for key in runner.Schedule._fields))


class Finished(NamedTuple):
  """The state of a finished training, and its duration in seconds."""

  state: Any
  seconds: float


def load(
  job: jobs.Job,
  which: stage.Stage,
  replicate: int,
  make_state: Callable[[], Any],
) -> Finished:
  """Restores a finished training, or raises UserError naming its command."""
  config, folder = job.config, stage.folder_of(job.workdir, which, replicate)
  command = job.command(which.launcher)
  try:
    found = checkpoints.restore_newest(
      folder,
      jax.eval_shape(make_state),
      fingerprint.follows_from(job, which, replicate),
      fingerprint.advice(job, replicate),
    )
  except errors.UserError as error:  # the remedy may be to retrain
    raise errors.UserError(f'{error} ({command} --overwrite)') from error
  if found is None:
    raise errors.UserError(
      f'{which.name} has not been trained in {folder}: run {command}'
    )
  last = config[which.section].train.num_steps
  if found.step < last:
    raise errors.UserError(
      f'{which.name} in {folder} is at step {found.step} of {last}: run '
      f'{command}'
    )
  return Finished(found.state, found.meta['seconds'])


def train(
  job: jobs.Job, which: stage.Stage, replicate: int, training: Training
) -> None:
  """Runs a training to its end; resumes if started, does nothing if finished.

  Args:
    job: config and workdir of the run.
    which: the training's stage.
    replicate: its number, from 0.
    training: its parts, made from `stage.own_config(job.config, which)`.

  Raises:
    UserError: the folder contains a training of another config or other data,
      or one that cannot be read, and `job.overwrite` is False.
    Interrupted: stopped by a signal; the state has been checkpointed.
  """
  config = stage.own_config(job.config, which)
  schedule = schedule_of(config, which)
  batch_size = config[which.section].train.batch_size
  parallel.check_batch_size(
    batch_size, f'config.{which.section}.train.batch_size'
  )
  folder = stage.folder_of(job.workdir, which, replicate)
  current = fingerprint.follows_from(job, which, replicate)
  title = which.name + (
    f' (seed {config.seed + replicate})' if replicate else ''
  )
  restored, refused = None, None
  started = time.perf_counter()
  try:
    restored = checkpoints.restore_newest(
      folder,
      jax.eval_shape(training.make_state),
      current,
      fingerprint.advice(job, replicate),
    )
  except errors.UserError as error:
    refused = error
  if parallel.any_process(refused is not None):
    if not job.overwrite:
      parallel.raise_together(refused)
    restored = None
    # The earlier training is kept until its replacement is finished.
    if jax.process_index() == 0:
      backup = checkpoints.move_to_backup(folder)
      print(f'{title}: earlier training kept in {backup} until this is done')
    parallel.any_process(False)  # a barrier: the others wait for the move
  if restored is not None and restored.step >= schedule.num_steps:
    _delete_backup(folder)  # if the last run was killed before doing so
    print(f'{title}: finished before, nothing to do')
    watched.tell(title, folder)
    return
  jobs.note_config(job)
  if restored is None:
    if metrics_log.read(folder):
      print(f'{title}: no checkpoint found, restarting at step 0 ({folder})')
    state, spent = training.make_state(), 0.0
  else:
    state, spent = restored.state, restored.meta['seconds']
    if provenance.is_unread(restored.meta['config'], current):
      current = provenance.without_read(current)  # stays unverified
    print(f'{title}: resuming from step {restored.step}')
  run = runner.Run(
    title=title,
    folder=folder,
    schedule=schedule,
    follows_from=current,
    members=[runner.Member(title, folder, training.evaluate)],
    state=state,
    seconds=spent,
    started=started,
    shown=which.shown,
  )
  step = parallel.compile_step(
    lambda axis: training.make_step(config, training.constants, axis),
    config.parallel,
    schedule.skips,
  )
  with job.stop_on_signal() as should_stop:
    runner.train(
      run, runner.alone(step), training.make_batches, training.key, should_stop
    )
  watched.tell(title, folder)
  _delete_backup(folder)


def _delete_backup(folder: epath.Path) -> None:
  """Deletes the earlier training that the one in a folder has replaced."""
  if jax.process_index() == 0:
    checkpoints.delete(checkpoints.backup(folder))
