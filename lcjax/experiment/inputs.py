"""Inputs that trainings share, and how each training is built from them."""

import dataclasses
import json

from lcjax.data import dataset
from lcjax.experiment import (
  build,
  jobs,
  stage,
  tasks,
  train_actor_critic,
  train_classifier,
  train_denoiser,
  train_vae,
  training_parts,
)


class Inputs:
  """Data and encodings of trainings, loaded or computed only once."""

  def __init__(self) -> None:
    self._data: dict[str, tuple[dataset.Dataset, dataset.Dataset]] = {}
    self._latents: dict[str, train_actor_critic.LatentData] = {}

  def data(self, job: jobs.Job) -> tuple[dataset.Dataset, dataset.Dataset]:
    """The training and the validation split."""
    # `mixture_above` is not needed here: the data do not depend on it.
    read = job.config.data.to_dict(), job.config.denoise.mixture_above
    key = json.dumps(read)
    if key not in self._data:
      self._data[key] = (
        build.load_data(job, 'train'),
        build.load_data(job, 'validation'),
      )
    return self._data[key]

  def latents(self, task: tasks.Task) -> train_actor_critic.LatentData:
    """Encodings by the task's VAE, with networks from the task's config."""
    key = tasks.identity(task._replace(which=stage.VAE))
    data = self.data(task.job)
    if key not in self._latents:
      self._latents[key] = train_actor_critic.prepare_with(
        task.job, task.replicate, *data
      )
    return dataclasses.replace(
      self._latents[key],
      networks=build.build_networks(task.job.config, data[0]),
    )


def make_training(inputs: Inputs, task: tasks.Task) -> training_parts.Training:
  """Builds any training; the stages that it needs must be finished."""
  if task.which is stage.CLASSIFIER:
    return train_classifier.make_training(task.config, *inputs.data(task.job))
  if task.which is stage.VAE:
    data = inputs.data(task.job)
    return train_vae.make_training(task.config, *data, task.replicate)
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
