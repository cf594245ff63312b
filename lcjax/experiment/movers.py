"""The movers: latents of one replicate taken to attributes."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from lcjax.experiment import stage
from lcjax.experiment.loading import BoundCritics, BoundMovers
from lcjax.latent import encodings, noise, samplers
from lcjax.movers.base import Moved

# Seed of the noise that further tries start from: the same for every
# replicate and call, far from those that replicates count from.
_FURTHER_STARTS = 10_000
_ACCEPTED_ROWS = 4096  # at once


def names(config: ml_collections.ConfigDict) -> tuple[str, ...]:
  """Every mover of an experiment."""
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
    bound: one replicate.
    start: [B, Z].
    y: [B, Y] requested attributes.
    max_steps: the config's, if None.
    mask: [B, Y], 0 for attributes that do not count; all do, if None.
    reference: [B, Z] to stay close to; the start, if None.
    num_starts: tries of each row, the best of which is returned; all but the
      first start from further noise.
  """
  most = bound.max_steps if max_steps is None else max_steps
  mask = np.ones_like(y) if mask is None else mask
  steps = np.zeros(len(y), np.int32)  # of all tries of a row

  def attempt(rows: np.ndarray, number: int) -> samplers.Tried:
    begun = start
    if number:  # the same further starts at every call
      seed = _FURTHER_STARTS + number
      begun = samplers.prior(len(y), start.shape[1], seed)
    near = begun if reference is None else reference
    moved = bound.optimizer(most, begun[rows], y[rows], mask[rows], near[rows])
    steps[rows] += np.asarray(moved.steps)
    return samplers.Tried((moved.z, begun[rows]), moved.satisfied, moved.cost)

  best = samplers.retry(attempt, len(y), num_starts, only_refused=False)
  z, begun = best.found
  return Moved(z, begun, steps, best.accepted, best.cost)


def _denoise(
  bound: BoundMovers, start: np.ndarray, y: np.ndarray, edit: bool
) -> Moved:
  """Walks by the guided denoiser; from noise, again where D_attr refuses."""
  start_key, sample_key = jax.random.split(jax.random.key(_FURTHER_STARTS))

  def sample(
    start: np.ndarray, y: np.ndarray, rows: np.ndarray, number: int
  ) -> np.ndarray:
    key, every = jax.random.fold_in(sample_key, number), np.ones_like(y)
    found = bound.denoiser(edit, key, start, y, every, start, rows)
    return np.asarray(found)

  section = bound.denoise
  if edit or section.num_starts == 1:
    return Moved(sample(start, y, np.arange(len(y)), 0), start)
  size = start.shape[1]

  def draw(y: np.ndarray, rows: np.ndarray, number: int) -> np.ndarray:
    """Latents, and beside them where they began."""
    begun = start  # of all rows, in the first round
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
    bound: one replicate.
    mover: one of `names`, or 'none'.
    start: [B, Z].
    y: [B, Y] requested attributes.
    max_steps: of optimizer-G; the config's, if None.
    edit: whether the starts are encodings, not noise; the denoiser then
      noises them partly instead of taking them for the noise itself.
    mask: [B, Y], 0 for attributes that optimizer-G leaves out. The others
      need every attribute: the actor as its input, the denoiser since noise
      makes it forget.

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
  """Builds `(z [B, Z], y [B, Y]) -> [B]`: whether D_attr finds y in the image.

  It asks of every attribute a probability above `config.denoise.accept_above`,
  at the encoding of the image that z decodes to.
  """

  @jax.jit
  def hold(logits: jax.Array, y: jax.Array) -> jax.Array:
    tolerance = 1.0 - bound.denoise.accept_above
    return bound.labels.within(logits, y, jnp.ones_like(y), tolerance)

  def accept(z: np.ndarray, y: np.ndarray) -> np.ndarray:
    # Fewer and fewer rows at every call: a handful of shapes is compiled.
    logits = bound.image_attributes(z)
    return encodings.in_batches(hold, logits, y, batch_size=_ACCEPTED_ROWS)

  return accept
