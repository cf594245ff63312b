"""Trains a second VAE on encodings by the first one. It sees no labels."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import optax

from lcjax.data import dataset
from lcjax.experiment import (
  build,
  jobs,
  row_batches,
  stage,
  train_vae,
  training_parts,
)
from lcjax.generators import latent_model, two_stage, vae
from lcjax.latent import encodings
from lcjax.models import apply, second_vae
from lcjax.training import objectives, parallel, state, steps

_UNITS = (
  'units'  # of latents: constants that the state keeps beside the network
)


def build_module(config: ml_collections.ConfigDict) -> second_vae.SecondVae:
  """The second VAE of a config."""
  section = config.two_stage
  return second_vae.SecondVae(
    config.vae.latent_size, tuple(section.hidden_sizes), section.activation
  )


def make_state(
  config: ml_collections.ConfigDict,
  replicate: int,
  mean: np.ndarray | None = None,
  std: np.ndarray | None = None,
) -> Callable[[], state.TrainState]:
  """Builds the function that makes the state before the first step.

  Args:
    config: of the experiment.
    replicate: index from 0.
    mean: [Z] of q(z), which the state keeps; a template has none.
    std: [Z] likewise.
  """
  module, size = build_module(config), config.vae.latent_size
  key = build.stage_key(config.seed + replicate, 'two_stage/init')
  tx = _optimizer(config)
  average = config.two_stage.average_decay > 0

  def make() -> state.TrainState:
    units = {
      'mean': jnp.zeros(size) if mean is None else jnp.asarray(mean),
      'std': jnp.ones(size) if std is None else jnp.asarray(std),
    }
    params = module.init(key, jnp.zeros((1, size)))
    return state.create(
      {
        'two_stage': state.create_network(params, tx, average),
        _UNITS: state.create_network(units, optax.identity(), False),
      }
    )

  return make


def _optimizer(
  config: ml_collections.ConfigDict,
) -> optax.GradientTransformation:
  section = config.two_stage
  return build.make_optimizer(
    section.optimizer, section.train.num_steps, 'two_stage.optimizer'
  )


def load_first(
  job: jobs.Job, data: dataset.Dataset, replicate: int
) -> tuple[latent_model.LatentModel, float]:
  """Restores the first VAE, and the seconds of its training."""
  networks = build.build_networks(job.config, data)
  found = train_vae.load(job, networks, data, replicate)
  assert networks.vae is not None  # the kinds of models that have this stage
  params = found.state['vae'].params
  size = job.config.vae.latent_size
  return vae.of_vae(networks.vae, params, size), found.seconds


def load_model(
  job: jobs.Job, data: dataset.Dataset, replicate: int
) -> tuple[latent_model.LatentModel, dict[str, float]]:
  """Restores both stages as one model, and the seconds of their trainings."""
  config = job.config
  first, seconds = load_first(job, data, replicate)
  make = make_state(config, replicate)
  found = training_parts.load(job, stage.TWO_STAGE, replicate, make)
  params = state.averaged(
    found.state['two_stage'], config.two_stage.average_decay
  )
  model = two_stage.of_two_stages(
    first, build_module(config), params, **found.state[_UNITS].params
  )
  return model, {'vae': seconds, 'two_stage': found.seconds}


def load_move(
  job: jobs.Job, data: dataset.Dataset, replicate: int
) -> tuple[Callable[[np.ndarray], np.ndarray], int, float]:
  """Restores the second stage alone, as a map of latents.

  Returns:
    [u, e] [B, 2Z] -> z [B, Z] of the first VAE; 2Z; and the seconds of the
    second training.
  """
  model, seconds = load_model(job, data, replicate)
  move = jax.jit(two_stage.Move(build_module(job.config)).to_first)

  def to_first(latents: np.ndarray) -> np.ndarray:
    return np.asarray(
      encodings.in_batches(
        functools.partial(move, model.params),
        latents,
        batch_size=job.config.generate.batch_size,
      )
    )

  return to_first, model.latent_size, seconds['two_stage']


def _encode(
  config: ml_collections.ConfigDict,
  first: latent_model.LatentModel,
  data: dataset.Dataset,
) -> encodings.Encodings:
  fn = build.make_encode(first.encode_fn)
  return encodings.encode(
    parallel.over_devices(lambda images: fn(first.params, images)),
    data.images,
    data.attributes,
    config.generate.batch_size,
  )


def make_loss(module: second_vae.SecondVae) -> steps.LossFn:
  """The loss of the second VAE."""
  return objectives.make_second_vae_loss(
    apply.Apply(module, 'encode'),
    apply.Apply(module, 'decode'),
    apply.Apply(module, 'gamma'),
  )


# Cached, so that replicates share one compiled evaluation.
_evaluated_loss = functools.lru_cache(maxsize=16)(make_loss)


def make_training(
  job: jobs.Job,
  data: dataset.Dataset,
  held_out: dataset.Dataset,
  replicate: int,
) -> training_parts.Training:
  """Builds one replicate's training, on encodings by its first VAE."""
  config, seed = job.config, job.config.seed + replicate
  first, _ = load_first(job, data, replicate)
  found = _encode(config, first, data)
  unit, std = found.aggregate_mean, found.aggregate_std

  def standardised(of: encodings.Encodings) -> dict[str, np.ndarray]:
    return {'mean': (of.mean - unit) / std, 'scale': of.scale / std}

  train = standardised(found)
  validation = standardised(_encode(config, first, held_out))
  return of_latents(config, train, validation, seed, (unit, std))


def of_latents(
  config: ml_collections.ConfigDict,
  train: dict[str, np.ndarray],
  validation: dict[str, np.ndarray],
  seed: int,
  units: tuple[np.ndarray, np.ndarray],
) -> training_parts.Training:
  """The training on latents in standard units.

  Args:
    config: of the experiment.
    train: 'mean' and 'scale' of q(z|x), [N, Z], in standard units.
    validation: likewise, held out.
    seed: of the replicate.
    units: mean and standard deviation of q(z), [Z] each.
  """
  module = build_module(config)

  def make_step(
    config: ml_collections.ConfigDict,
    constants: dict[str, jax.Array],
    axis_name: str | None,
  ) -> steps.Step:
    del constants
    section = config.two_stage
    update = steps.make_update(
      make_loss(module),
      _optimizer(config),
      section.average_decay,
      axis_name,
      section.train.nonfinite == 'skip',
    )
    inner = steps.make_train_step({'two_stage': update})

    def step(
      current: state.TrainState, batch: steps.Batch, key: jax.Array
    ) -> tuple[state.TrainState, steps.Metrics]:
      new, metrics = inner(current, batch, key)
      kept = {_UNITS: current[_UNITS]}
      return state.TrainState(new.step, new.networks | kept), metrics

    return step

  key = build.stage_key(seed, 'two_stage')
  validate = build.make_validate(_evaluated_loss(module), key)
  decay = config.two_stage.average_decay

  def evaluate(current: state.TrainState) -> dict[str, float]:
    return validate(state.averaged(current['two_stage'], decay), validation)

  return training_parts.Training(
    make_state(config, seed - config.seed, *units),
    make_step,
    {},
    row_batches.of_arrays(train, seed, config.two_stage.train.batch_size),
    evaluate,
    key,
  )
