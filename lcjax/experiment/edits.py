"""Edits that keep the identity: one attribute of a real image, and scores."""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from lcjax import types
from lcjax.evaluation import edits, metrics
from lcjax.experiment import loading, movers, stage
from lcjax.experiment.loaded_run import LoadedRun
from lcjax.latent import backtrack

_POINTS_ON_THE_WAY = 40  # that backtracking tries


class Requests(NamedTuple):
  """Held-out images, each with a change of one attribute.

  Attributes:
    images: [N, H, W, C] uint8.
    y: [N, Y] their own attributes.
    asked: [N, Y] requested attributes.
    changed: [N] the attribute, or class, that is asked to change.
    mask: [N, Y] attributes that the optimiser's loss counts: the changed one,
      or all of a class vector.
    start: [N, Z] their encodings.
    reconstructions: [N, H, W, C] uint8.
    before: [N, Y] what the judge says of the reconstructions.
  """

  images: np.ndarray
  y: np.ndarray
  asked: np.ndarray
  changed: np.ndarray
  mask: np.ndarray
  start: np.ndarray
  reconstructions: np.ndarray
  before: np.ndarray


def make_requests(loaded: LoadedRun) -> Requests:
  """A random change for each of `config.edit.num_images` held-out images."""
  config, test = loaded.job.config, loaded.test
  order = np.random.default_rng(config.seed).permutation(len(test))
  rows = np.sort(order[: config.edit.num_images])
  images, y = test.images[rows], test.attributes[rows]
  changed = test.labels.draw_changes(y, config.seed)
  asked, mask = test.labels.change(y, changed)
  start, _ = loaded.bound.encode(images)
  decoded = loaded.bound.decode(start)
  before = loaded.predict(decoded)
  return Requests(images, y, asked, changed, mask, start, decoded, before)


def score(
  loaded: LoadedRun, requests: Requests, z: np.ndarray, images: np.ndarray
) -> dict[str, Any]:
  """What the judge and the pixels say of edited images [N, H, W, C]."""
  count, changed = len(loaded.test.attribute_names), requests.changed
  predicted = loaded.predict(images)
  success = edits.succeeded(predicted, requests.asked, changed)
  scores = {
    'success': success.mean(),
    'z_distance': metrics.z_distance(
      z, requests.start, loaded.bound.train.mean_scale
    ),
    'pixel_mse_original': edits.pixel_errors(images, requests.images).mean(),
    'pixel_mse_reconstruction': edits.pixel_errors(
      images, requests.reconstructions
    ).mean(),
    'success_by_attribute': edits.mean_by(success, changed, count),
  }
  if isinstance(loaded.test.labels, types.Classes):
    return scores  # one class cannot change alone
  held = requests.y[np.arange(len(changed)), changed] > 0.5
  leaks = edits.leakage(predicted, requests.before, changed)
  return scores | {
    'leakage': np.nanmean(leaks),
    'leakage_by_attribute': leaks,
    'leakage_by_change': edits.leakage_table(
      predicted, requests.before, changed
    ),
    'success_added': edits.mean_by(success[~held], changed[~held], count),
    'success_removed': edits.mean_by(success[held], changed[held], count),
  }


BACKTRACKED = 'actor_backtracked'


def apply(
  loaded: LoadedRun,
  bound: loading.BoundMovers,
  mover: str,
  start: np.ndarray,
  asked: np.ndarray,
  mask: np.ndarray,
  tolerance: float | None = None,
) -> movers.Moved:
  """Edits encodings by one mover.

  Args:
    loaded: the run.
    bound: its movers, set to edit.
    mover: one of `movers.names`, or `BACKTRACKED`.
    start: [N, Z] encodings.
    asked: [N, Y] requested attributes.
    mask: [N, Y] those that count.
    tolerance: of backtracking; the config's, if None.
  """
  config = loaded.job.config
  if mover != BACKTRACKED:
    return movers.move(bound, mover, start, asked, edit=True, mask=mask)
  actors = stage.actors(config)
  # What a distance penalty saves, backtracking saves with less harm.
  freest = min(
    actors,
    key=lambda name: stage.own_section(config, actors[name]).distance_weight,
  )
  moved = movers.move(bound, freest, start, asked, edit=True)
  if tolerance is None:
    tolerance = config.edit.backtrack_tolerance

  def holds(z: np.ndarray) -> np.ndarray:
    logits = jnp.asarray(bound.attribute_critic(z))
    y, counted = jnp.asarray(asked), jnp.asarray(mask)
    within = bound.labels.within(logits, y, counted, tolerance)
    return np.asarray(within)

  z = backtrack.backtrack(holds, start, moved.z, _POINTS_ON_THE_WAY)
  return movers.Moved(z, start)


def measure(
  loaded: LoadedRun,
  bound: loading.BoundMovers,
  mover: str,
  requests: Requests,
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


def references(loaded: LoadedRun, requests: Requests) -> dict[str, Any]:
  """What doing nothing scores, and a real image with the attribute."""
  rng = np.random.default_rng(loaded.job.config.seed + 1)
  wanted = requests.asked[np.arange(len(requests.changed)), requests.changed]
  columns = loaded.test.attributes[:, requests.changed].T  # [N, rows of split]
  picked = [
    rng.choice(found) if len(found) else 0
    for found in (
      np.flatnonzero(column == value)
      for column, value in zip(columns, wanted, strict=True)
    )
  ]
  others = loaded.test.images[np.asarray(picked)]
  return {
    'unchanged': score(
      loaded, requests, requests.start, requests.reconstructions
    ),
    'random_image': score(
      loaded, requests, loaded.bound.encode(others)[0], others
    ),
  }
