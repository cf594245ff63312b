"""Runs functions on all devices and processes, by jit with shardings or pmap.

With several processes, all call the same functions in the same order. Arguments
that are not split over processes must be equal in all of them.
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
  # Not jax.make_mesh, which may reorder devices: each process must own
  # consecutive rows.
  ordered = sorted(devices, key=lambda d: (d.process_index, d.id))
  mesh = sharding.Mesh(np.array(ordered), ('device',))
  return sharding.NamedSharding(mesh, sharding.PartitionSpec(*axes))


def whole_everywhere() -> sharding.NamedSharding:
  """The sharding with a full copy on every device of every process."""
  return _placement(jax.devices())


def describe_devices() -> str:
  """Number, kinds and backend of the devices, for messages."""
  kinds = ', '.join(sorted({one.device_kind for one in jax.devices()}))
  return f'{jax.device_count()} x {kinds} ({jax.default_backend()})'


def check_batch_size(batch_size: int, name: str) -> None:
  """Raises UserError unless a batch divides evenly over the devices."""
  num_devices = jax.device_count()
  if batch_size % num_devices:
    raise errors.UserError(
      f'{name}={batch_size} does not divide over {num_devices} devices: '
      f'choose a multiple of {num_devices}'
    )


def local_rows(indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """The share of global batches that this process reads.

  Args:
    indices: [K, B] rows of the data set in the global batches.

  Returns:
    [K, B / processes] rows of the data set, and their row numbers in the global
    batch, which their noise depends on.
  """
  numbers = np.broadcast_to(np.arange(indices.shape[1]), indices.shape)
  size = indices.shape[1] // jax.process_count()
  own = slice(jax.process_index() * size, (jax.process_index() + 1) * size)
  return indices[:, own], numbers[:, own]


def any_process(flag: bool) -> bool:
  """Whether the flag is set in any process; a barrier for all processes."""
  if jax.process_count() == 1:
    return flag
  return bool(np.any(multihost_utils.process_allgather(np.array(flag))))


def raise_together(error: errors.UserError | None) -> None:
  """Raises in all processes if any of them has an error.

  If one process stopped alone, the others would wait for it forever.

  Args:
    error: of this process, or None.

  Raises:
    UserError: the error of this process, or that another one has stopped.
  """
  if any_process(error is not None):
    raise error or errors.UserError(
      'another process has stopped with an error: fix what its output reports'
    )


@contextlib.contextmanager
def raising_together() -> Iterator[None]:
  """Makes a UserError in the body in one process stop all of them.

  All processes must enter the context equally often. The body must not wait for
  other processes, as another `raise_together` does: a process that has failed
  already waits at the end of this context, and the two would be mixed up.

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
  """Copies every array of a tree in full to every device of every process."""
  everywhere = whole_everywhere()

  def place(leaf: Any) -> jax.Array:
    if isinstance(leaf, jax.Array) and leaf.sharding == everywhere:
      return leaf
    if jax.process_count() == 1:
      return jax.device_put(leaf, everywhere)
    # A process cannot put its arrays on the devices of another one.
    host = np.asarray(leaf)
    return jax.make_array_from_callback(
      host.shape, everywhere, lambda index: host[index]
    )

  return jax.tree.map(place, tree)


def over_devices(fn: Callable[..., Any]) -> Callable[..., Any]:
  """Spreads a row-wise function over all devices of all processes.

  Args:
    fn: maps arrays [B, ...], or trees of such, to a tree of arrays [B, ...],
      row by row. Arrays that it has bound must be on all devices, or on the
      host, or not bound to any.

  Returns:
    The function of numpy arrays, which every process passes in full. Rows are
    padded to a multiple of the number of devices with repeated rows. Results
    have the padding, too: the caller removes it.
  """

  def place(array: np.ndarray, by_row: sharding.NamedSharding) -> jax.Array:
    return jax.make_array_from_callback(
      array.shape, by_row, lambda index: array[index]
    )

  def call(*arrays: Any) -> Any:
    num_devices = jax.device_count()
    if num_devices == 1:
      return fn(*arrays)
    by_row = _placement(jax.devices(), 'device')
    num_rows = len(jax.tree.leaves(arrays)[0])
    rows = np.arange(num_rows + -num_rows % num_devices) % num_rows
    out = fn(
      *jax.tree.map(lambda leaf: place(np.asarray(leaf)[rows], by_row), arrays)
    )
    if jax.process_count() == 1:
      return out
    return multihost_utils.process_allgather(out, tiled=True)

  return call


def compile_step(
  make_step: Callable[[str | None], steps.Step],
  mode: str,
  skip_nonfinite: bool = False,
) -> steps.Step:
  """Compiles `make_step(axis_name)` to run K steps per call on all devices.

  In both modes, callers pass batches stacked to [K, B, ...], each process its
  share of the rows, and a state without a device axis. Pass the first state
  through `on_all_devices`: placed in another way, it would compile the step
  twice. The input state is donated, so use only the returned one; before
  anything but the next step uses it, pass it through `on_all_devices`, too.

  Args:
    make_step: builds the pure step, given the axis to average over or None.
    mode: 'jit' shards the batch over a mesh, 'pmap' splits it explicitly.
    skip_nonfinite: whether the step skips updates that are not finite.

  Returns:
    `step(state, batches, key) -> (state, metrics)`.
  """
  if mode == 'jit':
    return _compile_jit(steps.scan_steps(make_step(None), skip_nonfinite))
  if mode != 'pmap':
    raise errors.UserError(
      f'config.parallel={mode!r} is not a mode: choose one of {MODES}'
    )
  return _compile_pmap(steps.scan_steps(make_step('device'), skip_nonfinite))


def jit_over_rows(many: steps.Step) -> jax.stages.Wrapped:
  """Jits the result of `steps.scan_steps`, with batches sharded by row."""
  everywhere = whole_everywhere()
  by_row = _placement(jax.devices(), None, 'device')
  return jax.jit(
    many,
    in_shardings=(everywhere, by_row, everywhere),
    out_shardings=everywhere,
    donate_argnums=0,
  )


def pmap_over_rows(many: steps.Step) -> jax.stages.Wrapped:
  """As `jit_over_rows`, by pmap: batches [K, local devices, rows, ...]."""
  return jax.pmap(
    many,
    axis_name='device',
    in_axes=(None, 1, None),
    out_axes=(None, None),
    donate_argnums=0,
  )


def _compile_jit(many: steps.Step) -> steps.Step:
  jitted = jit_over_rows(many)
  if jax.process_count() == 1:
    return jitted
  by_row = _placement(jax.devices(), None, 'device')

  def step(state: Any, batches: Any, key: jax.Array) -> Any:
    batches = jax.tree.map(
      lambda rows: jax.make_array_from_process_local_data(by_row, rows), batches
    )
    key_data = on_all_devices(jax.random.key_data(key))
    return jitted(state, batches, jax.random.wrap_key_data(key_data))

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
      state = jax.tree.map(np.asarray, state)  # pmap takes local arrays only
    state = jax.device_put(state, here)
    return mapped(state, jax.tree.map(split, batches), key)

  return step
