"""The only file that names pmap or devices."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax import sharding

from lcjax import errors
from lcjax.training import steps

MODES = ('jit', 'pmap')


def check_batch_size(batch_size: int, name: str) -> None:
  """Raises UserError unless the devices share a batch evenly."""
  num_devices = jax.device_count()
  if batch_size % num_devices:
    raise errors.UserError(
      f'{name}={batch_size} does not divide over {num_devices} devices: '
      f'choose a multiple of {num_devices}'
    )


def compile_step(
  make_step: Callable[[str | None], steps.Step],
  mode: str,
  skip_nonfinite: bool = False,
) -> steps.Step:
  """Compiles `make_step(axis_name)` to run K steps on all devices at once.

  Callers pass whole batches stacked to [K, B, ...], and a state without a
  device axis, in either mode; checkpoints and evaluation do not know the mode.
  The state that goes in is donated: use only the one that comes out.

  Args:
    make_step: builds the pure step, given the axis to average over or None.
    mode: 'jit' shards the batch over a mesh, 'pmap' splits it by hand.
    skip_nonfinite: whether the step skips updates that are not finite.

  Returns:
    `step(state, batches, key) -> (state, metrics)`.
  """
  devices = jax.devices()
  mesh = jax.make_mesh(
    (len(devices),), ('device',), axis_types=(sharding.AxisType.Auto,)
  )
  replicated = sharding.NamedSharding(mesh, sharding.PartitionSpec())

  def place(state: Any) -> Any:
    # A fresh or restored state lies on one device; placed like the step's own
    # output, it does not make the step compile twice.
    return jax.device_put(state, replicated)

  if mode == 'jit':
    by_row = sharding.NamedSharding(
      mesh, sharding.PartitionSpec(None, 'device')
    )
    jitted = jax.jit(
      steps.scan_steps(make_step(None), skip_nonfinite),
      in_shardings=(replicated, by_row, replicated),
      out_shardings=replicated,
      donate_argnums=0,
    )
    return lambda state, batches, key: jitted(place(state), batches, key)
  if mode != 'pmap':
    raise errors.UserError(
      f'config.parallel={mode!r} is not a mode: choose one of {MODES}'
    )
  step = jax.pmap(
    steps.scan_steps(make_step('device'), skip_nonfinite),
    axis_name='device',
    in_axes=(None, 1, None),
    out_axes=(None, None),
    donate_argnums=0,
  )

  def split(array: np.ndarray) -> np.ndarray:
    return array.reshape(array.shape[0], len(devices), -1, *array.shape[2:])

  return lambda state, batches, key: step(
    place(state), jax.tree.map(split, batches), key
  )
