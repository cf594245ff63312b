r"""Trains the unconditional VAE. It sees no labels.

python -m launch.train_vae --config=configs/digits.py \
  --workdir=runs/digits
"""

import functools
from collections.abc import Callable

import jax
import ml_collections
import numpy as np

from launch import experiment, stage, startup, training
from lcjax.data import batches, dataset
from lcjax.evaluation import metrics
from lcjax.latent import encodings
from lcjax.training import objectives, parallel, state, steps


def make_state(
  config: ml_collections.ConfigDict,
  networks: experiment.Networks,
  data: dataset.Dataset,
  repeat: int,
) -> Callable[[], state.TrainState]:
  """Builds the function that makes the state before the first step."""
  key = experiment.stage_key(config.seed + repeat, 'vae/init')
  image = np.zeros((1, *data.image_shape), np.float32)
  tx = experiment.make_optimizer(
    config.vae.optimizer, config.vae.train.num_steps, 'vae.optimizer'
  )

  def make() -> state.TrainState:
    params = networks.vae.init(key, image)
    return state.create({'vae': state.create_network(params, tx, False)})

  return make


def load(
  job: startup.Job,
  networks: experiment.Networks,
  data: dataset.Dataset,
  repeat: int,
) -> stage.Finished:
  """The trained VAE."""
  config = job.config
  make = make_state(config, networks, data, repeat)
  return stage.load(job, stage.VAE, repeat, make)


def make_loss(
  networks: experiment.Networks, sigma_x: float, beta: float
) -> steps.LossFn:
  """The VAE's loss at some width of p(x|z) and weight of the KL divergence."""
  return objectives.make_vae_loss(
    experiment.apply_fn(networks.vae, 'encode'),
    experiment.apply_fn(networks.vae, 'decode'),
    sigma_x,
    beta,
  )


# Repetitions evaluate by the same function: it is compiled once.
_evaluated_loss = functools.lru_cache(maxsize=16)(make_loss)


def describe(
  config: ml_collections.ConfigDict,
  data: dataset.Dataset,
  held_out: dataset.Dataset,
  repeat: int,
) -> training.Training:
  """The VAE's training of one repetition."""
  networks = experiment.build_networks(config, data)
  seed = config.seed + repeat

  def make_step(
    config: ml_collections.ConfigDict,
    constants: dict[str, jax.Array],
    axis_name: str | None,
  ) -> steps.Step:
    del constants
    section = config.vae
    update = steps.make_update(
      make_loss(networks, section.sigma_x, section.beta),
      experiment.make_optimizer(
        section.optimizer, section.train.num_steps, 'vae.optimizer'
      ),
      axis_name=axis_name,
      skip_nonfinite=section.train.nonfinite == 'skip',
    )
    return steps.make_train_step({'vae': update})

  def make_batches(step: int, count: int) -> dict[str, np.ndarray]:
    rows, numbers = parallel.local_rows(
      batches.stacked_indices(
        (seed, 0), step, count, config.vae.train.batch_size, len(data)
      )
    )
    return {'image': data.images[rows], 'row': numbers}

  encode = experiment.make_encode(networks)
  key = experiment.stage_key(seed, 'vae')
  validate = experiment.make_validate(
    _evaluated_loss(networks, config.vae.sigma_x, config.vae.beta), key
  )

  def evaluate(current: state.TrainState) -> dict[str, float]:
    params = current['vae'].params
    values = validate(params, {'image': held_out.images})
    mean, _ = encodings.in_batches(
      parallel.over_devices(lambda images: encode(params, images)),
      held_out.images,
      batch_size=config.generate.batch_size,
    )
    return values | {'active_units': float(metrics.active_units(mean))}

  return training.Training(
    make_state(config, networks, data, repeat),
    make_step,
    {},
    make_batches,
    evaluate,
    key,
  )


def train(job: startup.Job, repeat: int) -> None:
  """Trains the VAE of one repetition."""
  data = experiment.load_data(job, 'train')
  held_out = experiment.load_data(job, 'validation')
  described = describe(job.config, data, held_out, repeat)
  training.run_alone(job, stage.VAE, repeat, described)


def run(job: startup.Job) -> None:
  """Trains a VAE for every seed."""
  config = job.config
  for repeat in range(config.num_seeds):
    train(job, repeat)


def main() -> None:
  """Flags, then one call."""
  run(startup.job())


if __name__ == '__main__':
  startup.run(main)
