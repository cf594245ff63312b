"""What the rounds of `learn_rule` share: draws, moves and scores of latents."""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from lcjax import errors
from lcjax.constraints import rule_critic, rule_scores
from lcjax.generators import latent_model
from lcjax.latent import encodings, optimize
from lcjax.training import optimizer_spec

_LATENT_ADAM = optimizer_spec.adam(0.1)
_MOVE_STEPS = 100
_MOVE_BATCH = 1024
_RARE = 0.1  # a rule that holds less often is looked for near its best samples
_NUM_BEST = 100
_FARTHEST = 0.5  # from them, in standard deviations of the latents

# (critic, z [N, Z], key) -> moved [N, Z]
MoveFn = Callable[[rule_critic.RuleCritic, np.ndarray, jax.Array], np.ndarray]


class Scored(NamedTuple):
  """Latents [N, Z] and the scores [N] of their samples."""

  z: np.ndarray
  scores: np.ndarray


@dataclasses.dataclass(frozen=True)
class RuleRound:
  """All that is known after a round: the next ones follow from it.

  Attributes:
    number: of the round, from 0.
    params: of D(z).
    noised_params: of D(z_t, t); None if it is not learned.
    pool: all latents that were scored, by where they come from.
  """

  number: int
  params: Any
  noised_params: Any
  pool: Mapping[str, Scored]

  def rates(self, level: float) -> dict[str, float]:
    """Share of samples that score `level` or more, by origin."""
    return {
      name: float(np.mean(scored.scores >= level))
      for name, scored in self.pool.items()
    }


@jax.jit
def _descend(critic: rule_critic.RuleCritic, z: jax.Array) -> jax.Array:
  return optimize.optimize_latents(
    critic, z, {}, _LATENT_ADAM.make(), _MOVE_STEPS, smallest=64
  ).z


def optimizer_g(
  critic: rule_critic.RuleCritic, z: np.ndarray, key: jax.Array
) -> np.ndarray:
  """The default `MoveFn`."""
  del key
  moved = encodings.in_batches(
    functools.partial(_descend, critic),
    z,
    batch_size=_MOVE_BATCH,
  )
  return np.asarray(moved)


@jax.jit
def _probabilities(critic: rule_critic.RuleCritic, z: jax.Array) -> jax.Array:
  return critic.divergence.probability(critic.critic_fn(critic.params, z))


def rng_of(key: jax.Array) -> np.random.Generator:
  """A generator that follows from a key."""
  seed = [int(part) for part in np.ravel(jax.random.key_data(key))]
  return np.random.default_rng(seed)


@dataclasses.dataclass(frozen=True)
class Learner:
  """What stays the same in all rounds; see `learn_rule`."""

  model: latent_model.LatentModel
  rule: rule_scores.Rule
  source: latent_model.LatentData | None
  start: Callable[..., np.ndarray] | None
  name: str
  level: float
  noised: bool
  move_fn: MoveFn
  hidden_sizes: tuple[int, ...]

  def critic(
    self, state: RuleRound, threshold: float
  ) -> rule_critic.RuleCritic:
    """The constraint that a round has learned."""
    return rule_critic.make(
      self.hidden_sizes,
      state.params,
      state.noised_params,
      threshold,
      self.name,
    )

  def score(self, z: np.ndarray, origin: str) -> Scored:
    """Decodes, and asks the rule."""
    z = np.asarray(z, np.float32)
    found = rule_scores.score(
      self.rule, self.name, self.model.decode, z, origin
    )
    return Scored(z, found)

  def draw(
    self, count: int, key: jax.Array, used: Sequence[str] = ()
  ) -> dict[str, np.ndarray]:
    """Latents as they are, by origin: as many of each, `count` in all.

    Args:
      count: of latents.
      key: of the draw.
      used: origins to draw from; all that there are if empty.
    """
    prior_key, data_key, start_key = jax.random.split(key, 3)

    def encoded(rows: np.ndarray) -> np.ndarray:
      assert self.source is not None
      found, rng = self.source.encodings, rng_of(data_key)
      chosen = rng.integers(len(found.mean), size=len(rows))
      return found.sample(int(rng.integers(2**31)), chosen)

    def started(rows: np.ndarray) -> np.ndarray:
      assert self.start is not None
      return np.asarray(self.start({}, rows, start_key), np.float32)

    makers: dict[str, Callable[[np.ndarray], np.ndarray]] = {
      'prior': lambda rows: self.model.draw_prior(rows, prior_key)
    }
    if self.source is not None:
      makers['encodings'] = encoded
    if self.start is not None:
      makers['start'] = started
    names = [name for name in makers if not used or name in used]
    shares = np.diff(np.linspace(0, count, len(names) + 1).astype(int))
    return {
      name: makers[name](np.arange(share))
      for name, share in zip(names, shares, strict=True)
      if share
    }

  def begin_moves(
    self,
    state: RuleRound,
    count: int,
    key: jax.Array,
    used: Sequence[str] = (),
  ) -> np.ndarray:
    """Where moves start: as drawn; of a rare rule, half near its best samples.

    Moves alone hardly find a rule of which the critic has seen few cases.
    """
    draw_key, best_key = jax.random.split(key)
    z = np.concatenate(list(self.draw(count, draw_key, used).values()))
    pool = list(state.pool.values())
    latents, scores = (
      np.concatenate(parts) for parts in zip(*pool, strict=True)
    )
    unmoved = [
      scored.scores
      for n, scored in state.pool.items()
      if not n.startswith('moved')
    ]
    if np.mean(np.concatenate(unmoved) >= self.level) >= _RARE:
      return z
    rng = rng_of(best_key)
    # Ties in any order, not the oldest first.
    order = np.lexsort((rng.random(len(scores)), -scores))
    chosen = latents[rng.choice(order[:_NUM_BEST], size=count // 2)]
    far = rng.uniform(0.0, _FARTHEST, (len(chosen), 1)).astype(np.float32)
    noise = rng.standard_normal(chosen.shape, dtype=np.float32)
    z[: len(chosen)] = chosen + far * latents.std(axis=0) * noise
    return rng.permutation(z)

  def move(
    self,
    state: RuleRound,
    z: np.ndarray,
    stops: Sequence[float],
    key: jax.Array,
  ) -> np.ndarray:
    """Moves row i until D(z) is the stop of number i modulo their number."""
    moved = np.array(z, np.float32)
    for number, stop in enumerate(stops):
      rows = slice(number, None, len(stops))
      own_key = jax.random.fold_in(key, number)
      found = np.asarray(
        self.move_fn(self.critic(state, stop), moved[rows], own_key)
      )
      if found.shape != moved[rows].shape or not np.isfinite(found).all():
        raise errors.UserError(
          f'rule {self.name!r}: move_fn gives an array of shape {found.shape}, '
          f'it must be {moved[rows].shape}, and finite'
        )
      moved[rows] = found
    return moved

  def probabilities(self, state: RuleRound, z: np.ndarray) -> np.ndarray:
    """D(z): [N]."""
    bound = functools.partial(_probabilities, self.critic(state, 0.5))
    return np.asarray(encodings.in_batches(bound, z, batch_size=_MOVE_BATCH))
