"""A critic of latents that is learned from a rule of decoded samples."""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from sklearn import isotonic

from lcjax import errors
from lcjax.constraints import rule_critic, rule_rounds, rule_scores
from lcjax.generators import latent_model
from lcjax.latent import encodings
from lcjax.losses import divergences
from lcjax.models import apply
from lcjax.training import denoiser_steps, latent_steps, optimizer_spec, steps

_CRITIC_ADAM = optimizer_spec.adam(1e-3)
_STOPS = 0.9, 0.99, 0.9999  # of moved latents to learn from
# To choose from.
_THRESHOLDS = 0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999, 0.9999
_LEAST_MET = 10  # rows, for a threshold to be chosen
_ROUNDING = 1e-5  # a row that stopped at a threshold may seem just below


def _cross_entropy(
  logits: jax.Array, scores: jax.Array
) -> tuple[jax.Array, steps.Metrics]:
  """Of scores [B] in [0, 1]: a mean in nats, and its metrics."""
  losses = scores * divergences.GAN.real_loss(logits)
  losses += (1.0 - scores) * divergences.GAN.fake_loss(logits)
  loss = jnp.mean(losses)
  return loss, {'loss': loss, 'score': jnp.mean(scores)}


@dataclasses.dataclass(frozen=True)
class _Loss:
  """Of D(z); 'attributes' [B, 1] are scores."""

  critic_fn: apply.Apply

  def __call__(
    self, params: Any, batch: steps.Batch, key: jax.Array
  ) -> tuple[jax.Array, steps.Metrics]:
    z, _ = latent_steps.draw_latents(batch, key)
    return _cross_entropy(self.critic_fn(params, z), batch['attributes'][:, 0])


@dataclasses.dataclass(frozen=True)
class _NoisedLoss:
  """Of D(z_t, t), for latents in standard units."""

  noised_fn: apply.Apply

  def __call__(
    self, params: Any, batch: steps.Batch, key: jax.Array
  ) -> tuple[jax.Array, steps.Metrics]:
    rows = denoiser_steps.noised_rows(batch, key)
    logits = self.noised_fn(params, rows['noised'], rows['time'])
    return _cross_entropy(logits[:, 0], rows['attributes'][:, 0])


def _balanced(
  scored: Sequence[rule_rounds.Scored], key: jax.Array
) -> rule_rounds.Scored:
  """As many rows again, drawn so that both answers count the same.

  A row of score r stands for a share r of the answer yes and 1 - r of no. Drawn
  with probability w = r / (2 mean r) + (1 - r) / (2 mean (1 - r)), it has the
  score r / (2 mean r) / w.
  """
  z, r = (np.concatenate(parts) for parts in zip(*scored, strict=True))
  share = float(np.mean(r, dtype=np.float64))
  yes, no = r / (2.0 * share), (1.0 - r) / (2.0 * (1.0 - share))
  weights = (yes + no).astype(np.float64)
  rows = rule_rounds.rng_of(key).choice(
    len(r), size=len(r), p=weights / weights.sum()
  )
  return rule_rounds.Scored(
    z[rows], (yes / (yes + no))[rows].astype(np.float32)
  )


def _as_data(
  scored: rule_rounds.Scored, scale: np.ndarray | float
) -> latent_model.LatentData:
  """Training draws z with noise of a scale, which decodes to nearly the same.

  So the critic has no steep places that a mover would find.
  """
  z, scores = scored
  scales = np.broadcast_to(np.asarray(scale, np.float32), z.shape)
  return latent_model.LatentData(
    encodings.Encodings(z, scales, scores[:, None]), None
  )


def _check_settings(name: str, **shares: float | None) -> None:
  for key, value in shares.items():
    if value is not None and not 0 < value <= 1:
      raise errors.UserError(f'rule {name!r}: {key}={value} must be in (0, 1]')


def learn_rule(
  model: latent_model.LatentModel,
  rule: rule_scores.Rule,
  key: jax.Array,
  *,
  source: latent_model.LatentData | None = None,
  start: Callable[..., np.ndarray] | None = None,
  name: str = 'rule',
  level: float = 0.5,
  threshold: float | None = None,
  precision: float = 0.95,
  noised: bool = False,
  move_fn: rule_rounds.MoveFn | None = None,
  num_samples: int = 5000,
  rounds: int = 2,
  num_held_out: int = 2000,
  hidden_sizes: Sequence[int] = (256, 256),
  optimizer: optimizer_spec.OptimizerSpec = _CRITIC_ADAM,
  num_steps: int = 1000,
  batch_size: int = 128,
  progress: bool = True,
  resume: rule_rounds.RuleRound | None = None,
  on_round: Callable[[rule_rounds.RuleRound], None] | None = None,
) -> rule_critic.RuleCritic:
  """Learns where decoded samples obey a rule, without labels or its gradient.

  A critic D(z) is fitted to scores of decoded latents by cross-entropy, with
  both answers weighted alike, however rare one is. Every further round moves
  latents against the critic, scores what comes out and goes on training with it
  as well: that is where the critic errs, and where it is used.

  Then latents that were not trained on are moved until D(z) is .5, .7, .8, ...,
  .9999. The constraint's threshold is the least of these at which the share of
  them that obeys reaches `precision`: to ask for more would cost realism and
  variety. If none does, it is the least of the greatest share. (Shares are
  fitted by an isotonic regression on the threshold.)

  Whether a sample obeys is for the rule itself to say: ask it again of
  `model.decode(moved.z)`.

  Args:
    model: decodes latents.
    rule: samples [B, ...] on the host -> scores [B] in [0, 1]; any Python
      function of each sample, called with at most a thousand at once.
    key: of draws, initial parameters and batches.
    source: encoded data, whose labels are not read: latents come from there and
      from the prior alike.
    start: (target, rows, key) -> z, from which latents come as well, such as a
      `mixture_start` without labels; the held-out ones all do.
    name: of the constraint.
    level: a sample obeys if its score is at least this.
    threshold: met if D(z) is at least this; None chooses it.
    precision: see above.
    noised: whether to learn a critic of noised latents as well, which guides a
      denoiser better; needs a source, in whose units noise is measured.
    move_fn: (critic, z [N, Z], key) -> moved z, by the mover that will be used;
      it should stop at the critic's threshold. Optimizer-G if None.
    num_samples: scored before the first round, and in every further one.
    rounds: after the first fit; 0 learns from unmoved latents alone.
    num_held_out: samples that are scored for threshold and report.
    hidden_sizes: of the network.
    optimizer: of its parameters.
    num_steps: of training, in every round.
    batch_size: rows per step.
    progress: whether to show a bar.
    resume: a round, as `on_round` was given it, after which to go on.
    on_round: called after every round.

  Returns:
    The constraint, with its `report`.

  Raises:
    UserError: the rule raises an exception, or gives scores of another number,
      outside of [0, 1] or all equal; or no sample obeys; or a setting is out of
      range.
  """
  _check_settings(name, level=level, threshold=threshold, precision=precision)
  if rounds < 0 or num_samples < 1 or num_held_out < 2 * len(_THRESHOLDS):
    raise errors.UserError(
      f'rule {name!r}: rounds={rounds} must be at least 0, num_samples='
      f'{num_samples} at least 1, num_held_out={num_held_out} at least '
      f'{2 * len(_THRESHOLDS)}'
    )
  if noised and source is None:
    raise errors.UserError(
      f'rule {name!r}: noised=True needs the source, the data that the '
      'denoiser was learned from'
    )
  learner = rule_rounds.Learner(
    model,
    rule,
    source,
    start,
    name,
    level,
    noised,
    move_fn or rule_rounds.optimizer_g,
    tuple(hidden_sizes),
  )
  fit = functools.partial(
    _fit,
    learner,
    optimizer=optimizer,
    num_steps=num_steps,
    batch_size=batch_size,
    progress=progress,
  )
  state = resume
  for number in range(0 if state is None else state.number + 1, rounds + 1):
    pool_key, fit_key = jax.random.split(jax.random.fold_in(key, number))
    pool = _gather(learner, state, number, num_samples, pool_key)
    state = fit(state, number, pool, f'round {number} of {rounds}', fit_key)
    if on_round is not None:
      on_round(state)
  assert state is not None
  held_out_key = jax.random.fold_in(key, rounds + 1)
  return _calibrate(
    learner, state, threshold, precision, num_held_out, held_out_key
  )


def _gather(
  learner: rule_rounds.Learner,
  state: rule_rounds.RuleRound | None,
  number: int,
  count: int,
  key: jax.Array,
) -> dict[str, rule_rounds.Scored]:
  """The pool of a round: what is known, and what it scores anew.

  Raises:
    UserError: there is nothing to learn.
  """
  if state is not None:
    start_key, move_key = jax.random.split(key)
    z = learner.begin_moves(state, count, start_key)
    moved = learner.move(state, z, _STOPS, move_key)
    origin = f'moved_{number}'
    return {**state.pool, origin: learner.score(moved, origin)}
  drawn = learner.draw(count, key)
  pool = {name: learner.score(z, name) for name, z in drawn.items()}
  scores = np.concatenate([scored.scores for scored in pool.values()])
  if scores.min() == scores.max():
    raise errors.UserError(
      f'rule {learner.name!r}: its score is {scores[0]:g} for all '
      f'{len(scores)} samples: there is nothing to learn. Give more '
      'num_samples, a source or start where it differs, or a graded score'
    )
  return pool


def _fit(
  learner: rule_rounds.Learner,
  state: rule_rounds.RuleRound | None,
  number: int,
  pool: dict[str, rule_rounds.Scored],
  title: str,
  key: jax.Array,
  *,
  optimizer: optimizer_spec.OptimizerSpec,
  num_steps: int,
  batch_size: int,
  progress: bool,
) -> rule_rounds.RuleRound:
  """Goes on training with a pool."""
  init_key, order_key, fit_key = jax.random.split(key, 3)
  zeros = jnp.zeros((1, learner.model.latent_size))
  scale: np.ndarray | float = 0.0
  if learner.source is not None:
    scale = learner.source.encodings.mean_scale
  options = optimizer, num_steps, batch_size, progress
  module = rule_critic.module(learner.hidden_sizes)
  noised_module = rule_critic.noised_module(learner.hidden_sizes)
  params = latent_model.fit_network(
    f'{learner.name}: {title}',
    _Loss(apply.Apply(module)),
    module.init(init_key, zeros) if state is None else state.params,
    _as_data(_balanced(list(pool.values()), order_key), scale),
    fit_key,
    *options,
  )
  noised_params = None
  if learner.noised:
    assert learner.source is not None
    found = learner.source.encodings
    mean, std = found.aggregate_mean, found.aggregate_std
    used = list(pool.values())
    if not learner.source.from_prior:
      # A denoiser never is where only the prior is.
      real = [scored for name, scored in pool.items() if name != 'prior']
      if len(np.unique(np.concatenate([one.scores for one in real]))) > 1:
        used = real
    z, scores = _balanced(used, order_key)
    noised_params = latent_model.fit_network(
      f'{learner.name}: {title}, noised',
      _NoisedLoss(apply.Apply(noised_module)),
      noised_module.init(init_key, zeros, jnp.zeros(1))
      if state is None
      else state.noised_params,
      _as_data(rule_rounds.Scored((z - mean) / std, scores), scale / std),
      fit_key,
      *options,
    )
  return rule_rounds.RuleRound(number, params, noised_params, pool)


def _calibrate(
  learner: rule_rounds.Learner,
  state: rule_rounds.RuleRound,
  threshold: float | None,
  precision: float,
  count: int,
  key: jax.Array,
) -> rule_critic.RuleCritic:
  """Chooses the threshold on one half of held-out latents, reports the other.

  Raises:
    UserError: no sample obeys.
  """
  used = () if learner.start is None else ('start',)

  def moved_to(
    stops: Sequence[float], count: int, key: jax.Array
  ) -> tuple[np.ndarray, np.ndarray]:
    """[N / S, S] of each stop: D(z), and whether the sample obeys."""
    count -= count % len(stops)
    start_key, move_key = jax.random.split(key)
    z = learner.begin_moves(state, count, start_key, used)
    z = learner.move(state, z, stops, move_key)
    obeys = learner.score(z, 'held out').scores >= learner.level
    found = learner.probabilities(state, z)
    shape = -1, len(stops)
    return np.reshape(found, shape), obeys.reshape(shape)

  first_key, second_key = jax.random.split(key)
  chosen, levels, asked = threshold, dict[float, float](), 0
  if chosen is None:
    found, obeys = moved_to(_THRESHOLDS, count // 2, first_key)
    asked += obeys.size
    levels = _precisions(found, obeys)
    best = max(levels.values(), default=0.0)
    chosen = min(
      (stop for stop, share in levels.items() if share >= min(precision, best)),
      default=_THRESHOLDS[0],
    )
  found, obeys = moved_to((chosen,), count // 2, second_key)
  asked += obeys.size
  if not any(state.rates(learner.level).values()) and not obeys.any():
    raise errors.UserError(
      f'rule {learner.name!r}: no sample has a score of at least level='
      f'{learner.level}: give more num_samples or rounds, or a lower level'
    )
  met = found >= chosen - _ROUNDING
  calls = sum(len(scored.z) for scored in state.pool.values()) + asked
  report = rule_critic.RuleReport(
    calls,
    state.rates(learner.level),
    {f'{stop:g}': share for stop, share in levels.items()},
    float(obeys[met].mean()) if met.any() else 0.0,
    float(obeys.mean()),
  )
  return dataclasses.replace(
    learner.critic(state, chosen),
    report=report,
    check_fn=rule_critic.Obeys(learner.rule, learner.level),
  )


def _precisions(found: np.ndarray, obeys: np.ndarray) -> dict[float, float]:
  """By threshold, the share of those rows that reach it that obey.

  Fitted to never fall with the threshold: the least of several thresholds whose
  share happens to be high is chosen too easily otherwise.

  Args:
    found: [N, S] D(z) of rows that were moved to each of the thresholds.
    obeys: [N, S] whether their samples obey.
  """
  met = found >= np.asarray(_THRESHOLDS) - _ROUNDING
  counts = met.sum(axis=0)
  used = np.flatnonzero(counts >= min(_LEAST_MET, len(met)))
  if not used.size:
    return {}
  shares = (obeys & met).sum(axis=0)[used] / counts[used]
  fitted = isotonic.isotonic_regression(shares, sample_weight=counts[used])
  return {
    _THRESHOLDS[i]: float(share) for i, share in zip(used, fitted, strict=True)
  }
