"""Remedies for an adversarial training that fails, as noise of its critic.

For any critic of real rows and fakes. Each is off by default, and costs nothing
then. Noise is a function of (key, row), see `lcjax.latent.noise`. What they are
for is in docs/instabilities.md.
"""

import zlib
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from lcjax import errors
from lcjax.latent import noise
from lcjax.losses import divergences
from lcjax.training import steps

# Of what noise and flips are drawn, each with a key of its own.
KINDS = 'real', 'moved', 'prior', 'mismatched'
# `fold_in(key, 1)` would be the second key of `split(key)`.
_KEY = zlib.crc32(b'remedies')


class Remedies(NamedTuple):
  """What is done to the critic in training; numbers may be tracers.

  Attributes:
    dropout: share of its hidden units that are left out, of each row others;
      for the mover's loss, too.
    label_noise: share of rows whose real-or-fake label is flipped. Where pairs
      are compared, the two change places.
    label_smoothing: real rows count as fakes with this weight, and as real with
      the rest; one-sided, Salimans et al., arXiv:1606.03498, section 3.4.
    instance_noise: standard deviation of noise on all that the critic sees, in
      units of the spread of real rows; it decays linearly to 0. Sonderby et
      al., arXiv:1610.04490; Arjovsky & Bottou, arXiv:1701.04862.
    num_steps: of the training, over which that noise decays.
  """

  dropout: float | jax.Array = 0.0
  label_noise: float | jax.Array = 0.0
  label_smoothing: float | jax.Array = 0.0
  instance_noise: float | jax.Array = 0.0
  num_steps: int = 1


NONE = Remedies()


class Drawn(NamedTuple):
  """The noise of one step; what is off is empty.

  Attributes:
    dropout: further arguments of the critic: (keys [B], rate), or none.
    flips: kind of row -> [B] whether its label is flipped.
    noise: kind of row -> [B, Z] what is added to it before the critic sees it.
  """

  dropout: tuple[Any, ...]
  flips: dict[str, jax.Array]
  noise: dict[str, jax.Array]

  def seen(self, kind: str, z: jax.Array) -> jax.Array:
    """What the critic sees of rows [B, Z]."""
    return z + self.noise[kind] if self.noise else z


def draw(
  remedies: Remedies,
  key: jax.Array,
  step: jax.Array,
  rows: jax.Array,
  size: int,
  spread: jax.Array | float,
) -> Drawn:
  """Draws what one step needs.

  Args:
    remedies: that are used.
    key: of the step.
    step: its number, from 0.
    rows: [B] global row numbers.
    size: Z.
    spread: [Z] standard deviations of real rows, or a number.
  """
  drop_key, flip_key, noise_key = jax.random.split(
    jax.random.fold_in(key, _KEY), 3
  )
  dropout: tuple[Any, ...] = ()
  if steps.may_be_nonzero(remedies.dropout):
    keys = jax.vmap(jax.random.fold_in, (None, 0))(drop_key, rows)
    dropout = ((keys, remedies.dropout),)
  flips, added = {}, {}
  if steps.may_be_nonzero(remedies.label_noise):
    keys = jax.random.split(flip_key, len(KINDS))
    flips = {
      kind: noise.uniform(keys[i], rows) < remedies.label_noise
      for i, kind in enumerate(KINDS)
    }
  if steps.may_be_nonzero(remedies.instance_noise):
    left = jnp.maximum(1.0 - step / remedies.num_steps, 0.0)
    keys = jax.random.split(noise_key, len(KINDS))
    size_of_noise = jnp.broadcast_to(
      remedies.instance_noise * left * spread, (len(rows), size)
    )
    added = {
      kind: size_of_noise * noise.normal(keys[i], rows, size)
      for i, kind in enumerate(KINDS)
    }
  return Drawn(dropout, flips, added)


def real_loss(
  divergence: divergences.Divergence,
  real: jax.Array,
  label_smoothing: float | jax.Array = 0.0,
  flip: jax.Array | None = None,
) -> jax.Array:
  """The critic's loss of real rows, of their outputs [B]: [B]."""
  losses = divergence.real_loss(real)
  if divergence.relative:  # of pairs: flipped in `fake_loss`
    return losses
  if steps.may_be_nonzero(label_smoothing):
    as_fakes = divergence.fake_loss(real)
    losses = (1.0 - label_smoothing) * losses + label_smoothing * as_fakes
  if flip is not None:
    losses = jnp.where(flip, divergence.fake_loss(real), losses)
  return losses


def fake_loss(
  divergence: divergences.Divergence,
  fake: jax.Array,
  real: jax.Array,
  flip: jax.Array | None = None,
) -> jax.Array:
  """The critic's loss of fakes beside real rows, of outputs [B]: [B]."""
  losses = divergence.pair_loss(fake, real)
  if flip is None:
    return losses
  if divergence.relative:
    return jnp.where(flip, divergence.pair_loss(real, fake), losses)
  return jnp.where(flip, divergence.real_loss(fake), losses)


def check(
  divergence: divergences.Divergence, what: str, values: dict[str, Any]
) -> None:
  """Raises UserError if a remedy is out of range or has no meaning.

  Args:
    divergence: that the critic estimates.
    what: the argument or config key that names it.
    values: of dropout, label_noise, label_smoothing and instance_noise, in
      this order, by argument or key.
  """
  for (key, value), limit in zip(
    values.items(), (1.0, 0.5, 0.5, float('inf')), strict=True
  ):
    if not 0 <= value < limit:
      raise errors.UserError(
        f'{key}={value!r} must be '
        + ('at least 0' if limit == float('inf') else f'in [0, {limit:g})')
      )
  key = list(values)[2]
  if divergence.relative and values[key]:
    raise errors.UserError(
      f'{key}={values[key]!r} has no meaning for {what}={divergence.name!r}, '
      'which compares pairs and decides nothing of a real row alone: set '
      'label noise instead'
    )


def check_ratios(ratios: dict[str, int]) -> None:
  """Raises UserError if both networks would rest in most steps.

  Args:
    ratios: the two update ratios, by argument or key.
  """
  if min(ratios.values()) > 1:
    raise errors.UserError(
      ' and '.join(f'{key}={value}' for key, value in ratios.items())
      + ' would update neither network in most steps: set one of them to 1'
    )
