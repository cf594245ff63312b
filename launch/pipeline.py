"""Every stage of one experiment, in order: the main job.

python -m launch.pipeline --config=configs/digits.py --workdir=runs/digits
"""

import time

from launch import (
  compare,
  generate,
  startup,
  train_actor_critic,
  train_classifier,
  train_vae,
)


def main() -> None:
  """Runs what has not been run."""
  config = startup.load_config()
  workdir = startup.open_workdir(config)
  started = time.perf_counter()
  train_classifier.run(config, workdir)
  train_vae.run(config, workdir)
  train_actor_critic.run(config, workdir)
  generate.run_defaults(config, workdir)
  compare.run(config, workdir)
  print(f'pipeline: {time.perf_counter() - started:.0f} s')


if __name__ == '__main__':
  startup.run(main)
