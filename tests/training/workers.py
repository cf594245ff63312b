"""Two processes of two devices each, and the small training that they share.

Run as a module, it is one of the processes: NUMBER ADDRESS FOLDER.
"""

import socket
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax

from lcjax import errors
from lcjax.latent import noise
from lcjax.training import checkpoints, parallel
from tests.training import one_network

NUM_PROCESSES = 2
KEY_SEED, BATCH_SIZE, STEPS_PER_CALL = 0, 16, 2
CONFIG = {'seed': 0}
# Steps that grow with the gradient: one that is summed over devices, not
# averaged, must show.
TX = optax.sgd(0.02, momentum=0.9)


def make_state():
  return one_network.create({'w': jnp.ones(3)}, TX, average=True)


def loss(params, batch, key):
  eps = noise.normal(key, batch['row'], 3)
  error = (batch['x'] + eps) @ params['w'] - 1.0
  return jnp.mean(error**2), {'loss': jnp.mean(error**2)}


def make_step(axis_name):
  return one_network.make_step(loss, TX, 0.9, axis_name)


def batches(step):
  """What this process reads of the global batches from `step` on."""
  data = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
  shape = STEPS_PER_CALL, BATCH_SIZE
  rows, numbers = parallel.local_rows(
    np.random.default_rng(step).integers(0, 50, shape)
  )
  return {'x': data[rows], 'row': numbers}


def resume_and_save(folder, mode):
  """Two more steps of what lies in a folder, or of a fresh state."""
  template = jax.eval_shape(make_state)
  found = checkpoints.restore_newest(folder, template, CONFIG)
  state = make_state() if found is None else found.state
  first = int(state.step)
  state = parallel.on_all_devices(state)
  step = parallel.compile_step(make_step, mode)
  state, metrics = step(state, batches(first), jax.random.key(KEY_SEED))
  with checkpoints.open_manager(folder, 5, step=first) as manager:
    checkpoints.save(
      manager,
      first + STEPS_PER_CALL,
      parallel.on_all_devices(state),
      CONFIG,
      0.0,
    )
  return float(metrics['loss'])


def plain(num_steps):
  """The same training step by step on one device."""
  state, step = make_state(), jax.jit(make_step(None))
  for first in range(0, num_steps, STEPS_PER_CALL):
    found = batches(first)
    for number in range(STEPS_PER_CALL):
      batch = {name: array[number] for name, array in found.items()}
      state, _ = step(state, batch, jax.random.key(KEY_SEED))
  return state


def run(arguments, environment, module='tests.training.workers'):
  """Runs all processes of a job; returns what they printed."""
  with socket.socket() as found:
    found.bind(('127.0.0.1', 0))
    address = f'127.0.0.1:{found.getsockname()[1]}'
  processes = [
    subprocess.Popen(
      [sys.executable, '-m', module, str(number), address, *arguments],
      env=environment,
      stdout=subprocess.PIPE,
      stderr=subprocess.STDOUT,
      text=True,
    )
    for number in range(NUM_PROCESSES)
  ]
  try:
    printed = [process.communicate(timeout=100)[0] for process in processes]
  finally:
    for process in processes:
      process.kill()
  for process, text in zip(processes, printed, strict=True):
    assert process.returncode == 0, text
  return printed


def main():
  number, address, *folders = sys.argv[1:]
  jax.config.update('jax_num_cpu_devices', 2)
  jax.distributed.initialize(address, NUM_PROCESSES, int(number))
  assert (jax.device_count(), jax.local_device_count()) == (4, 2)
  for folder in folders:
    for mode in parallel.MODES:
      print(mode, folder, resume_and_save(folder, mode))
  rows = np.arange(6.0)  # does not divide over four devices
  doubled = parallel.over_devices(jax.jit(lambda x: 2 * x))(rows)[:6]
  np.testing.assert_array_equal(doubled, 2 * rows)
  assert parallel.any_process(jax.process_index() == 1)
  assert not parallel.any_process(False)
  parallel.raise_together(None)
  own = errors.UserError('mine') if jax.process_index() == 1 else None
  try:
    parallel.raise_together(own)
    raise AssertionError('nothing was raised')
  except errors.UserError as error:
    assert ('mine' in str(error)) == (own is not None)


if __name__ == '__main__':
  main()
