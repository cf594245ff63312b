"""Train steps of the critics and the actor, on encoded data only.

Batches have 'mean' and 'scale' [B, Z] of encoded training rows, 'attributes'
[B, Y] of the same rows, 'other_attributes' [B, Y] of other training rows, and
'row'. So y is always a vector that occurs in the data. Every step draws new
z = mean + scale * eps. With 'start' [B, Z], these are moved instead of noise.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from lcjax import types
from lcjax.latent import noise, optimize
from lcjax.losses import adversarial, distance, divergences
from lcjax.training import objectives, remedies, steps
from lcjax.training import state as state_lib


class CriticWeights(NamedTuple):
  """Weights of the terms in a critic's loss; real rows have weight 1.

  Attributes:
    moved: rows moved by the actor (or optimizer-G), as fakes.
    prior: unmoved prior rows, as fakes.
    mismatched: real rows with attributes of other rows, as fakes.
    gradient_penalty: the gradient penalty between real and moved rows.
    r1: the zero-centred gradient penalty at real rows; gamma of its paper.
    r2: the same at moved rows.
  """

  moved: float
  prior: float
  mismatched: float
  gradient_penalty: float
  r1: float = 0.0
  r2: float = 0.0


def draw_latents(
  batch: steps.Batch, key: jax.Array
) -> tuple[jax.Array, jax.Array]:
  """Real z ~ q(z|x), and prior z0 ~ N(0, I) or the batch's start: [B, Z]."""
  size = batch['mean'].shape[-1]
  real_key, prior_key = jax.random.split(key)
  eps = noise.normal(real_key, batch['row'], size)
  prior = batch.get('start')
  if prior is None:
    prior = noise.normal(prior_key, batch['row'], size)
  return batch['mean'] + batch['scale'] * eps, prior


def critic_loss(
  critic_fn: Callable[[jax.Array, jax.Array], jax.Array],
  rows: dict[str, Any],
  weights: CriticWeights,
  divergence: divergences.Divergence,
  spread: jax.Array | float = 1.0,
  label_smoothing: jax.Array | float = 0.0,
) -> tuple[jax.Array, steps.Metrics]:
  """L_D of arXiv:1711.05772, section 4: real rows against fakes.

  E[L1(z, y)] + moved E[L0(z', y)] + prior E[L0(z0, y)] +
  mismatched E[L0(z, y')], with L1 and L0 the divergence's losses of real rows
  and fakes; L0 may be of the difference from the row's real (z, y). The
  authors' code replaces the moved rows by prior rows in one step of ten;
  weights .9 and .1 have the same expectation.

  Args:
    critic_fn: (z [B, Z], y [B, Y]) -> outputs v [B].
    rows: 'real', 'moved' and 'prior' latents [B, Z], 'attributes' and
      'other_attributes' [B, Y], 'mix' [B] for the gradient penalty; 'flips' of
      `remedies.Drawn`, if labels are noisy.
    weights: of the kinds of rows.
    divergence: that the critic estimates.
    spread: [Z] standard deviations of encodings, the unit of r1 and r2.
    label_smoothing: see `remedies.Remedies`.

  Returns:
    The scalar loss and its metrics. Scores are means of D = ratio / (1 +
    ratio), with the density ratio that the outputs mean. Without one, of the
    probability that a row wins the comparison with the other of its pair.
  """
  y, other = rows['attributes'], rows['other_attributes']
  real, moved = critic_fn(rows['real'], y), critic_fn(rows['moved'], y)
  flips = rows.get('flips', {})

  def of_fakes(kind: str, fake: jax.Array) -> jax.Array:
    return remedies.fake_loss(divergence, fake, real, flips.get(kind))

  loss = jnp.mean(
    remedies.real_loss(divergence, real, label_smoothing, flips.get('real'))
  )
  loss += weights.moved * jnp.mean(of_fakes('moved', moved))
  if steps.may_be_nonzero(weights.prior):
    prior = critic_fn(rows['prior'], y)
    loss += weights.prior * jnp.mean(of_fakes('prior', prior))
  if steps.may_be_nonzero(weights.mismatched):
    # The other row may have the same attributes; then there is no mismatch.
    # Divided by B, not by the number of mismatches: a mean over devices is then
    # the same as on one device.
    mismatched = jnp.any(y != other, axis=-1)
    losses = of_fakes('mismatched', critic_fn(rows['real'], other))
    loss += weights.mismatched * jnp.mean(mismatched * losses)
  if steps.may_be_nonzero(weights.gradient_penalty):
    loss += weights.gradient_penalty * jnp.mean(
      adversarial.gradient_penalty(
        lambda z: critic_fn(z, y), rows['real'], rows['moved'], rows['mix']
      )
    )
  for name, weight in (('real', weights.r1), ('moved', weights.r2)):
    if steps.may_be_nonzero(weight):
      loss += weight * jnp.mean(
        adversarial.zero_centred_penalty(
          lambda z: critic_fn(z, y), rows[name], spread
        )
      )
  won = divergence.probability(moved, real)
  metrics = {
    'critic_loss': loss,
    'generator_score': jnp.mean(won),
    'discriminator_score': 0.5
    * jnp.mean(divergence.probability(real, moved) + 1.0 - won),
  }
  return loss, metrics


def distance_to_start(
  mean_scale: jax.Array,
) -> Callable[[jax.Array, steps.Batch], jax.Array]:
  """Builds `(moved [B, Z], rows) -> [B]`, the distance penalty to 'start'.

  Args:
    mean_scale: [Z] training mean of the encoder's scale.
  """

  def distance_fn(z: jax.Array, rows: steps.Batch) -> jax.Array:
    return distance.distance_penalty(z, rows['start'], mean_scale)

  return distance_fn


def make_actor_critic_step(
  actor_fn: Callable[[Any, jax.Array, jax.Array], jax.Array],
  critic_fn: Callable[..., jax.Array],
  distance_fn: Callable[[jax.Array, steps.Batch], jax.Array],
  actor_tx: optax.GradientTransformation,
  critic_tx: optax.GradientTransformation,
  critic_weights: CriticWeights,
  divergence: divergences.Divergence,
  distance_weight: float,
  actor_on_encodings: bool,
  critic_steps_per_actor_step: int,
  average_decay: float,
  axis_name: str | None = None,
  skip_nonfinite: bool = False,
  spread: jax.Array | float = 1.0,
  actor_steps_per_critic_step: int = 1,
  remedy: remedies.Remedies = remedies.NONE,
) -> steps.Step:
  """Builds the step of G(z, y) against D(z, y).

  Every step updates the critic; one step in `critic_steps_per_actor_step` also
  updates the actor; or the other way round.

  Args:
    actor_fn: (params, z [B, Z], y [B, Y]) -> moved [B, Z].
    critic_fn: (params, z [B, Z], y [B, Y]) -> outputs v [B]; with dropout, its
      fourth argument is a `networks.Dropout`.
    distance_fn: (moved [B, Z], rows) -> [B], the loss of the actor beside the
      critic's, where `rows` is the batch with the moves' 'start': the
      distance to it, or any other constraint.
    actor_tx: the actor's optimiser.
    critic_tx: the critic's optimiser.
    critic_weights: of the kinds of rows.
    divergence: that the critic estimates.
    distance_weight: of that loss; lambda_dist.
    actor_on_encodings: if there is a distance penalty, the actor's loss is the
      mean of two: that of moved prior rows, and that of encoded real z with
      their true labels, where the actor should not move. So the number of
      updates does not depend on the penalty. Metrics are of the prior rows.
    critic_steps_per_actor_step: the update ratio.
    average_decay: of the actor's averaged parameters.
    axis_name: axis to average over, if any.
    skip_nonfinite: as in `steps.make_update`, for each network.
    spread: as in `critic_loss`.
    actor_steps_per_critic_step: the update ratio the other way round.
    remedy: noise of the critic.

  Returns:
    The step of a state with the networks 'actor' and 'critic'. Its metrics
    include the norms of their gradients, 'mover_grad_norm' and
    'critic_grad_norm', 0 in a step that does not update the network.
  """

  def critic_objective(
    params: Any, rows: steps.Batch, key: jax.Array
  ) -> tuple[jax.Array, steps.Metrics]:
    del key
    return critic_loss(
      lambda z, y: critic_fn(params, z, y, *rows['dropout']),
      rows,
      critic_weights,
      divergence,
      spread,
      remedy.label_smoothing,
    )

  def step(
    state: state_lib.TrainState, batch: steps.Batch, key: jax.Array
  ) -> tuple[state_lib.TrainState, steps.Metrics]:
    key = jax.random.fold_in(key, state.step)
    latent_key, mix_key = jax.random.split(key)
    real, prior = draw_latents(batch, latent_key)
    y = batch['attributes']
    drawn = remedies.draw(
      remedy, key, state.step, batch['row'], real.shape[-1], spread
    )

    rows = {
      'real': drawn.seen('real', real),
      'prior': drawn.seen('prior', prior),
      'moved': drawn.seen('moved', actor_fn(state['actor'].params, prior, y)),
      'mix': noise.uniform(mix_key, batch['row']),
      'attributes': y,
      'other_attributes': batch['other_attributes'],
      'dropout': drawn.dropout,
      'flips': drawn.flips,
    }
    update_critic = steps.make_update(
      critic_objective,
      critic_tx,
      average_decay,
      axis_name,
      skip_nonfinite,
      'critic_grad_norm',
      every=actor_steps_per_critic_step,
    )
    critic, metrics = update_critic(state['critic'], rows, key, state.step)

    def move_loss(
      params: Any, start: jax.Array
    ) -> tuple[jax.Array, steps.Metrics]:
      z = actor_fn(params, start, y)
      penalty = distance_fn(z, {**batch, 'start': start})
      outputs = critic_fn(
        critic.params, drawn.seen('moved', z), y, *drawn.dropout
      )
      reference = critic_fn(  # read by few divergences
        critic.params, rows['real'], y, *drawn.dropout
      )
      loss = jnp.mean(
        divergence.mover_loss(outputs, reference) + distance_weight * penalty
      )
      return loss, {'actor_loss': loss, 'distance': jnp.mean(penalty)}

    def actor_objective(
      params: Any, rows: steps.Batch, key: jax.Array
    ) -> tuple[jax.Array, steps.Metrics]:
      del rows, key
      loss, found = move_loss(params, prior)
      if steps.may_be_nonzero(distance_weight) and actor_on_encodings:
        own, _ = move_loss(params, real)
        # Only a traced weight can be 0 here, in an ensemble.
        loss = jnp.where(distance_weight > 0, (loss + own) / 2.0, loss)
      return loss, found

    update_actor = steps.make_update(
      actor_objective,
      actor_tx,
      average_decay,
      axis_name,
      skip_nonfinite,
      'mover_grad_norm',
      every=critic_steps_per_actor_step,
    )
    actor, found = update_actor(state['actor'], batch, key, state.step)
    networks = {'actor': actor, 'critic': critic}
    return state_lib.TrainState(state.step + 1, networks), metrics | found

  return step


def make_latent_critics_step(
  attribute_fn: Callable[[Any, jax.Array], jax.Array],
  realism_fn: Callable[[Any, jax.Array], jax.Array],
  make_constraint: Callable[[Any, Any, jax.Array | None], optimize.CostFn],
  move_tx: optax.GradientTransformation,
  attribute_tx: optax.GradientTransformation,
  realism_tx: optax.GradientTransformation,
  realism_weights: CriticWeights,
  divergence: divergences.Divergence,
  labels: types.Labels,
  inner_steps: int,
  average_decay: float,
  axis_name: str | None = None,
  skip_nonfinite: bool = False,
  spread: jax.Array | float = 1.0,
) -> steps.Step:
  """Builds the step of D_attr(z) and D_realism(z), optimizer-G's critics.

  Optimizer-G exploits a realism critic that was trained on q(z) and p(z) only.
  So each step moves prior latents by `inner_steps` of optimizer-G against the
  current critics, and D_realism is trained on the result as fakes.

  Args:
    attribute_fn: (params, z [B, Z]) -> logits [B, Y].
    realism_fn: (params, z [B, Z]) -> outputs v [B].
    make_constraint: (attribute params, realism params, quantiles) -> the
      constraint that optimizer-G minimises; its target has 'attributes' (y,
      mask) and 'near'. Quantiles are D_realism's of the real rows of the batch,
      see `Divergence.calibrate`.
    move_tx: optimizer-G's optimiser of z.
    attribute_tx: D_attr's optimiser.
    realism_tx: D_realism's optimiser.
    realism_weights: of the kinds of rows; `mismatched` must be 0, as D_realism
      takes no attributes.
    divergence: that D_realism estimates.
    labels: of the attributes.
    inner_steps: of optimizer-G; if 0, the moved rows are the prior rows.
    average_decay: of both networks' averaged parameters.
    axis_name: axis to average over, if any.
    skip_nonfinite: as in `steps.make_update`, for each network.
    spread: as in `critic_loss`.

  Returns:
    The step of a state with the networks 'attribute' and 'realism'.
  """

  def attribute_objective(
    params: Any, rows: steps.Batch, key: jax.Array
  ) -> tuple[jax.Array, steps.Metrics]:
    del key
    loss, accuracy = objectives.classification(
      attribute_fn(params, rows['real']), rows['attributes'], labels
    )
    return loss, {'attribute_loss': loss, 'attribute_accuracy': accuracy}

  def realism_objective(
    params: Any, rows: steps.Batch, key: jax.Array
  ) -> tuple[jax.Array, steps.Metrics]:
    del key
    return critic_loss(
      lambda z, _: realism_fn(params, z),
      rows,
      realism_weights,
      divergence,
      spread,
    )

  updates = {
    'attribute': steps.make_update(
      attribute_objective,
      attribute_tx,
      average_decay,
      axis_name,
      skip_nonfinite,
    ),
    'realism': steps.make_update(
      realism_objective, realism_tx, average_decay, axis_name, skip_nonfinite
    ),
  }

  def make_rows(
    state: state_lib.TrainState, batch: steps.Batch, key: jax.Array
  ) -> steps.Batch:
    latent_key, mix_key = jax.random.split(key)
    real, prior = draw_latents(batch, latent_key)
    y = batch['attributes']
    of_real = realism_fn(state['realism'].params, real)
    want = make_constraint(
      state['attribute'].params,
      state['realism'].params,
      divergence.calibrate(of_real, axis_name),
    )
    target = {'attributes': (y, jnp.ones_like(y)), 'near': prior}
    moved = optimize.optimize_latents(
      want, prior, target, move_tx, inner_steps
    ).z
    return {
      'real': real,
      'prior': prior,
      'moved': moved,
      'mix': noise.uniform(mix_key, batch['row']),
      'attributes': y,
      'other_attributes': batch['other_attributes'],
    }

  return steps.make_train_step(updates, make_rows)
