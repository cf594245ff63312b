"""Checkpoints of a state with its config; a resume is exact or an error.

A training's folder has `checkpoints/STEP/` (Orbax) with two items: `state`,
and `meta` = {"config", "shapes", "seconds", "parameters"} as JSON. `seal.json`
next to them has the checksum of every file: Orbax restores corrupted arrays
without an error, and fails on a truncated file with a screenful of text.
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
  """Opens the checkpoints of one training, and creates their folder.

  Args:
    folder: of the training.
    keep: how many of the newest checkpoints to keep.
    keep_every: also keeps checkpoints at multiples of this step, if not 0.
    step: that the training resumes from. Later checkpoints are deleted: they
      could not be read, and Orbax saves no step below the newest one.
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
  except BaseException:  # mostly Interrupted, while a save is in progress
    with contextlib.suppress(errors.UserError):
      finish(manager)
    raise
  else:
    finish(manager)
  finally:
    manager.close()


def _not_written(directory: Any, reason: str) -> errors.UserError:
  return errors.UserError(
    f'no checkpoint could be written to {directory}: {reason}; training stops, '
    'earlier checkpoints are kept. Fix this, then resume with the same command'
  )


def finish(manager: ocp.CheckpointManager) -> None:
  """Waits for the save in progress, then seals it."""
  try:
    manager.wait_until_finished()
    if jax.process_index() == 0:
      seal(epath.Path(manager.directory))
  except (OSError, ValueError) as error:  # tensorstore's are ValueErrors
    reason = str(error).splitlines()[0][:300]
    raise _not_written(manager.directory, reason) from error


def _check_space(directory: epath.Path, state: Any) -> None:
  """Raises UserError before the write if the disk has no space for a state.

  A partial checkpoint is harmless, but Orbax's error message is very long.
  """
  if '://' in str(directory):
    return
  needed = sum(leaf.nbytes for leaf in jax.tree.leaves(state))
  free = shutil.disk_usage(directory).free
  if needed > free:
    raise _not_written(
      directory,
      f'it needs {needed / 2**20:.1f} MiB, but {free / 2**20:.1f} MiB are free',
    )


def shapes(state: Any) -> dict[str, list[int]]:
  """Shape of every leaf by its path, in a form that JSON can store."""
  leaves = jax.tree_util.tree_leaves_with_path(state)
  return {jax.tree_util.keystr(p): list(leaf.shape) for p, leaf in leaves}


def parameters_digest(state: Any) -> str:
  """SHA-256 of all parameters of a state, cut to 16 hex digits.

  Args:
    state: a `TrainState`, or a tree of arrays, which are all hashed.
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
  """Raises UserError if a state has NaNs or infinities, before it is saved.

  Args:
    name: of the training.
    step: of the state.
    state: tree of arrays.
  """
  if not _all_finite(state):
    raise errors.UserError(
      f'{name}: the state is not finite at step {step}; training stops, '
      'earlier checkpoints are kept. Lower the learning rate or the loss '
      'weights'
    )


def save(
  manager: ocp.CheckpointManager,
  step: int,
  state: Any,
  config: Mapping[str, Any],
  seconds: float,
) -> None:
  """Saves asynchronously; a checkpoint exists only once it is complete.

  Args:
    manager: of the training.
    step: number of the checkpoint.
    state: any tree of arrays, on all devices.
    config: the config and data digests that the state depends on; compared
      before a resume.
    seconds: training time so far.

  Raises:
    UserError: this checkpoint or the previous one could not be written.
  """
  finish(manager)
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
  if step in manager.all_steps():  # the training resumed from this one
    return
  # Orbax refuses a step below the newest by returning False.
  try:
    saved = manager.save(step, args=items)
  except OSError as error:
    raise _not_written(manager.directory, str(error)) from error
  if not saved:
    raise RuntimeError(f'checkpoint {step} was not saved')


def _checksums(folder: epath.Path) -> dict[str, int]:
  """CRC-32 of every file of a checkpoint, by its path in the checkpoint."""
  found = {}
  pending = [folder]
  while pending:
    for path in pending.pop().iterdir():
      if path.is_dir():
        pending.append(path)
      elif not path.name.startswith(SEAL):  # skips a half-written seal, too
        found[str(path.relative_to(folder))] = zlib.crc32(path.read_bytes())
  return found


def seal(checkpoints: epath.Path) -> None:
  """Writes the checksums of all complete checkpoints that have none yet.

  A training that is killed before this leaves a checkpoint without a seal. It
  is read unchecked: Orbax renames a checkpoint into place only when complete.

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
  """The first file of a checkpoint that differs from its seal, or None."""
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
  """Meta of a checkpoint; warns and returns None if it is damaged."""
  folder = checkpoints / str(step)
  try:
    damaged = _damage(folder)
    if damaged is None:
      return json.loads((folder / 'meta' / 'metadata').read_text())
    reason = f'{damaged} is damaged'
  except (OSError, ValueError) as error:
    reason = f'its meta cannot be read: {error}'
  logging.warning('Skipping checkpoint %s: %s', folder, reason)
  return None


def latest_meta(
  folder: epath.PathLike, below: int | None = None
) -> tuple[int, dict] | None:
  """Step and meta of the newest intact checkpoint, or None.

  Args:
    folder: of the training; need not exist.
    below: only steps below this one.

  Raises:
    UserError: there are checkpoints, but none of them is intact.
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
  """Newest step and meta, after comparing config and data with the current.

  Args:
    folder: of the training.
    current: the current config and digests of the data.
    below: only steps below this one.
    advice: for the comparison and the error message.

  Returns:
    (step, meta), or None if nothing has been saved.

  Raises:
    UserError: configs or data differ; names the first key, both values and
      what to do.
  """
  found = latest_meta(folder, below)
  if found is None:
    return None
  root = epath.Path(folder).parent
  provenance.check(root, folder, found[1]['config'], current, advice)
  return found


def _key(path: str) -> str:
  """Writes `['name']` in a leaf's path as `.name`; Orbax stores both alike."""
  return re.sub(r"\['(\w+)'\]", r'.\1', path)


def _old_layout(template: Any, stored: Mapping[str, Any]) -> Any | None:
  """A template of the state layout of version 0.1 and earlier.

  The state was the `NetworkState` itself if there was a single network, else a
  dict of the step and every network.

  Args:
    template: a state in the current layout.
    stored: shapes of a checkpoint.

  Returns:
    The template, or None if the checkpoint does not have the old layout.
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
  """Converts a state restored with `_old_layout` to the current layout."""
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
  """Restores a state; every leaf must match the checkpoint.

  Args:
    folder: of the training.
    template: a state, or its abstract shapes, as built from the config.
    step: of the checkpoint.
    meta: of the checkpoint, from `latest_meta`.

  Returns:
    The state, a full copy on every device.

  Raises:
    UserError: the checkpoint's arrays have other shapes; names the first.
  """
  old = _old_layout(template, meta['shapes'])
  if old is not None:
    found = restore(folder, old, step, meta)
    return _from_old_layout(template, found)
  # Networks were attributes in the old layout; now they are dict keys.
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
  """The newest readable checkpoint of a training."""

  step: int
  meta: dict
  state: Any


def restore_newest(
  folder: epath.PathLike,
  template: Any,
  current: Mapping[str, Any],
  advice: provenance.Advice = provenance.PLAIN,
) -> Restored | None:
  """Restores the newest readable checkpoint, with a warning for each skipped.

  Args:
    folder: of the training; need not exist.
    template: a state, or its abstract shapes, as built from the config.
    current: the current config and digests of the data.
    advice: for the comparison and the error message.

  Returns:
    The checkpoint, or None if nothing has been saved.

  Raises:
    UserError: config, data or shapes differ, or none of the checkpoints can be
      read.
  """
  found = check_same_config(folder, current, advice=advice)
  while found is not None:
    step, meta = found
    try:
      return Restored(step, meta, restore(folder, template, step, meta))
    except errors.UserError:
      raise
    except Exception as error:  # Orbax raises many types, even Exception
      reason = str(error).splitlines()[0][:200]
      logging.warning('Skipping checkpoint %d: %s', step, reason)
      found = check_same_config(folder, current, step, advice)
  return None


def backup(folder: epath.PathLike) -> epath.Path:
  """The folder that `move_to_backup` moves a training to."""
  path = epath.Path(folder)
  older = path.parent / f'{path.name}.former'  # its name up to version 0.1
  return older if older.exists() else path.parent / f'{path.name}.backup'


def move_to_backup(folder: epath.PathLike) -> epath.Path:
  """Moves a training's folder to its backup, so that it can be replaced.

  If there is a backup already, the folder is an unfinished replacement, and is
  deleted instead.
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
