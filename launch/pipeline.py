"""Every stage of one experiment, in order: the main job.

python -m launch.pipeline --config=configs/digits.py --workdir=runs/digits
"""

import os
import time

from launch import (
  compare,
  generate,
  movers,
  stage,
  startup,
  train_actor_critic,
  train_classifier,
  train_denoiser,
  train_vae,
)
from lcjax.evaluation import reports


def generate_once(job: startup.Job) -> None:
  """Samples by every mover, and images moved by every mover."""
  done = job.workdir / 'generate' / 'pipeline.json'
  key = stage.result_key(job, 'generate', 0)
  if stage.stored(job, done, key) is not None:
    print('generate: finished before, nothing to do')
    return
  requests = [('prior', mover) for mover in generate.MOVERS]
  requests += [('encodings', mover) for mover in movers.MOVERS]
  generate.run(job, requests, labels=[], images=[])
  reports.write_json(os.fspath(done), key)


def main() -> None:
  """Runs what has not been run."""
  job = startup.job()
  started = time.perf_counter()
  train_classifier.run(job)
  train_vae.run(job)
  train_actor_critic.run(job)
  train_denoiser.run(job)
  generate_once(job)
  compare.run(job)
  print(f'pipeline: {time.perf_counter() - started:.0f} s')


if __name__ == '__main__':
  startup.run(main)
