"""Edits one attribute of real images with every mover, and scores them."""

from typing import Any

import jax.numpy as jnp
import numpy as np

from lcjax.evaluation import edit_scores
from lcjax.experiment import loading, movers, stage
from lcjax.experiment.loaded_run import LoadedRun
from lcjax.latent import backtrack
from lcjax.movers.base import Moved

_NUM_POINTS = 40  # that backtracking tries on the line to the start


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


def apply(
  loaded: LoadedRun,
  bound: loading.BoundMovers,
  mover: str,
  start: np.ndarray,
  asked: np.ndarray,
  mask: np.ndarray,
  tolerance: float | None = None,
) -> Moved:
  """Edits encodings by one mover.

  Args:
    loaded: the run.
    bound: its movers, with their settings for edits.
    mover: one of `movers.names`, or `BACKTRACKED`.
    start: [N, Z] encodings.
    asked: [N, Y] requested attributes.
    mask: [N, Y], 1 for attributes that the loss includes.
    tolerance: of backtracking; the config's, if None.
  """
  config = loaded.job.config
  if mover != BACKTRACKED:
    return movers.move(bound, mover, start, asked, edit=True, mask=mask)
  weights = stage.distance_weights(config)
  # Backtracking keeps more of the identity than a distance penalty does, so
  # start from the actor that was penalised least.
  freest = min(weights, key=lambda name: weights[name])
  moved = movers.move(bound, freest, start, asked, edit=True)
  if tolerance is None:
    tolerance = config.edit.backtrack_tolerance

  def holds(z: np.ndarray) -> np.ndarray:
    logits = jnp.asarray(bound.attribute_critic(z))
    y, counted = jnp.asarray(asked), jnp.asarray(mask)
    within = bound.labels.within(logits, y, counted, tolerance)
    return np.asarray(within)

  z = backtrack.backtrack(holds, start, moved.z, _NUM_POINTS)
  return Moved(z, start)


def measure(
  loaded: LoadedRun,
  bound: loading.BoundMovers,
  mover: str,
  requests: edit_scores.Requests,
  tolerance: float | None = None,
) -> dict[str, Any]:
  """Edits every image by one mover, see `apply`, and scores it."""
  moved = apply(
    loaded,
    bound,
    mover,
    requests.start,
    requests.asked,
    requests.mask,
    tolerance,
  )
  scores = score(loaded, requests, moved.z, bound.decode(moved.z))
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
