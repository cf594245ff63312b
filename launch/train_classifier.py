r"""Trains the pixel classifier that judges samples, on real data only.

python -m launch.train_classifier --config=configs/digits.py \
  --workdir=runs/digits
"""

from collections.abc import Callable

import ml_collections
import numpy as np

from launch import experiment, stage, startup
from lcjax.data import batches, dataset
from lcjax.training import objectives, parallel, state, steps


def make_state(
  config: ml_collections.ConfigDict,
  networks: experiment.Networks,
  data: dataset.Dataset,
) -> Callable[[], state.TrainState]:
  """Builds the function that makes the state before the first step."""
  key = experiment.stage_key(config.seed, 'classifier/init')
  image = np.zeros((1, *data.image_shape), np.float32)
  tx = experiment.make_optimizer(
    config.classifier.optimizer,
    config.classifier.train.num_steps,
    'classifier.optimizer',
  )
  return lambda: state.create(
    networks.classifier.init(key, image), tx, average=False
  )


def load(
  job: startup.Job,
  networks: experiment.Networks,
  data: dataset.Dataset,
) -> stage.Finished:
  """The trained classifier: one judge for all repetitions."""
  config = job.config
  make = make_state(config, networks, data)
  return stage.load(job, stage.CLASSIFIER, 0, make)


def run(job: startup.Job) -> None:
  """Trains the judge."""
  config = job.config
  data = experiment.load_data(job, 'train')
  held_out = experiment.load_data(job, 'validation')
  networks = experiment.build_networks(config, data)
  section = config.classifier
  logits_and_features = experiment.apply_fn(networks.classifier)

  def make_loss(pixel_noise: float, flip: bool) -> steps.LossFn:
    return objectives.make_classifier_loss(
      lambda p, x: logits_and_features(p, x)[0],
      data.exclusive,
      pixel_noise,
      flip,
    )

  loss_fn = make_loss(section.pixel_noise, section.flip)
  tx = experiment.make_optimizer(
    section.optimizer, section.train.num_steps, 'classifier.optimizer'
  )

  def make_batches(step: int, count: int) -> dict[str, np.ndarray]:
    rows, numbers = parallel.local_rows(
      batches.stacked_indices(
        (config.seed, 0), step, count, section.train.batch_size, len(data)
      )
    )
    return {
      'image': data.images[rows],
      'attributes': data.attributes[rows],
      'row': numbers,
    }

  key = experiment.stage_key(config.seed, 'classifier')
  validate = experiment.make_validate(make_loss(0.0, flip=False), key)

  def evaluate(current: state.TrainState) -> dict[str, float]:
    arrays = {'image': held_out.images, 'attributes': held_out.attributes}
    return validate(current.params, arrays)

  stage.run(
    job,
    stage.CLASSIFIER,
    0,
    make_state(config, networks, data),
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


def main() -> None:
  """Flags, then one call."""
  run(startup.job())


if __name__ == '__main__':
  startup.run(main)
