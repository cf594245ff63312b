"""Trains the critics of optimizer-G, then each actor with its critic.

The data set is encoded once; all trainings see encodings and labels only.
"""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import optax

from lcjax import types
from lcjax.data import batches
from lcjax.experiment import (
  build,
  external,
  generator,
  jobs,
  training_parts,
)
from lcjax.generators import latent_model
from lcjax.latent import encodings
from lcjax.models import apply
from lcjax.movers import starts
from lcjax.training import (
  latent_steps,
  parallel,
  remedies,
  state,
  steps,
  watch,
)

CRITICS_OPTIMIZERS = ('attribute_optimizer', 'realism_optimizer')


@dataclasses.dataclass(frozen=True)
class LatentData:
  """The networks and the latents, shared by all trainings on these.

  They are encodings, or draws of the prior for a model without an encoder.
  """

  networks: build.Networks
  train: encodings.Encodings
  validation: encodings.Encodings
  labels: types.Labels
  seed: int
  from_prior: bool = False
  # (rows, key) -> z, draws of the model's prior; None if it is N(0, I).
  draw_prior: Callable[[np.ndarray, jax.Array], np.ndarray] | None = None

  @property
  def mean_scale(self) -> jax.Array:
    """[Z] mean of the encoder's scale over the training data."""
    return jnp.asarray(self.train.mean_scale)

  @property
  def spread(self) -> jax.Array:
    """[Z] standard deviations of the training data's encodings."""
    return jnp.asarray(self.train.aggregate_std)


def prepare(job: jobs.Job, replicate: int) -> LatentData:
  """Loads the data and the model, and finds what to learn from."""
  config = job.config
  data, held_out = build.load_splits(job)
  networks = build.build_networks(config, data)
  made = generator.load(job, data, replicate)
  return LatentData(
    networks,
    made.latents(data, 'train'),
    made.latents(held_out, 'validation'),
    data.labels,
    config.seed + replicate,
    external.from_prior(config),
    made.model.own_prior,
  )


_COMPONENTS = 10  # of the mixture that trainings may move draws of


def draw_starts(
  latents: LatentData, start: str, split: encodings.Encodings
) -> np.ndarray | None:
  """What a training moves: a draw [N, Z] for each row of a split.

  Args:
    latents: what a mixture is fitted to.
    start: 'class_mixture'; or 'prior': None for N(0, I), as every step draws
      new noise, and a draw of any other prior.
    split: whose labels are requested.
  """
  rows = np.arange(len(split.mean))
  if start == 'prior':
    if latents.draw_prior is None:
      return None
    return latents.draw_prior(rows, jax.random.key(latents.seed))
  draw = starts.mixture_start(
    latent_model.LatentData(latents.train, latents.labels, latents.from_prior),
    _COMPONENTS,
    seed=latents.seed,
  )
  return draw({'attributes': split.attributes}, rows, jax.random.key(0))


def make_batches(
  latents: LatentData, batch_size: int, begun: np.ndarray | None = None
) -> Callable[[int, int], dict[str, np.ndarray]]:
  """Builds (first step, K) -> K stacked batches of encodings and attributes.

  Args:
    latents: the encodings.
    batch_size: rows of a batch.
    begun: by `draw_starts` of the training rows.
  """
  data = latents.train
  further = {} if begun is None else {'start': begun}

  def make(step: int, count: int) -> dict[str, np.ndarray]:
    (rows, numbers), (others, _) = (
      parallel.local_rows(
        batches.stacked_indices(
          (latents.seed, order), step, count, batch_size, len(data.mean)
        )
      )
      for order in (0, 1)
    )
    return {
      'mean': data.mean[rows],
      'scale': data.scale[rows],
      'attributes': data.attributes[rows],
      'other_attributes': data.attributes[others],
      'row': numbers,
    } | {name: array[rows] for name, array in further.items()}

  return make


def make_critics_state(
  config: ml_collections.ConfigDict, networks: build.Networks, seed: int
) -> Callable[[], state.TrainState]:
  """Builds a function that makes the first state of D_attr and D_realism."""
  section = config.latent_critics
  key = build.stage_key(seed, 'latent_critics/init')
  attribute_key, realism_key = jax.random.split(key)
  z = jnp.zeros((1, external.latent_size(config)))
  attribute_tx, realism_tx = build.make_optimizers(
    config, 'latent_critics', CRITICS_OPTIMIZERS
  )

  def make() -> state.TrainState:
    average = section.average_decay > 0
    attribute = networks.attribute_critic.init(attribute_key, z)
    realism = networks.realism_critic.init(realism_key, z)
    return state.create(
      {
        'attribute': state.create_network(attribute, attribute_tx, average),
        'realism': state.create_network(realism, realism_tx, average),
      }
    )

  return make


def make_critics_training(
  config: ml_collections.ConfigDict, latents: LatentData
) -> training_parts.Training:
  """Builds one replicate's training of D_attr(z) and D_realism(z)."""
  networks, labels = latents.networks, latents.labels
  attribute_fn = apply.Apply(networks.attribute_critic)
  realism_fn = apply.Apply(networks.realism_critic)

  def make_step(
    config: ml_collections.ConfigDict,
    constants: dict[str, jax.Array],
    axis_name: str | None,
  ) -> steps.Step:
    section, inner = config.latent_critics, config.latent_critics.inner
    attribute_tx, realism_tx = build.make_optimizers(
      config, 'latent_critics', CRITICS_OPTIMIZERS
    )
    return latent_steps.make_latent_critics_step(
      attribute_fn,
      realism_fn,
      build.make_constraint(inner, networks, constants['mean_scale'], labels),
      build.make_optimizer(
        inner.optimizer, inner.max_steps, 'latent_critics.inner.optimizer'
      ),
      attribute_tx,
      realism_tx,
      latent_steps.CriticWeights(
        moved=section.moved_weight,
        # Draws of the prior are no fakes where they are the real rows.
        prior=0.0 if latents.from_prior else section.prior_weight,
        mismatched=0.0,
        gradient_penalty=section.gradient_penalty_weight,
        r1=section.r1_weight,
        r2=section.r2_weight,
      ),
      networks.realism_divergence,
      labels,
      inner.max_steps,
      section.average_decay,
      axis_name,
      section.train.nonfinite == 'skip',
      constants['spread'],
    )

  z = jnp.asarray(latents.validation.sample(0))
  y = jnp.asarray(latents.validation.attributes)
  decay = config.latent_critics.average_decay

  def evaluate(current: state.TrainState) -> dict[str, float]:
    attribute_params = state.averaged(current['attribute'], decay)
    realism_params = state.averaged(current['realism'], decay)
    logits = attribute_fn(attribute_params, z)
    outputs = realism_fn(realism_params, z)
    realism = networks.realism_divergence.probability(
      outputs, jnp.median(outputs)
    )
    accuracy = labels.accuracy(logits, y)
    return {
      'attribute_accuracy': float(jnp.mean(accuracy)),
      'realism_of_encodings': float(jnp.mean(realism)),
    }

  return training_parts.Training(
    make_critics_state(config, networks, latents.seed),
    make_step,
    {'mean_scale': latents.mean_scale, 'spread': latents.spread},
    make_batches(
      latents,
      config.latent_critics.train.batch_size,
      draw_starts(latents, config.latent_critics.moves_from, latents.train),
    ),
    evaluate,
    build.stage_key(latents.seed, 'latent_critics'),
  )


def make_actor_optimizers(
  config: ml_collections.ConfigDict,
) -> tuple[optax.GradientTransformation, optax.GradientTransformation]:
  """The optimisers of actor and critic, built with their numbers of updates.

  The critic is updated at every step, the actor at every
  `critic_steps_per_actor_step`-th; or the other way round.
  """
  section = config.actor_critic
  num_steps = section.train.num_steps
  return (
    build.make_optimizer(
      section.actor_optimizer,
      num_steps // section.critic_steps_per_actor_step,
      'actor_critic.actor_optimizer',
    ),
    build.make_optimizer(
      section.critic_optimizer,
      num_steps // section.actor_steps_per_critic_step,
      'actor_critic.critic_optimizer',
    ),
  )


def make_actor_state(
  config: ml_collections.ConfigDict,
  networks: build.Networks,
  num_attributes: int,
  seed: int,
) -> Callable[[], state.TrainState]:
  """Builds a function that makes the first state of actor and critic."""
  key = build.stage_key(seed, 'actor_critic/init')
  actor_key, critic_key = jax.random.split(key)
  z = jnp.zeros((1, external.latent_size(config)))
  y = jnp.zeros((1, num_attributes))
  actor_tx, critic_tx = make_actor_optimizers(config)
  average = config.actor_critic.average_decay > 0

  def make() -> state.TrainState:
    actor = networks.actor.init(actor_key, z, y)
    critic = networks.critic.init(critic_key, z, y)
    return state.create(
      {
        'actor': state.create_network(actor, actor_tx, average),
        'critic': state.create_network(critic, critic_tx, False),
      }
    )

  return make


def critic_weights(
  section: ml_collections.ConfigDict,
) -> latent_steps.CriticWeights:
  """The weights in the critic's loss, from `config.actor_critic`."""
  return latent_steps.CriticWeights(
    moved=section.moved_weight,
    prior=section.prior_weight,
    mismatched=section.mismatched_weight,
    gradient_penalty=section.gradient_penalty_weight,
    r1=section.r1_weight,
    r2=section.r2_weight,
  )


def make_actor_training(
  config: ml_collections.ConfigDict, latents: LatentData
) -> training_parts.Training:
  """Builds one replicate's training of an actor G(z, y) and critic D(z, y).

  Args:
    config: from `stage.own_config` for one of `stage.actors`.
    latents: the replicate's networks and encodings.
  """
  networks, divergence = latents.networks, latents.networks.divergence
  actor_fn = apply.Apply(networks.actor)
  critic_fn = apply.Apply(networks.critic)

  def make_step(
    config: ml_collections.ConfigDict,
    constants: dict[str, jax.Array],
    axis_name: str | None,
  ) -> steps.Step:
    section = config.actor_critic
    actor_tx, critic_tx = make_actor_optimizers(config)

    return latent_steps.make_actor_critic_step(
      actor_fn,
      critic_fn,
      latent_steps.distance_to_start(constants['mean_scale']),
      actor_tx,
      critic_tx,
      critic_weights(section),
      divergence,
      section.distance_weight,
      section.actor_on_encodings,
      section.critic_steps_per_actor_step,
      section.average_decay,
      axis_name,
      section.train.nonfinite == 'skip',
      constants['spread'],
      actor_steps_per_critic_step=section.actor_steps_per_critic_step,
      remedy=remedies.Remedies(
        section.critic_dropout,
        section.label_noise,
        section.label_smoothing,
        section.instance_noise,
        section.train.num_steps,
      ),
    )

  y, unit = latents.validation.attributes, latents.train.mean_scale
  real = latents.validation.sample(0)
  start = config.actor_critic.moves_from
  prior = draw_starts(latents, start, latents.validation)
  if prior is None:
    prior = np.random.default_rng(0).standard_normal(real.shape, np.float32)

  def evaluate(current: state.TrainState) -> dict[str, float]:
    decay = config.actor_critic.average_decay
    params = state.averaged(current['actor'], decay)
    critic_params = current['critic'].params
    moved = actor_fn(params, prior, y)
    of_moved = critic_fn(critic_params, moved, y)
    of_real = critic_fn(critic_params, real, y)
    fake = divergence.probability(of_moved, of_real)
    true = divergence.probability(of_real, of_moved)
    return {
      'critic_loss': float(
        jnp.mean(divergence.real_loss(of_real))
        + jnp.mean(divergence.pair_loss(of_moved, of_real))
      ),
      'generator_score': float(jnp.mean(fake)),
      'discriminator_score': float(jnp.mean(true + 1.0 - fake) / 2.0),
      'moved_variance': float(jnp.mean(jnp.var(moved, axis=0))),
      'encodings_variance': float(np.mean(np.var(real, axis=0))),
    } | watch.measure(moved, real, of_moved, of_real, y, unit)

  return training_parts.Training(
    make_actor_state(config, networks, y.shape[-1], latents.seed),
    make_step,
    {'mean_scale': latents.mean_scale, 'spread': latents.spread},
    make_batches(
      latents,
      config.actor_critic.train.batch_size,
      draw_starts(latents, start, latents.train),
    ),
    evaluate,
    build.stage_key(latents.seed, 'actor_critic'),
  )
