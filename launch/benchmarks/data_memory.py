r"""Prints the memory that a data set takes, as JSON, once per line of stdin.

python -m launch.benchmarks.data_memory --config=configs/celeba.py \
  --workdir=runs/benchmark --config.data.dir=FOLDER

This is a separate process because a process rarely returns memory once it has
allocated it. Only Linux reports how many pages a process has, and how many
processes share each.
"""

import json
import pathlib
import sys

import jax

from launch import startup
from launch.benchmarks import ours
from lcjax import errors
from lcjax.experiment import build

_ROLLUP = pathlib.Path('/proc/self/smaps_rollup')


def resident() -> dict[str, int]:
  """Resident memory of this process, in bytes.

  Returns:
    'rss', all pages, and 'pss', where a page shared by n processes counts 1/n.

  Raises:
    UserError: the system does not report it.
  """
  if not _ROLLUP.exists():
    raise errors.UserError(f'{_ROLLUP} does not exist: measure memory on Linux')
  found = {}
  for line in _ROLLUP.read_text().splitlines():
    name, _, value = line.partition(':')
    if name in ('Rss', 'Pss'):
      found[name.lower()] = 1024 * int(value.split()[0])
  return found


def main() -> None:
  """Loads the training split, reads one epoch, then answers each line."""
  job = startup.job()
  # JAX allocates some memory at its first call, independent of the data.
  jax.block_until_ready(build.stage_key(0, 'warm-up'))
  before = resident()
  data = build.load_data(job, 'train')
  training = ours.vae_training(job.config, data)
  count = training.steps_per_call
  batch_size = job.config.vae.train.batch_size
  for step in range(0, -(-len(data) // batch_size), count):
    training.make_batches(step, count)
  print('ready', flush=True)
  for _ in sys.stdin:
    now = resident()
    grown = {f'{name}_bytes': now[name] - before[name] for name in before}
    print(json.dumps(grown | {'uint8_bytes': data.images.nbytes}), flush=True)


if __name__ == '__main__':
  startup.run(main)
