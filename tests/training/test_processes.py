"""Checkpoints move between one device, eight, and two processes."""

import functools
import os

import chex
import jax
import pytest

from lcjax.training import checkpoints, parallel
from tests import xla
from tests.training import workers


def one_device(folder):
  """`workers.resume_and_save` by plain steps."""
  template = jax.eval_shape(workers.make_state)
  found = checkpoints.restore_newest(folder, template, workers.CONFIG)
  state = workers.make_state() if found is None else found.state
  first = int(state.step)
  device = jax.devices()[0]
  state = jax.device_put(state, device)
  step = jax.jit(workers.make_step(None))
  batches = jax.device_put(workers.batches(first), device)
  for number in range(workers.STEPS_PER_CALL):
    batch = {name: array[number] for name, array in batches.items()}
    state, _ = step(state, batch, jax.random.key(workers.KEY_SEED))
  with checkpoints.open_manager(folder, 5) as manager:
    step_now = first + workers.STEPS_PER_CALL
    checkpoints.save(manager, step_now, state, workers.CONFIG, 0.0)


TOPOLOGIES = {
  'one': one_device,
  'jit': functools.partial(workers.resume_and_save, mode='jit'),
  'pmap': functools.partial(workers.resume_and_save, mode='pmap'),
}


def check(folder, num_steps):
  template = jax.eval_shape(workers.make_state)
  found = checkpoints.restore_newest(folder, template, workers.CONFIG)
  assert found.step == num_steps
  chex.assert_trees_all_close(
    found.state, workers.plain(num_steps), rtol=1e-5, atol=1e-6
  )


@pytest.mark.parametrize('first', TOPOLOGIES)
@pytest.mark.parametrize('second', TOPOLOGIES)
def test_between_one_device_and_eight(tmp_path, first, second):
  TOPOLOGIES[first](tmp_path)
  TOPOLOGIES[second](tmp_path)
  check(tmp_path, 2 * workers.STEPS_PER_CALL)


def test_to_two_processes_and_back(tmp_path):
  folders = [tmp_path / name for name in (*TOPOLOGIES, 'none')]
  for name, save in TOPOLOGIES.items():
    save(tmp_path / name)
  environment = os.environ | {'XLA_FLAGS': xla.FLAGS, 'JAX_PLATFORMS': 'cpu'}
  first, second = workers.run([str(f) for f in folders], environment)
  # The same losses in both processes: of whole batches, not of their halves.
  assert [x for x in first.splitlines() if 'jit' in x or 'pmap' in x] == [
    x for x in second.splitlines() if 'jit' in x or 'pmap' in x
  ]
  for folder in folders:  # a process's own two calls, one in each mode
    before = 0 if folder.name == 'none' else workers.STEPS_PER_CALL
    check(folder, before + 2 * workers.STEPS_PER_CALL)
  for name, resume in TOPOLOGIES.items():
    resume(tmp_path / name)
    check(tmp_path / name, 4 * workers.STEPS_PER_CALL)
  assert parallel.any_process(True)
