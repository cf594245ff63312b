r"""Measures speed and memory in interleaved rounds, as ratios with target bars.

python -m launch.benchmark --config=configs/mnist.py --workdir=runs/benchmark \
  --workload=vae_step,actor_critic_step

Without `--workload`, all are measured. Results of workloads that are not
measured again stay in WORKDIR/benchmark. The code is compared with PyTorch:
pip install -e .[bench].
"""

import os
import pathlib
import platform
import sys
import time
from collections.abc import Callable
from importlib import metadata
from typing import Any

import jax
import rich.box
import rich.console
import rich.table
from absl import flags

from launch import startup
from launch.benchmarks import host, optimizer, ours, rounds, train_steps
from lcjax import errors
from lcjax.evaluation import plots
from lcjax.experiment import files

_WORKLOAD = flags.DEFINE_list(
  'workload', [], 'Names of workloads to measure. Empty: all.'
)
_ROUNDS = flags.DEFINE_integer(
  'rounds', 9, 'Number of turns of each contender.', lower_bound=1
)
_SECONDS = flags.DEFINE_float(
  'seconds', 1.0, 'Approximate duration of a turn.', lower_bound=0.0
)

Workload = Callable[[ours.Options], list[rounds.Measurement]]
WORKLOADS: dict[str, Workload] = {
  'vae_step': train_steps.vae_step,
  'vae_matmul_share': train_steps.vae_matmul_share,
  'conv_vae_step': train_steps.conv_vae_step,
  'actor_critic_step': train_steps.actor_critic_step,
  'optimizer_g': optimizer.optimizer_g,
  'seed_ensemble': host.seed_ensemble,
  'compile_cache': host.compile_cache,
  'input_stall': host.input_stall,
  'memory': host.memory,
}


def hardware() -> dict[str, Any]:
  """Hardware, load and versions: what results depend on besides the code."""
  model = platform.processor() or platform.machine()
  try:
    for line in pathlib.Path('/proc/cpuinfo').read_text().splitlines():
      if line.startswith('model name'):
        model = line.partition(':')[2].strip()
        break
  except OSError:
    pass  # not Linux
  return {
    'processor': model,
    'cores': ours.num_threads(),
    'devices': [device.device_kind for device in jax.devices()],
    'load_average': os.getloadavg()[0] if hasattr(os, 'getloadavg') else None,
    'versions': {
      name: metadata.version(name)
      for name in ('jax', 'jaxlib', 'flax', 'optax', 'numpy', 'torch')
      if _installed(name)
    },
  }


def _installed(name: str) -> bool:
  try:
    metadata.version(name)
  except metadata.PackageNotFoundError:
    return False
  return True


def as_json(measurement: rounds.Measurement) -> dict[str, Any]:
  """A measurement with its summary."""
  low, middle, high = rounds.quartiles(measurement.values)
  return {
    **measurement._asdict(),
    'median': middle,
    'quartiles': (low, high),
    'range': (min(measurement.values), max(measurement.values)),
    'met': rounds.meets(measurement),
  }


def measure(
  name: str, workload: Workload, options: ours.Options
) -> dict[str, Any]:
  """Runs one workload; returns its measurements, command and hardware."""
  before = hardware()
  started = time.perf_counter()
  print(f'{name} ...', flush=True)
  found = workload(options)
  return {
    'command': f'python -m launch.benchmark {options.job.arguments}'.strip()
    + f' --workload={name} --rounds={options.num_rounds}'
    + f' --seconds={options.seconds:g}',
    'hardware': before,
    'rounds': options.num_rounds,
    'seconds': time.perf_counter() - started,
    'measurements': [as_json(one) for one in found],
  }


def table(results: dict[str, Any]) -> rich.table.Table:
  """A table with one line per measurement."""
  drawn = rich.table.Table(box=rich.box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
  for title in ('Workload', 'Measurement'):
    drawn.add_column(title)
  for title in ('Bar', 'Median', 'Quartiles', 'Range', ''):
    drawn.add_column(title, justify='right')
  for name, result in results.items():
    for one in result['measurements']:
      sign = '>=' if one['at_least'] else '<='
      drawn.add_row(
        name,
        one['what'],
        '' if one['bar'] is None else f'{sign} {one["bar"]:g}',
        f'{one["median"]:.3g}',
        ' to '.join(f'{value:.3g}' for value in one['quartiles']),
        ' to '.join(f'{value:.3g}' for value in one['range']),
        {None: '', True: 'met', False: 'MISSED'}[one['met']],
      )
  return drawn


def stored(folder: pathlib.Path) -> dict[str, Any]:
  """Stored results, by workload.

  Raises:
    UserError: benchmark.json is damaged.
  """
  path = folder / 'benchmark.json'
  try:
    found = files.read_json(path) if path.exists() else {}
    for name, result in found.items():
      for one in result['measurements']:
        if not {'what', 'values', 'bar', 'at_least'} <= one.keys():
          raise KeyError(f'a measurement of {name} is incomplete')
    return dict(found)
  except (
    OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError
  ) as error:  # fmt: skip
    raise errors.UserError(
      f'{path} is damaged ({type(error).__name__}: {error}): restore it from a '
      'copy, or delete it'
    ) from error


def save(folder: pathlib.Path, results: dict[str, Any]) -> dict[str, Any]:
  """Writes benchmark.json and benchmark.png; keeps other workloads' results.

  Args:
    folder: that contains both files.
    results: by workload.

  Returns:
    All results that benchmark.json now contains.
  """
  results = stored(folder) | results
  try:
    files.write_json(folder / 'benchmark.json', results)
    drawn = plots.ratios(
      {
        name: result['measurements']
        for name, result in results.items()
        if result['measurements']
      }
    )
    files.write(folder / 'benchmark.png', drawn)
  except OSError as error:
    raise errors.UserError(f'{folder} cannot be written: {error}') from error
  return results


def chosen(names: list[str]) -> dict[str, Workload]:
  """Workloads by name; all if `names` is empty."""
  for name in names:
    if name not in WORKLOADS:
      raise errors.UserError(
        f'--workload={name} is not a workload: '
        f'{errors.nearest(name, list(WORKLOADS))}'
      )
  return {name: WORKLOADS[name] for name in names or WORKLOADS}


def measure_all(options: ours.Options, workloads: dict[str, Workload]) -> None:
  """Measures, prints and saves; lists failed workloads at the end.

  Raises:
    UserError: a workload could not be measured; the others are saved.
  """
  folder = pathlib.Path(options.job.workdir) / 'benchmark'
  stored(folder)  # a damaged file is reported before anything is measured
  measured, lacking = {}, {}
  for name, workload in workloads.items():
    try:
      measured[name] = measure(name, workload, options)
    except errors.UserError as error:
      lacking[name] = str(error)
      continue
    save(folder, measured)
  if measured:
    rich.console.Console(width=None if sys.stdout.isatty() else 150).print(
      table(measured)
    )
    print(f'written to {folder / "benchmark.json"} and benchmark.png')
  if lacking:
    reasons: dict[str, list[str]] = {}
    for name, reason in lacking.items():
      reasons.setdefault(reason, []).append(name)
    raise errors.UserError(
      '; '.join(f'{", ".join(n)}: {r}' for r, n in reasons.items())
    )


def main() -> None:
  """Reads the flags and runs the launcher."""
  workloads = chosen(_WORKLOAD.value)
  measure_all(
    ours.Options(startup.job(), _ROUNDS.value, _SECONDS.value), workloads
  )


if __name__ == '__main__':
  startup.run(main)
