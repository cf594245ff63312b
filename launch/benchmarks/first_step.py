r"""Times the first VAE training step of a config; prints JSON.

python -m launch.benchmarks.first_step --config=configs/digits.py \
  --workdir=runs/benchmark

This is a separate process because a process compiles a program only once. It
uses the same compile cache as the launchers.
"""

import json
import time

import jax

from launch import startup
from launch.benchmarks import ours
from lcjax.experiment import build
from lcjax.training import parallel


def main() -> None:
  """Prints `state_seconds` and `step_seconds`."""
  job = startup.job()
  data = build.load_data(job, 'train')
  training = ours.vae_training(job.config, data)
  started = time.perf_counter()
  state = parallel.on_all_devices(training.make_state())
  jax.block_until_ready(state)
  made = time.perf_counter()
  step_fn = ours.compile_step(training)
  batches = training.make_batches(0, training.steps_per_call)
  jax.block_until_ready(step_fn(state, batches, training.key))
  done = time.perf_counter()
  print(
    json.dumps({'state_seconds': made - started, 'step_seconds': done - made})
  )


if __name__ == '__main__':
  startup.run(main)
