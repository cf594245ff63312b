"""The only file that names pmap or devices.

With several processes each calls the same functions in the same order; what
they are given whole is the same in all of them.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import numpy as np
from jax import sharding
from jax.experimental import multihost_utils

from lcjax import errors
from lcjax.training import steps

MODES = ('jit', 'pmap')


def _placement(
  devices: Sequence[jax.Device], *axes: str | None
) -> sharding.NamedSharding:
  # Not jax.make_mesh, which may reorder the devices: each process reads
  # consecutive rows.
  ordered = sorted(devices, key=lambda d: (d.process_index, d.id))
  mesh = sharding.Mesh(np.array(ordered), ('device',))
  return sharding.NamedSharding(mesh, sharding.PartitionSpec(*axes))


def whole_everywhere() -> sharding.NamedSharding:
  """Places an array whole on every device of every process."""
  return _placement(jax.devices())


def describe_devices() -> str:
  """How many devices of which kinds there are, for a reader."""
  kinds = ', '.join(sorted({one.device_kind for one in jax.devices()}))
  return f'{jax.device_count()} x {kinds} ({jax.default_backend()})'


def check_batch_size(batch_size: int, name: str) -> None:
  """Raises UserError unless the devices share a batch evenly."""
  num_devices = jax.device_count()
  if batch_size % num_devices:
    raise errors.UserError(
      f'{name}={batch_size} does not divide over {num_devices} devices: '
      f'choose a multiple of {num_devices}'
    )


def local_rows(indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """What this process reads of global batches.

  Args:
    indices: [K, B] rows of the data set in the global batches.

  Returns:
    [K, B / processes] rows of the data set, and their numbers in the global
    batch, from which their noise follows.
  """
  numbers = np.broadcast_to(np.arange(indices.shape[1]), indices.shape)
  size = indices.shape[1] // jax.process_count()
  own = slice(jax.process_index() * size, (jax.process_index() + 1) * size)
  return indices[:, own], numbers[:, own]


def any_process(flag: bool) -> bool:
  """Whether the flag is set in any process; all of them wait for all."""
  if jax.process_count() == 1:
    return flag
  return bool(np.any(multihost_utils.process_allgather(np.array(flag))))


def raise_together(error: errors.UserError | None) -> None:
  """Raises in all processes if any of them has an error.

  A process that stopped alone would leave the others waiting for it.

  Args:
    error: of this process, or None.

  Raises:
    UserError: this process's own, or that another one has stopped.
  """
  if any_process(error is not None):
    raise error or errors.UserError('another process has stopped: see there')


@contextlib.contextmanager
def raising_together() -> Iterator[None]:
  """What fails in one process within, as by its own files, stops all of them.

  Every process must come here equally often and do nothing within that waits
  for the others, such as another `raise_together`: one that has failed before
  would be taken to wait for that.

  Raises:
    UserError: as `raise_together`, at the end.
  """
  problem = None
  try:
    yield
  except errors.UserError as error:
    problem = error
  raise_together(problem)


def on_all_devices(tree: Any) -> Any:
  """A tree of arrays, each whole on every device of every process."""
  everywhere = whole_everywhere()

  def place(leaf: Any) -> jax.Array:
    if isinstance(leaf, jax.Array) and leaf.sharding == everywhere:
      return leaf
    if jax.process_count() == 1:
      return jax.device_put(leaf, everywhere)
    host = np.asarray(leaf)  # another process's devices take no array of ours
    return jax.make_array_from_callback(
      host.shape, everywhere, lambda index: host[index]
    )

  return jax.tree.map(place, tree)


def over_devices(fn: Callable[..., Any]) -> Callable[..., Any]:
  """Spreads a row-wise function over all devices of all processes.

  Args:
    fn: maps arrays [B, ...] to a tree of arrays [B, ...], row by row; what it
      holds besides lies on all devices, or on none.

  Returns:
    The same on numpy arrays, which every process gives whole. Rows are padded
    by repeated ones to a multiple of the number of devices, and so are the
    results: the caller cuts them.
  """

  def place(array: np.ndarray, by_row: sharding.NamedSharding) -> jax.Array:
    return jax.make_array_from_callback(
      array.shape, by_row, lambda index: array[index]
    )

  def call(*arrays: np.ndarray) -> Any:
    num_devices = jax.device_count()
    if num_devices == 1:
      return fn(*arrays)
    by_row = _placement(jax.devices(), 'device')
    num_rows = len(arrays[0])
    rows = np.arange(num_rows + -num_rows % num_devices) % num_rows
    out = fn(*(place(np.asarray(array)[rows], by_row) for array in arrays))
    if jax.process_count() == 1:
      return out
    return multihost_utils.process_allgather(out, tiled=True)

  return call


def compile_step(
  make_step: Callable[[str | None], steps.Step],
  mode: str,
  skip_nonfinite: bool = False,
) -> steps.Step:
  """Compiles `make_step(axis_name)` to run K steps on all devices at once.

  Callers pass batches stacked to [K, B, ...], of which every process gives its
  own rows, and a state without a device axis, in either mode. The state that
  goes in is donated: use only the one that comes out, and before anything but
  the next step does, place it by `on_all_devices`.

  Args:
    make_step: builds the pure step, given the axis to average over or None.
    mode: 'jit' shards the batch over a mesh, 'pmap' splits it by hand.
    skip_nonfinite: whether the step skips updates that are not finite.

  Returns:
    `step(state, batches, key) -> (state, metrics)`.
  """
  # A fresh or restored state lies elsewhere; placed like the step's own output,
  # it does not make the step compile twice.
  if mode == 'jit':
    return _compile_jit(steps.scan_steps(make_step(None), skip_nonfinite))
  if mode != 'pmap':
    raise errors.UserError(
      f'config.parallel={mode!r} is not a mode: choose one of {MODES}'
    )
  return _compile_pmap(steps.scan_steps(make_step('device'), skip_nonfinite))


def jit_over_rows(many: steps.Step) -> jax.stages.Wrapped:
  """`steps.scan_steps` of a step, jitted with batches split by row."""
  everywhere = whole_everywhere()
  by_row = _placement(jax.devices(), None, 'device')
  return jax.jit(
    many,
    in_shardings=(everywhere, by_row, everywhere),
    out_shardings=everywhere,
    donate_argnums=0,
  )


def pmap_over_rows(many: steps.Step) -> jax.stages.Wrapped:
  """The same mapped over local devices: batches [K, devices, B, ...]."""
  return jax.pmap(
    many,
    axis_name='device',
    in_axes=(None, 1, None),
    out_axes=(None, None),
    donate_argnums=0,
  )


def _compile_jit(many: steps.Step) -> steps.Step:
  by_row = _placement(jax.devices(), None, 'device')
  jitted = jit_over_rows(many)

  def step(state: Any, batches: Any, key: jax.Array) -> Any:
    if jax.process_count() > 1:
      batches = jax.tree.map(
        lambda rows: jax.make_array_from_process_local_data(by_row, rows),
        batches,
      )
      key_data = on_all_devices(jax.random.key_data(key))
      key = jax.random.wrap_key_data(key_data)
    return jitted(on_all_devices(state), batches, key)

  return step


def _is_local(state: Any) -> bool:
  return all(
    leaf.is_fully_addressable
    for leaf in jax.tree.leaves(state)
    if isinstance(leaf, jax.Array)
  )


def _compile_pmap(many: steps.Step) -> steps.Step:
  num_devices = jax.local_device_count()
  here = _placement(jax.local_devices())
  mapped = pmap_over_rows(many)

  def split(array: np.ndarray) -> np.ndarray:
    return array.reshape(array.shape[0], num_devices, -1, *array.shape[2:])

  def step(state: Any, batches: Any, key: jax.Array) -> Any:
    if jax.process_count() > 1 and not _is_local(state):
      state = jax.tree.map(np.asarray, state)  # pmap takes its own alone
    state = jax.device_put(state, here)
    return mapped(state, jax.tree.map(split, batches), key)

  return step
