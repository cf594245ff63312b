"""The real launchers as two processes of two devices each, beside one."""

import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import time

import chex
import numpy as np
import pytest

from tests import xla
from tests.launch import test_soak
from tests.launch.test_pipeline import ROOT, TINY

# The VAE, optimizer-G's critics with their inner loop, then optimizer-G on
# seven encodings, which do not divide over the devices.
SCRIPT = """
import numpy as np
from launch import startup
from lcjax.experiment import build, files, movers, loading, trainers

def main():
  job = startup.job()
  trainers.train_all(job, 'vae', 'latent_critics')
  data = build.load_data(job, 'train')
  bound = loading.load_critics(job, 0, data)
  start, _ = bound.encode(data.images[:7])
  mover = movers.make_optimizer(bound, job.config.optimize)
  moved = movers.move(mover, start, np.eye(10, dtype=np.float32)[:7])
  files.write_npz(job.workdir / 'generate' / 'moved.npz', start=start,
                  z=moved.z, images=bound.decode(moved.z))

startup.run(main)
"""
# All trainings, then every mover's samples.
EVERYTHING = (
  test_soak.SCRIPT.replace('startup.run(main)', '')
  + """
from lcjax.experiment import generate

def both():
  main()
  job = startup.job()
  requests = generate.every_request(job.config)
  generate.generate(job, requests, labels=['1', '2', '3'], images=[])

startup.run(both)
"""
)
# What one host alone finds, before, between and after the reading of data.
PREFLIGHT = """
import jax
from launch import startup
from lcjax.data import dataset
from lcjax.experiment import memory, pipeline, preflight

def main():
  job = startup.job()
  if jax.process_index() == {host}:
{problem}
  preflight.check_pipeline(job, trains=True, further_splits=('test',))
  print('nothing was found')

startup.run(main)
"""
PROBLEMS = {
  'file': (
    """
    job = job._replace(workdir=job.workdir / 'own')
    job.workdir.mkdir(parents=True)
    (job.workdir / 'vae').write_text('')""",
    'own/vae is a file',
  ),
  'split': (
    """
    load = dataset.load
    def load_nothing(name, split, **section):
      data = load(name, split, **section)
      rows = slice(None) if split == 'train' else slice(0)
      images, attributes = data.images[rows], data.attributes[rows]
      return dataset.Dataset(images, attributes, data.labels)
    dataset.load = load_nothing""",
    'no image in its validation split',
  ),
  'memory': (
    """
    memory.memory_bytes = lambda: 1""",
    'this machine has 0.0',
  ),
}
SMALL = [*TINY, '--config.generate.num_rows=2']


def start(workdir, script, arguments, distributed='', num_devices=1):
  environment = os.environ | {
    'XLA_FLAGS': xla.FLAGS,
    'JAX_NUM_CPU_DEVICES': str(num_devices),
    'LCJAX_DISTRIBUTED': distributed,
  }
  command = [sys.executable, '-c', script, '--config=configs/digits.py']
  return subprocess.Popen(
    [*command, f'--workdir={workdir}', *arguments],
    cwd=ROOT,
    env=environment,
    stdout=subprocess.PIPE,
    stderr=subprocess.STDOUT,
    text=True,
  )


def start_two(workdir, script, arguments):
  with socket.socket() as found:
    found.bind(('127.0.0.1', 0))
    address = f'127.0.0.1:{found.getsockname()[1]}'
  return [
    start(workdir, script, arguments, f'{address},2,{number}', num_devices=2)
    for number in range(2)
  ]


def finish(processes, status=0, seconds=400):
  try:
    printed = [process.communicate(timeout=seconds)[0] for process in processes]
  finally:
    for process in processes:
      process.kill()
  for process, text in zip(processes, printed, strict=True):
    assert process.returncode == status, text
  return printed


def files(workdir):
  """What a run leaves, without what Orbax and TensorBoard name by time."""
  return {
    path.relative_to(workdir).as_posix()
    for path in pathlib.Path(workdir).rglob('*')
    if path.is_file()
    and 'checkpoints' not in path.parts
    and 'tfevents' not in path.name
  }


def compare(one, two, num_trainings):
  assert files(one) == files(two)
  expected, found = (test_soak.results(w, 20) for w in (one, two))
  assert len(expected) == num_trainings
  for name, (state, _) in expected.items():
    chex.assert_trees_all_close(found[name][0], state, rtol=2e-3, atol=2e-4)
  for path in sorted((one / 'generate').glob('*.npz')):
    with np.load(path) as a, np.load(two / 'generate' / path.name) as b:
      assert set(a) == set(b)
      for key in a:
        np.testing.assert_allclose(
          a[key].astype(float), b[key].astype(float), rtol=2e-2, atol=3e-2
        )


@pytest.mark.filterwarnings('ignore')  # restored without shardings, on purpose
@pytest.mark.parametrize(
  ('script', 'num_trainings'),
  [(SCRIPT, 2), pytest.param(EVERYTHING, 6, marks=pytest.mark.slow)],
)
def test_two_processes_do_what_one_does(tmp_path, script, num_trainings):
  one, two = tmp_path / 'one', tmp_path / 'two'
  finish([start(one, script, SMALL)])
  first, second = finish(start_two(two, script, SMALL))
  assert 'vae: resuming' not in first
  # One of them speaks for both; gloo itself says who is connected.
  assert not [x for x in second.splitlines() if 'loo' not in x]
  assert list((two / 'vae').glob('*tfevents*'))
  compare(one, two, num_trainings)


@pytest.mark.parametrize(
  ('name', 'host'), [('file', 1), ('split', 1), ('memory', 0)]
)
def test_what_one_host_alone_finds_stops_both(tmp_path, name, host):
  problem, said = PROBLEMS[name]
  script = PREFLIGHT.format(host=host, problem=problem.strip('\n'))
  processes = start_two(tmp_path / 'run', script, TINY)
  printed = finish(processes, status=2, seconds=90)
  lines = [re.findall('^lcjax: .*', text, re.MULTILINE) for text in printed]
  assert [len(own) for own in lines] == [1, 1], printed
  assert said in lines[host][0]
  assert 'another process has stopped' in lines[1 - host][0]


def test_a_notice_to_one_process_stops_both_at_the_same_step(tmp_path):
  judges = "trainers.train_all(job, 'classifier', 'second_classifier')"
  script = test_soak.SCRIPT.replace(judges, '')
  arguments = [*TINY, '--config.vae.train.num_steps=100000']
  processes = start_two(tmp_path, script, arguments)
  log = tmp_path / 'vae' / 'metrics.jsonl'
  deadline = time.monotonic() + 120
  while not (log.exists() and log.stat().st_size):
    assert time.monotonic() < deadline
    time.sleep(0.05)
  processes[1].send_signal(signal.SIGTERM)
  printed = finish(processes, status=75)
  assert all('is checkpointed at step' in text for text in printed)
