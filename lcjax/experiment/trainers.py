"""Builds the training of any stage, and runs the trainings of one job."""

import dataclasses
from collections.abc import Callable

from lcjax.experiment import (
  build,
  class_mixture,
  fingerprint,
  jobs,
  stage,
  tasks,
  train_aae,
  train_actor_critic,
  train_classifier,
  train_conditional_vae,
  train_denoiser,
  train_gan,
  train_two_stage,
  train_vae,
  training_parts,
)

# (config, training split, validation split, replicate) -> a training that sees
# images, and no latents.
_OF_IMAGES: dict[stage.Stage, Callable[..., training_parts.Training]] = {
  stage.VAE: train_vae.make_training,
  stage.AAE: train_aae.make_training,
  stage.CONDITIONAL_VAE: train_conditional_vae.make_training,
}


class Inputs:
  """Encodings of trainings, computed only once."""

  def __init__(self) -> None:
    self._latents: dict[str, train_actor_critic.LatentData] = {}

  def latents(self, task: tasks.Task) -> train_actor_critic.LatentData:
    """Encodings by the task's model, with networks from the task's config."""
    key = fingerprint.text(
      fingerprint.follows_from(task.job, stage.LATENTS, task.replicate)
    )
    if key not in self._latents:
      self._latents[key] = train_actor_critic.prepare(task.job, task.replicate)
    data = build.load_data(task.job, 'train')
    networks = build.build_networks(task.job.config, data)
    return dataclasses.replace(self._latents[key], networks=networks)


def make_training(inputs: Inputs, task: tasks.Task) -> training_parts.Training:
  """Builds any training; the stages that it needs must be finished."""
  if task.which in stage.CLASSIFIERS:
    data = build.load_splits(task.job)
    return train_classifier.make_training(task.config, task.which, *data)
  if task.which in _OF_IMAGES:
    data = build.load_splits(task.job)
    make = _OF_IMAGES[task.which]
    return make(task.config, *data, task.replicate)
  if task.which in stage.GANS:
    data = build.load_splits(task.job)
    return train_gan.make_training(
      task.config, task.which, *data, task.replicate
    )
  if task.which is stage.TWO_STAGE:  # of latents of its own, without labels
    data = build.load_splits(task.job)
    return train_two_stage.make_training(task.job, *data, task.replicate)
  return make_latent_training(task, inputs.latents(task))


def make_latent_training(
  task: tasks.Task, latents: train_actor_critic.LatentData
) -> training_parts.Training:
  """Builds a training that sees encodings instead of images."""
  if task.which is stage.LATENT_CRITICS:
    return train_actor_critic.make_critics_training(task.config, latents)
  if task.which is stage.DENOISER:
    return train_denoiser.make_training(task.config, latents)
  return train_actor_critic.make_actor_training(task.config, latents)


def train_all(job: jobs.Job, *sections: str) -> None:
  """Trains the stages of some config sections, for every seed.

  The stages that they need must be among them or finished.
  """
  for replicate in range(job.config.num_seeds):
    inputs = Inputs()  # of all seeds, they might not fit into memory
    for which in stage.trainings(job.config, sections):
      if replicate not in stage.replicates(job.config, which):
        continue
      task = tasks.Task('', job, which, replicate)
      if which is stage.DENOISER:
        # Fit the mixture now, not when the guided denoiser is first used.
        class_mixture.for_denoiser(job, replicate, inputs.latents(task).train)
      parts = make_training(inputs, task)
      training_parts.train(job, which, replicate, parts)
