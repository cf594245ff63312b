"""Checkpoints of a state with its config; exact resume or an error.

A training's folder holds `checkpoints/STEP/` (Orbax) with two items: `state`,
and `meta` = {"config", "shapes", "seconds"} as JSON. Beside them, `seal.json`
holds the checksum of every file: Orbax itself restores a flipped bit in
silence, and says of a cut file what fills a screen.
"""

import contextlib
import hashlib
import json
import re
import shutil
import zlib
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
import orbax.checkpoint as ocp
from absl import logging
from etils import epath

from lcjax import errors
from lcjax.training import parallel, provenance, steps
from lcjax.training import state as state_lib

SEAL = 'seal.json'
_all_finite = jax.jit(steps.all_finite)


@contextlib.contextmanager
def open_manager(
  folder: epath.PathLike,
  keep: int,
  keep_every: int = 0,
  step: int | None = None,
) -> Iterator[ocp.CheckpointManager]:
  """Opens, creating if need be, the checkpoints of one training.

  Args:
    folder: of the training.
    keep: how many of the newest checkpoints stay.
    keep_every: those at multiples of so many steps stay as well, if not 0.
    step: that the training goes on from. Checkpoints above it are deleted:
      they could not be read, and Orbax would take nothing below them.
  """
  manager = ocp.CheckpointManager(
    epath.Path(folder).resolve() / 'checkpoints',
    options=ocp.CheckpointManagerOptions(
      max_to_keep=keep, keep_period=keep_every or None, create=True
    ),
    item_names=('state', 'meta'),
  )
  try:
    for passed_over in manager.all_steps():
      if step is not None and passed_over > step:
        manager.delete(passed_over)
    yield manager
  except BaseException:  # interrupted, mostly, with a last save under way
    with contextlib.suppress(errors.UserError):
      _finish(manager)
    raise
  else:
    _finish(manager)
  finally:
    manager.close()


def _not_written(directory: Any, reason: str) -> errors.UserError:
  return errors.UserError(
    f'no checkpoint could be written to {directory}: {reason}; training stops, '
    'earlier checkpoints stay. Once that is mended, the same command goes on'
  )


def _finish(manager: ocp.CheckpointManager) -> None:
  """Waits for the save under way, then seals it."""
  try:
    manager.wait_until_finished()
    if jax.process_index() == 0:
      seal(epath.Path(manager.directory))
  except (OSError, ValueError) as error:  # tensorstore's are ValueErrors
    reason = str(error).splitlines()[0][:300]
    raise _not_written(manager.directory, reason) from error


def _check_space(directory: epath.Path, state: Any) -> None:
  """Raises UserError where a state does not fit: before the write, not in it.

  Half of a checkpoint does no harm, but Orbax speaks of it at length.
  """
  if '://' in str(directory):
    return
  needed = sum(leaf.nbytes for leaf in jax.tree.leaves(state))
  free = shutil.disk_usage(directory).free
  if needed > free:
    raise _not_written(
      directory, f'it needs {needed / 2**20:.1f} MiB of {free / 2**20:.1f} free'
    )


def shapes(state: Any) -> dict[str, list[int]]:
  """Shape of every leaf by its path, as JSON stores it."""
  leaves = jax.tree_util.tree_leaves_with_path(state)
  return {jax.tree_util.keystr(p): list(leaf.shape) for p, leaf in leaves}


def parameters_digest(state: Any) -> str:
  """SHA-256 of all parameters of a state, cut to 16 hex digits.

  Args:
    state: a `TrainState`, or any tree of arrays, which then counts as a whole.
  """
  found = hashlib.sha256()
  tree = state
  if isinstance(state, state_lib.TrainState):
    tree = {name: one.params for name, one in state.networks.items()}
  for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
    array = np.ascontiguousarray(jax.device_get(leaf))
    name = jax.tree_util.keystr(path)
    found.update(f'{name} {array.dtype.str}{array.shape}'.encode())
    found.update(array.tobytes())
  return found.hexdigest()[:16]


def check_state_finite(name: str, step: int, state: Any) -> None:
  """Raises UserError if a state holds a NaN: it must not become a checkpoint.

  Args:
    name: of the training.
    step: that the state has reached.
    state: tree of arrays.
  """
  if not _all_finite(state):
    raise errors.UserError(
      f'{name}: the state is not finite at step {step}; training stops, '
      'earlier checkpoints stay. Lower the learning rate or the loss weights'
    )


def save(
  manager: ocp.CheckpointManager,
  step: int,
  state: Any,
  config: Mapping[str, Any],
  seconds: float,
) -> None:
  """Saves asynchronously; the step counts only once it is complete.

  Args:
    manager: of the training.
    step: number of the checkpoint.
    state: any tree of arrays, on all devices.
    config: what the state depends on, digests of the data among it; compared
      before a resume.
    seconds: of training so far.

  Raises:
    UserError: this one or the one before could not be written.
  """
  _finish(manager)
  _check_space(epath.Path(manager.directory), state)
  meta = {
    'config': config,
    'shapes': shapes(state),
    'seconds': seconds,
    'parameters': parameters_digest(state),
  }
  items = ocp.args.Composite(
    state=ocp.args.StandardSave(state), meta=ocp.args.JsonSave(meta)
  )
  if step in manager.all_steps():  # the one that the training went on from
    return
  # A step below the newest is refused without an exception.
  try:
    saved = manager.save(step, args=items)
  except OSError as error:
    raise _not_written(manager.directory, str(error)) from error
  if not saved:
    raise RuntimeError(f'checkpoint {step} was not saved')


def _checksums(folder: epath.Path) -> dict[str, int]:
  """CRC-32 of every file of a checkpoint, by its path in there."""
  found = {}
  pending = [folder]
  while pending:
    for path in pending.pop().iterdir():
      if path.is_dir():
        pending.append(path)
      elif not path.name.startswith(SEAL):  # nor a seal that is half written
        found[str(path.relative_to(folder))] = zlib.crc32(path.read_bytes())
  return found


def seal(checkpoints: epath.Path) -> None:
  """Writes the checksums of all complete checkpoints that have none yet.

  Killed before it gets here, a training leaves a checkpoint without a seal;
  that is taken as it is, for Orbax renames it into place only when complete.

  Args:
    checkpoints: the folder of all steps.
  """
  for step in ocp.utils.checkpoint_steps(checkpoints):
    folder = checkpoints / str(step)
    if not (folder / SEAL).exists():
      temporary = folder / f'{SEAL}.tmp'
      temporary.write_text(json.dumps(_checksums(folder)))
      temporary.replace(folder / SEAL)


def _damage(folder: epath.Path) -> str | None:
  """The first file of a checkpoint that is not what was sealed, or None."""
  path = folder / SEAL
  if not path.exists():
    return None
  try:
    sealed = json.loads(path.read_text())
    found = _checksums(folder)
    return next((n for n in sealed if sealed[n] != found.get(n)), None)
  except (OSError, ValueError, TypeError):
    return SEAL


def _read(checkpoints: epath.Path, step: int) -> dict | None:
  """Meta of a checkpoint that is as it was written; None with a warning."""
  folder = checkpoints / str(step)
  try:
    damaged = _damage(folder)
    if damaged is None:
      return json.loads((folder / 'meta' / 'metadata').read_text())
    reason = f'{damaged} is damaged'
  except (OSError, ValueError) as error:
    reason = f'its meta cannot be read: {error}'
  logging.warning('Passing over checkpoint %s: %s', folder, reason)
  return None


def latest_meta(
  folder: epath.PathLike, below: int | None = None
) -> tuple[int, dict] | None:
  """Step and meta of the newest intact checkpoint, or None.

  Args:
    folder: of the training; need not exist.
    below: only steps below this one.

  Raises:
    UserError: there are checkpoints, and none of them is intact.
  """
  checkpoints = epath.Path(folder) / 'checkpoints'
  if not checkpoints.exists():
    return None
  found = ocp.utils.checkpoint_steps(checkpoints)
  for step in sorted(found, reverse=True):
    if below is not None and step >= below:
      continue
    meta = _read(checkpoints, step)
    if meta is not None:
      return step, meta
  if found:
    raise errors.UserError(
      f'none of the {len(found)} checkpoints in {checkpoints} is readable: '
      'restore them from a copy, or start afresh with --overwrite'
    )
  return None


def check_same_config(
  folder: epath.PathLike,
  current: Mapping[str, Any],
  below: int | None = None,
  advice: provenance.Advice = provenance.PLAIN,
) -> tuple[int, dict] | None:
  """Newest step and meta, after comparing what they were made with.

  Args:
    folder: of the training.
    current: the config that is asked for now, and digests of the data.
    below: only steps below this one.
    advice: for the remedy, where they differ.

  Returns:
    (step, meta), or None where nothing has been saved.

  Raises:
    UserError: configs or data differ; names the first key, both values and
      what to do.
  """
  found = latest_meta(folder, below)
  if found is None:
    return None
  stored = found[1]['config']
  refused = provenance.refusal(folder, stored, current, advice)
  if refused is not None:
    raise refused
  if provenance.is_unread(stored, current):
    provenance.warn_unread(str(epath.Path(folder).parent))
  return found


def _key(path: str) -> str:
  """The path of a leaf with `.name` for `['name']`, as Orbax stores either."""
  return re.sub(r"\['(\w+)'\]", r'.\1', path)


def _old_layout(template: Any, stored: Mapping[str, Any]) -> Any | None:
  """A template of how states were laid out up to version 0.1.

  A single network was the whole state; several lay beside the step.

  Args:
    template: a state as it is now.
    stored: shapes of a checkpoint.

  Returns:
    The template, or None unless the checkpoint has that layout.
  """
  if not isinstance(template, state_lib.TrainState):
    return None
  if any(key.startswith('.networks') for key in stored):
    return None
  if '.params' in {key.partition('[')[0] for key in stored}:
    return next(iter(template.networks.values()))
  return {'step': template.step, **template.networks}


def _from_old_layout(
  template: state_lib.TrainState, state: Any
) -> state_lib.TrainState:
  """The state that was restored with `_old_layout`, as it is now."""
  if isinstance(state, dict):
    return state_lib.TrainState(
      state['step'], {name: state[name] for name in template.networks}
    )
  return state_lib.TrainState(
    state.step, dict.fromkeys(template.networks, state)
  )


def restore(
  folder: epath.PathLike, template: Any, step: int, meta: dict
) -> Any:
  """Restores a state; never skips or invents a leaf.

  Args:
    folder: of the training.
    template: a state, or its abstract shapes, as the config builds it.
    step: which checkpoint.
    meta: its meta, from `latest_meta`.

  Returns:
    The state, whole on every device.

  Raises:
    UserError: the checkpoint's arrays have other shapes; names the first.
  """
  old = _old_layout(template, meta['shapes'])
  if old is not None:
    found = restore(folder, old, step, meta)
    return _from_old_layout(template, found)
  # Networks were attributes in the old layout, now they are keys.
  stored = {_key(name): shape for name, shape in meta['shapes'].items()}
  built = {_key(name): shape for name, shape in shapes(template).items()}
  difference = provenance.first_difference(stored, built)
  if difference is not None:
    key, old, new = difference
    raise errors.UserError(
      f'checkpoint {step} in {folder} holds {key} of shape {old}, the config '
      f'builds {new}: take another --workdir, or --overwrite to train again'
    )
  with ocp.StandardCheckpointer() as checkpointer:
    path = epath.Path(folder).resolve() / 'checkpoints' / str(step) / 'state'
    sharding = parallel.whole_everywhere()
    abstract = jax.tree.map(
      lambda leaf: jax.ShapeDtypeStruct(
        leaf.shape, leaf.dtype, sharding=sharding
      ),
      template,
    )
    return checkpointer.restore(path, abstract)


class Restored(NamedTuple):
  """A training as its newest readable checkpoint has it."""

  step: int
  meta: dict
  state: Any


def restore_newest(
  folder: epath.PathLike,
  template: Any,
  current: Mapping[str, Any],
  advice: provenance.Advice = provenance.PLAIN,
) -> Restored | None:
  """Restores the newest checkpoint that can be read, warning of any newer.

  Args:
    folder: of the training; need not exist.
    template: a state, or its abstract shapes, as the config builds it.
    current: the config that is asked for now, and digests of the data.
    advice: for the remedy, where they differ.

  Returns:
    The training, or None where nothing has been saved.

  Raises:
    UserError: another config, other data or shapes, or none of the checkpoints
      can be read.
  """
  found = check_same_config(folder, current, advice=advice)
  while found is not None:
    step, meta = found
    try:
      return Restored(step, meta, restore(folder, template, step, meta))
    except errors.UserError:
      raise
    except Exception as error:  # of many kinds, down to bare Exception
      reason = str(error).splitlines()[0][:200]
      logging.warning('Passing over checkpoint %d: %s', step, reason)
      found = check_same_config(folder, current, step, advice)
  return None


def backup(folder: epath.PathLike) -> epath.Path:
  """Where `move_to_backup` moves a training."""
  path = epath.Path(folder)
  older = path.parent / f'{path.name}.former'  # its name up to version 0.1
  return older if older.exists() else path.parent / f'{path.name}.backup'


def move_to_backup(folder: epath.PathLike) -> epath.Path:
  """Moves a training's folder out of the way of its replacement.

  If there is a backup already, the folder holds an unfinished replacement, and
  that is what is deleted.
  """
  found = backup(folder)
  if found.exists():
    delete(folder)
  else:
    epath.Path(folder).rename(found)
  return found


def delete(folder: epath.PathLike) -> None:
  """Removes a training's folder, if there is one."""
  if epath.Path(folder).exists():
    epath.Path(folder).rmtree()
