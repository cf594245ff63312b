"""Edits one attribute of real images with every mover, and scores them."""

import dataclasses
from typing import Any

import numpy as np

from lcjax.evaluation import edit_scores
from lcjax.experiment import movers as movers_lib
from lcjax.experiment import named_movers, stage
from lcjax.experiment.loaded_run import LoadedRun
from lcjax.movers import base, wrappers


def make_requests(loaded: LoadedRun) -> edit_scores.Requests:
  """A random change for each of `config.edit.num_images` held-out images."""
  config = loaded.job.config
  return edit_scores.make_requests(
    loaded.test,
    loaded.bound.encode,
    loaded.bound.decode,
    loaded.predict,
    config.edit.num_images,
    config.seed,
  )


def score(
  loaded: LoadedRun,
  requests: edit_scores.Requests,
  z: np.ndarray,
  images: np.ndarray,
) -> dict[str, Any]:
  """Scores edited images [N, H, W, C] uint8 with latents z [N, Z]."""
  return edit_scores.score(
    requests,
    loaded.predict(images),
    z,
    images,
    loaded.test.labels,
    loaded.bound.train.mean_scale,
  )


BACKTRACKED = 'actor_backtracked'


def make_backtracked(
  loaded: LoadedRun, tolerance: float | None = None
) -> wrappers.Backtrack:
  """The actor's edits, backtracked while D_attr agrees.

  Args:
    loaded: the run.
    tolerance: of D_attr; the config's, if None.
  """
  config, bound = loaded.job.config, loaded.bound
  weights = stage.distance_weights(config)
  # Backtracking keeps more of the identity than a distance penalty does, so
  # start from the actor that was penalised least.
  freest = min(weights, key=lambda name: weights[name])
  if tolerance is None:
    tolerance = config.edit.backtrack_tolerance
  return wrappers.backtrack(
    bound.actors[freest].mover,
    dataclasses.replace(bound.attributes, tolerance=tolerance),
    batch_size=bound.batch_size,
  )


def make_movers(loaded: LoadedRun) -> dict[str, base.Mover]:
  """Every mover with its settings for edits, by name."""
  config = loaded.job.config
  movers = named_movers.make_edit_movers(
    config, loaded.bound, config.edit.optimize, 'edit.optimize'
  )
  return {**movers, BACKTRACKED: make_backtracked(loaded)}


def measure(
  loaded: LoadedRun, mover: base.Mover, requests: edit_scores.Requests
) -> dict[str, Any]:
  """Edits every image by one mover and scores it."""
  moved = movers_lib.move(mover, requests.start, requests.asked, requests.mask)
  scores = score(loaded, requests, moved.z, loaded.bound.decode(moved.z))
  if moved.steps is not None and moved.satisfied is not None:
    scores['steps_mean'] = moved.steps.mean()
    scores['satisfied'] = moved.satisfied.mean()
  return scores


def references(
  loaded: LoadedRun, requests: edit_scores.Requests
) -> dict[str, Any]:
  """Scores of no edit, and of a random real image with the attribute."""
  others = edit_scores.random_images(
    requests, loaded.test, loaded.job.config.seed + 1
  )
  return {
    'unchanged': score(
      loaded, requests, requests.start, requests.reconstructions
    ),
    'random_image': score(
      loaded, requests, loaded.bound.encode(others)[0], others
    ),
  }
