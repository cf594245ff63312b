"""Movers: move the latents of one replicate towards requested attributes."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from lcjax.experiment import stage
from lcjax.experiment.loading import BoundCritics, BoundMovers
from lcjax.latent import encodings, noise, samplers
from lcjax.movers.base import Moved

# Seed of the noise that further tries start from: the same for every replicate
# and call, and far above the usual seeds of replicates.
_FURTHER_STARTS = 10_000
_ACCEPTED_ROWS = 4096  # rows per call when rejection sampling checks D_attr


def names(config: ml_collections.ConfigDict) -> tuple[str, ...]:
  """Names of all movers of an experiment."""
  others = 'optimizer', 'actor_then_optimizer', 'guided_denoiser'
  return *stage.actors(config), *others


def optimize(
  bound: BoundCritics,
  start: np.ndarray,
  y: np.ndarray,
  max_steps: int | None = None,
  mask: np.ndarray | None = None,
  reference: np.ndarray | None = None,
  num_starts: int = 1,
) -> Moved:
  """Moves latents by optimizer-G.

  Args:
    bound: models of one replicate.
    start: [B, Z].
    y: [B, Y] requested attributes.
    max_steps: maximum number of updates; `bound.max_steps` if None.
    mask: [B, Y], 0 for attributes to ignore; None uses all attributes.
    reference: [B, Z] latents to stay close to; the start if None.
    num_starts: number of tries per row. The first starts from `start`, the
      others from new noise; the best try is kept.

  Returns:
    The moved latents. Steps are summed over the tries of a row.
  """
  max_steps = bound.max_steps if max_steps is None else max_steps
  mask = np.ones_like(y) if mask is None else mask
  steps = np.zeros(len(y), np.int32)  # summed over the tries of a row

  def attempt(rows: np.ndarray, number: int) -> samplers.Tried:
    begun = start
    if number:  # new noise, but the same in every call
      seed = _FURTHER_STARTS + number
      begun = samplers.prior(len(y), start.shape[1], seed)
    near = begun if reference is None else reference
    moved = bound.optimizer(
      max_steps, begun[rows], y[rows], mask[rows], near[rows]
    )
    steps[rows] += np.asarray(moved.steps)
    return samplers.Tried((moved.z, begun[rows]), moved.satisfied, moved.cost)

  best = samplers.retry(attempt, len(y), num_starts, only_refused=False)
  z, begun = best.found
  return Moved(z, begun, steps, best.accepted, best.cost)


def _denoise(
  bound: BoundMovers, start: np.ndarray, y: np.ndarray, edit: bool
) -> Moved:
  """Moves latents by the guided denoiser.

  Samples from noise are redrawn while D_attr rejects them, with at most
  `bound.denoise.num_starts` draws per row. Edits are drawn once.
  """
  start_key, sample_key = jax.random.split(jax.random.key(_FURTHER_STARTS))

  def sample(
    start: np.ndarray, y: np.ndarray, rows: np.ndarray, number: int
  ) -> np.ndarray:
    key, mask = jax.random.fold_in(sample_key, number), np.ones_like(y)
    found = bound.denoiser(edit, key, start, y, mask, start, rows)
    return np.asarray(found)

  section = bound.denoise
  if edit or section.num_starts == 1:
    return Moved(sample(start, y, np.arange(len(y)), 0), start)
  size = start.shape[1]

  def draw(y: np.ndarray, rows: np.ndarray, number: int) -> np.ndarray:
    """Draws latents and appends their starts: [B, 2 Z]."""
    begun = start  # the first round draws all rows
    if number:
      key = jax.random.fold_in(start_key, number)
      begun = noise.draw(key, rows, size)
    return np.concatenate([sample(begun, y, rows, number), begun], axis=1)

  accept = accepts(bound)
  found = samplers.keep_accepted(
    draw,
    lambda drawn, y: accept(drawn[:, :size], y),
    y,
    section.num_starts,
  )
  return Moved(found[:, :size], found[:, size:])


def move(
  bound: BoundMovers,
  mover: str,
  start: np.ndarray,
  y: np.ndarray,
  max_steps: int | None = None,
  edit: bool = False,
  mask: np.ndarray | None = None,
) -> Moved:
  """Moves latents towards attributes.

  Args:
    bound: movers of one replicate.
    mover: one of `names`, or 'none'.
    start: [B, Z].
    y: [B, Y] requested attributes.
    max_steps: maximum number of updates of optimizer-G; `bound.max_steps` if
      None.
    edit: whether the starts are encodings. The denoiser then adds noise to
      them; otherwise, it takes the starts as the noise. Optimizer-G tries an
      edit only once.
    mask: [B, Y], 0 for attributes that optimizer-G ignores; None uses all.
      Other movers always use all attributes: the actor takes them as input,
      and the denoiser's noise erases those of the start.

  Returns:
    The moved latents.
  """
  if mover == 'guided_denoiser':
    return _denoise(bound, start, y, edit)
  if mover in bound.actors:
    return Moved(bound.actors[mover].move(start, y), start)
  z = start
  if mover == 'actor_then_optimizer':
    z = bound.actors['actor'].move(z, y)
  if mover not in ('optimizer', 'actor_then_optimizer'):
    return Moved(z, start)
  tries = bound.num_starts if mover == 'optimizer' and not edit else 1
  reference = start if mover == 'actor_then_optimizer' else None
  found = optimize(bound, z, y, max_steps, mask, reference, tries)
  return found if mover == 'optimizer' else found._replace(start=start)


def accepts(
  bound: BoundMovers,
) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
  """Builds `(z [B, Z], y [B, Y]) -> [B]`, the test of rejection sampling.

  Accepts a row if D_attr, at the encoding of the decoded z, gives every
  requested value a probability above `bound.denoise.accept_above`.
  """

  @jax.jit
  def hold(logits: jax.Array, y: jax.Array) -> jax.Array:
    tolerance = 1.0 - bound.denoise.accept_above
    return bound.labels.within(logits, y, jnp.ones_like(y), tolerance)

  def accept(z: np.ndarray, y: np.ndarray) -> np.ndarray:
    # Each round has fewer rows; batching limits how many shapes are compiled.
    logits = bound.image_attributes(z)
    return encodings.in_batches(hold, logits, y, batch_size=_ACCEPTED_ROWS)

  return accept
