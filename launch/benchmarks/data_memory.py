r"""Says how much memory a data set takes, as JSON, once for every line read.

python -m launch.benchmarks.data_memory --config=configs/celeba.py \
  --workdir=runs/benchmark --config.data.dir=FOLDER

A process of its own: memory that was ever taken is seldom given back. Linux
alone counts the pages that a process has, and how many processes share each.
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
  """Bytes of this process in memory.

  Returns:
    'rss', all pages, and 'pss', where a page that n processes have counts 1/n.

  Raises:
    UserError: the system does not say.
  """
  if not _ROLLUP.exists():
    raise errors.UserError(
      f'memory is counted from {_ROLLUP}, which only Linux has'
    )
  found = {}
  for line in _ROLLUP.read_text().splitlines():
    name, _, value = line.partition(':')
    if name in ('Rss', 'Pss'):
      found[name.lower()] = 1024 * int(value.split()[0])
  return found


def main() -> None:
  """Loads the training split, walks an epoch, then answers lines."""
  job = startup.job()
  # JAX takes some memory of its own at its first call, whatever the data.
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
