"""Host-side workloads: waiting for batches, compile cache, memory."""

import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from typing import Any

import jax
import numpy as np

from launch.benchmarks import ours, rounds
from lcjax import errors
from lcjax.experiment import build
from lcjax.training import steps

_NUM_PROCESSES = 2


def _python(module: str, *arguments: str) -> list[str]:
  return [sys.executable, '-m', f'launch.benchmarks.{module}', *arguments]


def _own_workdir(options: ours.Options) -> str:
  """A workdir for subprocesses, which never create it: ours is locked."""
  return str(options.job.workdir / 'benchmark' / 'none')


def _checked(command: list[str], code: int | None, error: str) -> None:
  """Raises UserError if a subprocess has failed."""
  if code:
    lines = error.strip().splitlines() or ['no message']
    raise errors.UserError(
      f'{" ".join(command)} failed: {lines[-1].removeprefix("lcjax: ")}'
    )


def seed_ensemble(options: ours.Options) -> list[rounds.Measurement]:
  """Five seeds of the small digits networks, as one program and one by one."""
  found = []
  for name in ('actor_critic', 'vae'):
    with tempfile.TemporaryDirectory() as workdir:
      command = _python(
        'seed_ensemble',
        '--config=configs/digits.py',
        f'--workdir={workdir}',
        f'--stage={name}',
        f'--rounds={options.num_rounds}',
        f'--seconds={options.seconds}',
      )
      process = subprocess.run(
        command, capture_output=True, text=True, check=False
      )
    _checked(command, process.returncode, process.stderr)
    taken = json.loads(process.stdout.splitlines()[-1])
    found.append(
      rounds.Measurement(
        f'{name} of digits, times as fast as one after the other',
        rounds.ratios(taken['apart'], taken['together']),
        1.5,
        details={f'{way}_seconds': rounds.median(taken[way]) for way in taken},
      )
    )
  return found


def input_stall(options: ours.Options) -> list[rounds.Measurement]:
  """The share of VAE training time that is lost to making batches.

  Measured in two ways, on the config's data. First, relative to the same loop
  with precomputed batches, which counts the full cost of gathering: if the host
  is the device, that includes the cores it occupies. Second, directly: the time
  spent making batches that ended while the device was idle.
  """
  job = options.job
  data = build.load_data(job, 'train')
  training = ours.vae_training(job.config, data)
  ready: dict[int, dict[str, np.ndarray]] = {}

  def constant(step: int, count: int) -> dict[str, np.ndarray]:
    del step
    if count not in ready:
      ready[count] = training.make_batches(0, count)
    return ready[count]

  waits: list[float] = []
  latest: list[Any] = []

  def timed(step: int, count: int) -> dict[str, np.ndarray]:
    started = time.perf_counter()
    made = training.make_batches(step, count)
    if latest and latest[0].is_ready():
      # An upper bound: when the device became idle is not known.
      waits.append(time.perf_counter() - started)
    return made

  def note(step: int, state: Any, metrics: steps.Metrics) -> None:
    del step, state
    latest[:] = [jax.tree.leaves(metrics)[0]]

  step_fn = ours.compile_step(training)
  watched = ours.contender(
    training._replace(make_batches=timed), step_fn, (note,)
  )
  taken_waits: list[float] = []

  def advance(count: int) -> None:
    waits.clear()
    latest.clear()
    watched.advance(count)
    taken_waits.append(sum(waits) / count)

  taken = rounds.interleave(
    {
      'batches': ours.contender(training, step_fn),
      'ready': ours.contender(
        training._replace(make_batches=constant), step_fn
      ),
      'watched': watched._replace(advance=advance),
    },
    options.num_rounds,
    options.seconds,
  )
  seconds = {f'{name}_seconds': rounds.median(taken[name]) for name in taken}
  waited = taken_waits[-options.num_rounds :]
  case = f'{job.config.data.name}, batch {job.config.vae.train.batch_size}'
  return [
    rounds.Measurement(
      f'{case}, share of the time that batches made before would save',
      tuple(1.0 - r for r in rounds.ratios(taken['ready'], taken['batches'])),
      0.02,
      at_least=False,
      details=seconds,
    ),
    rounds.Measurement(
      f'{case}, share of the time with an idle device, at most',
      rounds.ratios(waited, taken['watched']),
      0.02,
      at_least=False,
      details=seconds,
    ),
  ]


def compile_cache(options: ours.Options) -> list[rounds.Measurement]:
  """The first VAE step of digits with an empty and with a filled compile cache.

  Timed from the start of compilation to the end of the first step. Each round
  uses a new cache folder and starts two processes: the first fills the cache,
  the second reads it.
  """
  command = _python(
    'first_step',
    '--config=configs/digits.py',
    f'--workdir={_own_workdir(options)}',
  )

  def start(cache: str) -> dict[str, float]:
    environment = {
      name: value
      for name, value in os.environ.items()
      if name != 'JAX_COMPILATION_CACHE_DIR'
    }
    started = time.perf_counter()
    done = subprocess.run(
      command,
      env=environment | {'XDG_CACHE_HOME': cache},
      capture_output=True,
      text=True,
    )
    seconds = time.perf_counter() - started
    _checked(command, done.returncode, done.stderr)
    return json.loads(done.stdout.splitlines()[-1]) | {
      'process_seconds': seconds
    }

  starts: dict[str, list[dict[str, float]]] = {'cold': [], 'warm': []}
  with tempfile.TemporaryDirectory() as unused:
    start(unused)  # warms up the disk cache of Python's files
  for _ in range(options.num_rounds):
    with tempfile.TemporaryDirectory() as cache:
      for name in starts:
        starts[name].append(start(cache))
  keys = {
    'step_seconds': ('first step', 0.4),
    'state_seconds': ('initial parameters', None),
    'process_seconds': ('whole process', None),
  }
  found = []
  for key, (what, bar) in keys.items():
    taken = {name: [one[key] for one in starts[name]] for name in starts}
    found.append(
      rounds.Measurement(
        f'{what}, warm over cold',
        rounds.ratios(taken['warm'], taken['cold']),
        bar,
        at_least=False,
        details={
          f'{name}_seconds': rounds.median(taken[name]) for name in taken
        },
      )
    )
  return found


def memory(options: ours.Options) -> list[rounds.Measurement]:
  """Host memory of the config's training split after an epoch of batches.

  Relative to the size of its pixels. Two concurrent processes share the
  memory-mapped cache; their proportional set sizes count its pages once.
  """
  job = options.job
  build.load_data(job, 'train')  # fills the cache of decoded pixels
  cache = job.config.data.cache_dir or job.workdir / 'cache'
  command = _python(
    'data_memory',
    *shlex.split(job.arguments),
    f'--workdir={_own_workdir(options)}',
    f'--config.data.cache_dir={cache}',
  )
  alone: list[float] = []
  together: list[float] = []
  for _ in range(options.num_rounds):
    one = _grown(command, 1)
    alone.append(one[0]['rss_bytes'] / one[0]['uint8_bytes'])
    both = _grown(command, _NUM_PROCESSES)
    together.append(
      sum(each['pss_bytes'] for each in both) / both[0]['uint8_bytes']
    )
  details = {'uint8_bytes': both[0]['uint8_bytes']}
  name = job.config.data.name
  return [
    rounds.Measurement(
      f'{name}, one process over the size in uint8',
      tuple(alone),
      1.5,
      at_least=False,
      details=details,
    ),
    rounds.Measurement(
      f'{name}, {_NUM_PROCESSES} processes together over the size in uint8',
      tuple(together),
      1.5,
      at_least=False,
      details=details,
    ),
  ]


def _grown(command: list[str], num_processes: int) -> list[dict[str, int]]:
  """The reports of concurrent processes, once all have loaded their data."""
  started = [
    subprocess.Popen(
      command,
      stdin=subprocess.PIPE,
      stdout=subprocess.PIPE,
      stderr=subprocess.PIPE,
      text=True,
    )
    for _ in range(num_processes)
  ]
  try:
    found = []
    for process in started:
      assert process.stdout is not None
      if process.stdout.readline() != 'ready\n':
        error = process.communicate()[1]
        _checked(command, process.returncode or 1, error)
    for process in started:
      assert process.stdin is not None and process.stdout is not None
      process.stdin.write('\n')
      process.stdin.flush()
      found.append(json.loads(process.stdout.readline()))
    return found
  finally:
    for process in started:
      process.communicate()
