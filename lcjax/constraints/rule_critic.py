"""The constraint that is learned from a rule, and what learning it took."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import flax
import jax
import numpy as np

from lcjax.constraints import base, critics
from lcjax.models import apply
from lcjax.models import critic as critic_lib
from lcjax.models import denoiser as denoiser_lib


class RuleReport(NamedTuple):
  """What it took to learn a rule, and how well it is known.

  Attributes:
    calls: samples that the rule was asked of, held-out ones included.
    rates: share of samples that obey, by where their latents come from.
    levels: by threshold that was tried, the `precision` there, as fitted: it
      does not fall.
    precision: of held-out moved latents with D(z) at the threshold or above,
      the share whose samples obey.
    satisfied: of all held-out moved latents, the share whose samples obey.
  """

  calls: int
  rates: Mapping[str, float]
  levels: Mapping[str, float]
  precision: float
  satisfied: float


@flax.struct.dataclass
class RuleCritic(critics.Critic):
  """A critic D(z) of a rule; see `critics.Critic`.

  Attributes:
    noised_params: of a critic of noised latents, for a guided denoiser; None if
      there is none.
    noised_fn: (noised params, z_t [Z], t []) -> output v [1], where z_t is in
      standard units of q(z); None if there is none; static.
    report: of its learning. Its numbers are leaves, so that constraints of two
      seeds share their programs; no loss reads them.
  """

  noised_params: Any = None
  noised_fn: Callable[[Any, jax.Array, jax.Array], jax.Array] | None = (
    flax.struct.field(pytree_node=False, default=None)
  )
  report: RuleReport | None = None

  def noisy(
    self, unit: jax.Array, t: jax.Array, clean: jax.Array, target: base.Target
  ) -> jax.Array:
    """By the critic of noised latents, if there is one."""
    if self.noised_fn is None:
      return super().noisy(unit, t, clean, target)
    return self.loss(self.noised_fn(self.noised_params, unit, t)[0])


@dataclasses.dataclass(frozen=True)
class Obeys:
  """Whether samples obey a rule, as `critics.Critic.check_fn`.

  Attributes:
    rule: samples [B, ...] -> scores [B].
    level: a sample obeys if its score is at least this.
  """

  rule: Callable[[np.ndarray], np.ndarray]
  level: float

  def __call__(self, samples: np.ndarray) -> np.ndarray:
    """[B] booleans."""
    return np.asarray(self.rule(samples)) >= self.level


def module(hidden_sizes: Sequence[int]) -> critic_lib.Critic:
  """The network of D(z)."""
  return critic_lib.Critic(0, tuple(hidden_sizes), 'relu')


def noised_module(hidden_sizes: Sequence[int]) -> denoiser_lib.ResidualMlp:
  """The network of D(z_t, t)."""
  return denoiser_lib.ResidualMlp(hidden_sizes[0], len(hidden_sizes), 1, 'silu')


def make(
  hidden_sizes: Sequence[int],
  params: Any,
  noised_params: Any,
  threshold: float,
  name: str,
  report: RuleReport | None = None,
) -> RuleCritic:
  """The constraint of trained networks.

  Args:
    hidden_sizes: of both.
    params: of `module`.
    noised_params: of `noised_module`; None if there is none.
    threshold: met if D(z) is at least this.
    name: of the constraint.
    report: of its learning.
  """
  noised_fn = None
  if noised_params is not None:
    noised_fn = apply.Apply(noised_module(hidden_sizes))
  return RuleCritic(
    params,
    threshold,
    apply.Apply(module(hidden_sizes)),
    name,
    noised_params=noised_params,
    noised_fn=noised_fn,
    report=report,
  )
