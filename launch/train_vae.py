r"""Trains the unconditional VAE. It sees no labels.

python -m launch.train_vae --config=configs/digits.py \
  --workdir=runs/digits
"""

from collections.abc import Callable

import ml_collections
import numpy as np

from launch import experiment, stage, startup
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
  return lambda: state.create(networks.vae.init(key, image), tx, average=False)


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


def train(job: startup.Job, repeat: int) -> None:
  """Trains the VAE of one repetition."""
  config = job.config
  data = experiment.load_data(job, 'train')
  held_out = experiment.load_data(job, 'validation')
  networks = experiment.build_networks(config, data)
  section, seed = config.vae, config.seed + repeat

  loss_fn = objectives.make_vae_loss(
    experiment.apply_fn(networks.vae, 'encode'),
    experiment.apply_fn(networks.vae, 'decode'),
    section.sigma_x,
    section.beta,
  )
  tx = experiment.make_optimizer(
    section.optimizer, section.train.num_steps, 'vae.optimizer'
  )

  def make_batches(step: int, count: int) -> dict[str, np.ndarray]:
    rows, numbers = parallel.local_rows(
      batches.stacked_indices(
        (seed, 0), step, count, section.train.batch_size, len(data)
      )
    )
    return {'image': data.images[rows], 'row': numbers}

  encode = experiment.make_encode(networks)
  key = experiment.stage_key(seed, 'vae')
  validate = experiment.make_validate(loss_fn, key)

  def evaluate(current: state.TrainState) -> dict[str, float]:
    values = validate(current.params, {'image': held_out.images})
    mean, _ = encodings.in_batches(
      parallel.over_devices(lambda images: encode(current.params, images)),
      held_out.images,
      batch_size=config.generate.batch_size,
    )
    return values | {'active_units': float(metrics.active_units(mean))}

  stage.run(
    job,
    stage.VAE,
    repeat,
    make_state(config, networks, data, repeat),
    lambda axis: steps.make_train_step(
      loss_fn,
      tx,
      axis_name=axis,
      skip_nonfinite=section.train.nonfinite == 'skip',
    ),
    make_batches,
    evaluate,
    key,
  )


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
