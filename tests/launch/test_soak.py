"""Trainings killed at random moments end where undisturbed ones end.

`make soak` kills many times; here, a few times.
"""

import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import time

import chex
import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest

from tests import xla
from tests.launch.test_pipeline import ROOT, STAGES, TINY

NUM_KILLS = int(os.environ.get('SOAK_KILLS', '3'))
SEED = int(os.environ.get('SOAK_SEED', '0'))
# Every training of a run in one process; a checkpoint at every other step.
SCRIPT = """
from launch import startup
from lcjax.experiment import trainers

def main():
  job = startup.job()
  trainers.train_all(job, 'classifier', 'second_classifier')
  trainers.train_all(job, 'vae')
  trainers.train_all(job, 'latent_critics', 'actor_critic')
  trainers.train_all(job, 'denoiser')

startup.run(main)
"""
OFTEN = [
  *(f'--config.{stage}.train.checkpoint_every=2' for stage in STAGES),
  *(f'--config.{stage}.train.evaluate_every=4' for stage in STAGES),
]
NUM_STEPS = 12
TINY_STEPS = [
  argument.replace('steps_per_call=10', 'steps_per_call=2')
  .replace('log_every=10', 'log_every=2')
  .replace('num_steps=20', f'num_steps={NUM_STEPS}')
  for argument in TINY
]


def start(workdir):
  environment = os.environ | {'XLA_FLAGS': xla.FLAGS}
  command = [sys.executable, '-c', SCRIPT, '--config=configs/digits.py']
  return subprocess.Popen(
    [*command, f'--workdir={workdir}', *TINY_STEPS, *OFTEN],
    cwd=ROOT,
    env=environment,
    stdout=subprocess.PIPE,
    stderr=subprocess.STDOUT,
    text=True,
  )


def finish(workdir):
  process = start(workdir)
  out, _ = process.communicate(timeout=300)
  assert process.returncode == 0, out


def trainings(workdir):
  return sorted(p.parent for p in pathlib.Path(workdir).rglob('metrics.jsonl'))


def results(workdir, step):
  """Parameters at a step, and the log, of every training."""
  found = {}
  for folder in trainings(workdir):
    path = folder / 'checkpoints' / str(step) / 'state'
    with ocp.PyTreeCheckpointer() as checkpointer:
      tree = checkpointer.metadata(path).item_metadata.tree
      as_numpy = jax.tree.map(
        lambda _: ocp.RestoreArgs(restore_type=np.ndarray), tree
      )
      state = checkpointer.restore(path, restore_args=as_numpy)
    log = (folder / 'metrics.jsonl').read_bytes()
    found[folder.name] = state, log
  return found


def wait_for_a_save_under_way(workdir, process):
  """Returns once a checkpoint is half-written, or the process has ended."""
  while process.poll() is None:
    if any(
      path.name.endswith('orbax-checkpoint-tmp')
      for path in workdir.glob('*/checkpoints/*')
    ):
      return


@pytest.mark.filterwarnings('ignore')  # restored without shardings, on purpose
def test_killed_at_any_moment_it_ends_in_the_same_place(tmp_path):
  undisturbed, killed = tmp_path / 'undisturbed', tmp_path / 'killed'
  started = time.monotonic()
  finish(undisturbed)
  # Half of it is compiling, which none of the others needs again.
  whole = 0.5 * (time.monotonic() - started)
  moments = random.Random(SEED)
  for number in range(NUM_KILLS):
    process = start(killed)
    if number % 3 == 2:
      time.sleep(moments.uniform(0.3, 0.9) * whole / NUM_KILLS)
      wait_for_a_save_under_way(killed, process)
    else:
      # Later and later: imports alone take their time at every start.
      time.sleep(moments.uniform(0.3, 1.0) * whole)
    process.send_signal(signal.SIGKILL)
    process.communicate()
  finish(killed)
  expected, found = (results(w, NUM_STEPS) for w in (undisturbed, killed))
  assert len(expected) == 7
  assert found.keys() == expected.keys()
  for name, (state, log) in expected.items():
    chex.assert_trees_all_equal(found[name][0], state)
    assert found[name][1] == log, name
    steps = [json.loads(line)['step'] for line in log.splitlines()]
    assert sorted(set(steps)) == list(range(2, NUM_STEPS + 1, 2)), name
