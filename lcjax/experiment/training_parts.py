"""A training as pure parts: run alone here, with others in `ensembles`."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import ml_collections
import numpy as np

from lcjax.experiment import jobs, stage
from lcjax.training import steps


class Training(NamedTuple):
  """What one training consists of, and nothing of how it is run.

  Attributes:
    make_state: makes the state before the first step.
    make_step: (config, constants, axis to average over or None) -> the pure
      step. Floats of the config's own sections, and the constants, may be
      tracers: several trainings that differ in those alone share a program.
    constants: arrays of this training that its step reads, by name.
    make_batches: (first step, K) -> stacked batches.
    evaluate: validation values of a state.
    key: of the whole training.
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
  """The config with a stage's changes in its own section."""
  if not which.changes:
    return config
  own = config.copy_and_resolve_references()
  own[which.section].update(dict(which.changes))
  return own


def run_alone(
  job: jobs.Job, which: stage.Stage, replicate: int, training: Training
) -> None:
  """Runs one training to its end, as `stage.run` does.

  Args:
    job: what to do.
    which: the training's stage.
    replicate: which one, from 0.
    training: made with `own_config(job.config, which)`.
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
