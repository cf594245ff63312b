"""Runs one resumable training: checkpoints, log, progress bar and signals."""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import ml_collections
import numpy as np
from etils import epath

from lcjax import errors, keys
from lcjax.data import dataset
from lcjax.evaluation import glossary
from lcjax.experiment import build, jobs
from lcjax.training import (
  checkpoints,
  metrics_log,
  parallel,
  provenance,
  runner,
  steps,
)


class Stage(NamedTuple):
  """Describes a training.

  Attributes:
    name: also the name of its folder.
    section: the config section with its settings.
    launcher: the module of `launch` that runs it.
    sections: config sections that its result depends on.
    shown: metrics in the progress bar.
    changes: (key, value) pairs that override the config's values in `section`.
    labels: whether it learns from attributes as well as from images.
  """

  name: str
  section: str
  launcher: str
  sections: tuple[str, ...]
  shown: tuple[str, ...]
  changes: tuple[tuple[str, Any], ...] = ()
  labels: bool = True


VAE = Stage(
  'vae',
  'vae',
  'train_vae',
  ('data', 'vae'),
  ('train/elbo_nats', 'train/kl_nats', 'validation/elbo_nats'),
  labels=False,
)
CLASSIFIER = Stage(
  'classifier',
  'classifier',
  'train_classifier',
  ('data', 'classifier'),
  ('train/loss', 'validation/accuracy'),
)
LATENT_CRITICS = Stage(
  'latent_critics',
  'latent_critics',
  'train_actor_critic',
  ('data', 'vae', 'latent_critics'),
  ('train/attribute_accuracy', 'train/discriminator_score'),
)
ACTOR_CRITIC = Stage(
  'actor_critic',
  'actor_critic',
  'train_actor_critic',
  ('data', 'vae', 'actor_critic'),
  ('train/critic_loss', 'train/actor_loss', 'train/generator_score'),
)
DENOISER = Stage(
  'denoiser',
  'denoiser',
  'train_denoiser',
  ('data', 'vae', 'denoiser'),
  ('train/velocity_mse', 'train/attribute_accuracy'),
)


def root_of(workdir: epath.Path, replicate: int) -> epath.Path:
  """WORKDIR for replicate 0, else WORKDIR/seeds/REPLICATE."""
  return workdir if replicate == 0 else workdir / 'seeds' / str(replicate)


def folder_of(workdir: epath.Path, stage: Stage, replicate: int) -> epath.Path:
  """The folder of one replicate's training."""
  return root_of(workdir, replicate) / stage.name


def actors(config: ml_collections.ConfigDict) -> dict[str, Stage]:
  """The actors' trainings by the name of their mover, the main actor first."""
  further = {
    f'{glossary.FURTHER_ACTOR}{weight:g}': ACTOR_CRITIC._replace(
      name=f'{ACTOR_CRITIC.name}_lambda_{weight:g}',
      changes=(('distance_weight', float(weight)),),
    )
    for weight in config.actor_critic.more_distance_weights
  }
  return {'actor': ACTOR_CRITIC, **further}


def trainings(config: ml_collections.ConfigDict) -> tuple[Stage, ...]:
  """Every training of an experiment."""
  return (
    VAE,
    CLASSIFIER,
    LATENT_CRITICS,
    *actors(config).values(),
    DENOISER,
  )


# Keys of a `train` section that may change before a training is resumed.
HOUSEKEEPING = (
  'log_every',
  'evaluate_every',
  'checkpoint_every',
  'keep',
  'keep_every',
  'nonfinite',  # so that a stopped training can be resumed with 'skip'
)


def own_section(
  config: ml_collections.ConfigDict, stage: Stage
) -> ml_collections.ConfigDict:
  """The stage's config section, with its changes applied."""
  section = config[stage.section].copy_and_resolve_references()
  section.update(dict(stage.changes))
  return section


def results_of(config: ml_collections.ConfigDict) -> dict[str, Any]:
  """The part of the config that can affect a training's result.

  Leaves out the locations of data, `HOUSEKEEPING`, and the list of additional
  actors, which affects no other training.
  """
  found = config.to_dict()
  for place in ('dir', 'cache_dir'):
    del found['data'][place]
  if found['data']['name'] not in dataset.CROPPED:
    del found['data']['background']  # only affects users' images in `generate`
  del found['actor_critic']['more_distance_weights']
  for stage in trainings(config):
    for name in HOUSEKEEPING:
      found[stage.section]['train'].pop(name, None)
  return found


def dependencies(
  config: ml_collections.ConfigDict, stage: Stage, replicate: int
) -> dict[str, Any]:
  """The part of the config, with the seed, that determines a stage's result."""
  found = results_of(config)
  kept = {name: found[name] for name in stage.sections}
  kept[stage.section] |= dict(stage.changes)
  return kept | {'seed': config.seed + replicate}


def follows_from(job: jobs.Job, stage: Stage, replicate: int) -> dict[str, Any]:
  """All inputs that determine a stage's result: `dependencies` and data."""
  read = build.digests(job, ('train', 'validation'), stage.labels)
  found = dependencies(job.config, stage, replicate)
  return found | {provenance.READ: read}


def advice(job: jobs.Job, replicate: int) -> provenance.Advice:
  """Context for the error if a stored training does not match the job."""
  return provenance.Advice(
    replicate, job.varied, defaults=job.defaults, upgrade=keys.upgrade
  )


def schedule_of(
  config: ml_collections.ConfigDict, stage: Stage
) -> runner.Schedule:
  """Converts the `train` section of a stage for the runner."""
  section = config[stage.section].train
  return runner.Schedule(*(section[key] for key in runner.Schedule._fields))


class Finished(NamedTuple):
  """The state of a finished training, and its duration in seconds."""

  state: Any
  seconds: float


def load(
  job: jobs.Job,
  stage: Stage,
  replicate: int,
  make_state: Callable[[], Any],
) -> Finished:
  """Restores a finished training, or raises UserError naming its command."""
  config, folder = job.config, folder_of(job.workdir, stage, replicate)
  command = job.command(stage.launcher)
  try:
    found = checkpoints.restore_newest(
      folder,
      jax.eval_shape(make_state),
      follows_from(job, stage, replicate),
      advice(job, replicate),
    )
  except errors.UserError as error:  # the remedy may be to retrain
    raise errors.UserError(f'{error} ({command} --overwrite)') from error
  if found is None:
    raise errors.UserError(
      f'{stage.name} has not been trained in {folder}: run {command}'
    )
  last = config[stage.section].train.num_steps
  if found.step < last:
    raise errors.UserError(
      f'{stage.name} in {folder} is at step {found.step} of {last}: run '
      f'{command}'
    )
  return Finished(found.state, found.meta['seconds'])


def train(
  job: jobs.Job,
  stage: Stage,
  replicate: int,
  make_state: Callable[[], Any],
  make_step: Callable[[str | None], steps.Step],
  make_batches: Callable[[int, int], dict[str, np.ndarray]],
  evaluate: Callable[[Any], dict[str, float]],
  key: jax.Array,
) -> None:
  """Runs a training to its end; resumes if started, does nothing if finished.

  Args:
    job: config and workdir of the run.
    stage: describes the training.
    replicate: its number, from 0.
    make_state: makes the state before the first step.
    make_step: builds the pure step, given the axis to average over or None.
    make_batches: (first step, K) -> batches of K steps, stacked.
    evaluate: state -> validation metrics.
    key: the training's random key.

  Raises:
    UserError: the folder contains a training of another config or other data,
      or one that cannot be read, and `job.overwrite` is False.
    Interrupted: stopped by a signal; the state has been checkpointed.
  """
  config = job.config
  schedule = schedule_of(config, stage)
  batch_size = config[stage.section].train.batch_size
  parallel.check_batch_size(
    batch_size, f'config.{stage.section}.train.batch_size'
  )
  folder = folder_of(job.workdir, stage, replicate)
  current = follows_from(job, stage, replicate)
  title = stage.name + (
    f' (seed {config.seed + replicate})' if replicate else ''
  )
  restored, refused = None, None
  started = time.perf_counter()
  try:
    restored = checkpoints.restore_newest(
      folder, jax.eval_shape(make_state), current, advice(job, replicate)
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
    return
  jobs.note_config(job)
  if restored is None:
    if metrics_log.read(folder):
      print(f'{title}: no checkpoint found, restarting at step 0 ({folder})')
    state, spent = make_state(), 0.0
  else:
    state, spent = restored.state, restored.meta['seconds']
    if provenance.is_unread(restored.meta['config'], current):
      current = provenance.without_read(current)  # stays unverified
    print(f'{title}: resuming from step {restored.step}')
  training = runner.Run(
    title=title,
    folder=folder,
    schedule=schedule,
    follows_from=current,
    members=[runner.Member(title, folder, evaluate)],
    state=state,
    seconds=spent,
    started=started,
    shown=stage.shown,
  )
  step = parallel.compile_step(make_step, config.parallel, schedule.skips)
  with job.stop_on_signal() as should_stop:
    runner.train(training, runner.alone(step), make_batches, key, should_stop)
  _delete_backup(folder)


def _delete_backup(folder: epath.Path) -> None:
  """Deletes the earlier training that the one in a folder has replaced."""
  if jax.process_index() == 0:
    checkpoints.delete(checkpoints.backup(folder))


def curves(job: jobs.Job) -> dict[str, list[dict[str, Any]]]:
  """Logged metrics of the first replicate's trainings, by stage name."""
  return {
    stage.name: metrics_log.read(folder_of(job.workdir, stage, 0))
    for stage in trainings(job.config)
  }
