"""Constraints on the decoded sample, and on its encoding."""

import dataclasses
from collections.abc import Callable
from typing import Any

import flax
import jax
import jax.numpy as jnp
import numpy as np

from lcjax import errors
from lcjax.constraints import base


@dataclasses.dataclass(frozen=True)
class DecodeOne:
  """The decoder for one latent, as a value."""

  decode_fn: Callable[..., Any]

  def __call__(self, params: Any, z: jax.Array) -> jax.Array:
    """The sample of z [Z]."""
    return jnp.asarray(self.decode_fn(params, z[None])[0])


@flax.struct.dataclass
class OnSample(base.Constraint):
  """A differentiable penalty on x = decode(z), as for known pixels.

  Attributes:
    params: of the decoder.
    tolerance: met if the penalty is at most this.
    decode_fn: (params, z [Z]) -> x; static.
    penalty_fn: x -> [], at least 0; or (x, target) -> [] with
      `takes_target`; static.
    name: of the constraint and its target; static.
    takes_target: whether `penalty_fn` reads a target of this name; static.
    margin: a penalty above it is the opposite; without one there is none.
    opposite: whether this is the opposite: loss max(0, margin - penalty),
      met if the penalty exceeds the margin; static.
    operator: arrays that `penalty_fn` takes before x, such as the mask of what
      is known; None if it takes none.
  """

  params: Any
  tolerance: jax.Array | float
  decode_fn: Callable[[Any, jax.Array], jax.Array] = flax.struct.field(
    pytree_node=False
  )
  penalty_fn: Callable[..., jax.Array] = flax.struct.field(pytree_node=False)
  name: str = flax.struct.field(pytree_node=False)
  takes_target: bool = flax.struct.field(pytree_node=False, default=False)
  margin: jax.Array | float | None = None
  opposite: bool = flax.struct.field(pytree_node=False, default=False)
  operator: Any = None

  def __call__(self, z: jax.Array, target: base.Target) -> base.Verdict:
    """See the class for the target."""
    further = (target[self.name],) if self.takes_target else ()
    return self._judge(self.decode_fn(self.params, z), *further)

  def _judge(self, x: jax.Array, *further: Any) -> base.Verdict:
    before = () if self.operator is None else (self.operator,)
    penalty = self.penalty_fn(*before, x, *further)
    if self.opposite:
      assert self.margin is not None  # see `negated`
      missing = jnp.maximum(self.margin - penalty, 0.0)
      return base.Verdict(missing, penalty > self.margin)
    return base.Verdict(penalty, penalty <= self.tolerance)

  def check(self, samples: np.ndarray, target: base.Target) -> np.ndarray:
    """By the penalty of the samples."""
    further = (target[self.name],) if self.takes_target else ()
    met = jax.vmap(lambda x, *further: self._judge(x, *further).met)
    return np.asarray(met(jnp.asarray(samples), *further))

  def negated(self) -> 'OnSample':
    """A penalty above the margin; UserError without one."""
    if self.margin is None:
      raise errors.UserError(
        f'negate({self.name!r}): a penalty has no opposite without a margin: '
        'give lcjax.on_sample(..., margin=...)'
      )
    return dataclasses.replace(self, opposite=not self.opposite)

  def names(self) -> tuple[str, ...]:
    """Its own."""
    return (self.name,)

  def targets(self) -> tuple[str, ...]:
    """Its own name, if the penalty reads a target."""
    return (self.name,) if self.takes_target else ()


@flax.struct.dataclass
class ReEncoded(base.Constraint):
  """A constraint on the encoding of the decoded sample.

  Critics are trained on encodings. For a latent between encodings, or one that
  was moved against the critic, the decoded sample is the better evidence.

  Attributes:
    params: of the model.
    inner: applied to the mean encoding of decode(z).
    reencode_fn: (params, z [Z]) -> mean encoding [Z] of decode(z); static.
  """

  params: Any
  inner: base.Constraint
  reencode_fn: Callable[[Any, jax.Array], jax.Array] = flax.struct.field(
    pytree_node=False
  )

  def __call__(self, z: jax.Array, target: base.Target) -> base.Verdict:
    """The target is that of the inner constraint."""
    return self.inner(self.reencode_fn(self.params, z), target)

  def negated(self) -> 'ReEncoded':
    """The opposite of the inner constraint."""
    return dataclasses.replace(self, inner=self.inner.negated())

  def names(self) -> tuple[str, ...]:
    """Those of the inner constraint."""
    return self.inner.names()

  def targets(self) -> tuple[str, ...]:
    """Those of the inner constraint."""
    return self.inner.targets()

  def references(self) -> tuple[str, ...]:
    """Those of the inner constraint."""
    return self.inner.references()

  def complete(self, z: jax.Array, target: base.Target) -> base.Target:
    """By the inner constraint, at the encoding of the decoded latent."""
    return self.inner.complete(self.reencode_fn(self.params, z), target)
