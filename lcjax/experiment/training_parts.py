"""The parts of a training, to run it alone, or in an ensemble (`ensembles`)."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import ml_collections
import numpy as np

from lcjax.experiment import jobs, stage
from lcjax.training import steps


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


def own_config(
  config: ml_collections.ConfigDict, which: stage.Stage
) -> ml_collections.ConfigDict:
  """The config with a stage's changes applied to its section."""
  if not which.changes:
    return config
  own = config.copy_and_resolve_references()
  own[which.section].update(dict(which.changes))
  return own


def run_alone(
  job: jobs.Job, which: stage.Stage, replicate: int, training: Training
) -> None:
  """Runs one training to its end with `stage.train`.

  Args:
    job: config and workdir of the run.
    which: the training's stage.
    replicate: its number, from 0.
    training: its parts, made from `own_config(job.config, which)`.
  """
  config = own_config(job.config, which)
  stage.train(
    job,
    which,
    replicate,
    training.make_state,
    lambda axis: training.make_step(config, training.constants, axis),
    training.make_batches,
    training.evaluate,
    training.key,
  )
