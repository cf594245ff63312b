"""Checkpoints of a state with its config; exact resume or an error.

A training's folder holds `checkpoints/STEP/` (Orbax) with two items: `state`,
and `meta` = {"config", "shapes", "seconds"} as JSON.
"""

import json
import shutil
from collections.abc import Mapping
from typing import Any

import jax
import orbax.checkpoint as ocp
from absl import logging
from etils import epath

from lcjax import errors
from lcjax.training import steps

MISSING = '(absent)'
_all_finite = jax.jit(steps.all_finite)


def open_manager(
  folder: epath.PathLike, keep: int, keep_every: int = 0
) -> ocp.CheckpointManager:
  """Opens, creating if need be, the checkpoints of one training.

  Args:
    folder: of the training.
    keep: how many of the newest checkpoints stay.
    keep_every: those at multiples of so many steps stay as well, if not 0.
  """
  return ocp.CheckpointManager(
    epath.Path(folder).resolve() / 'checkpoints',
    options=ocp.CheckpointManagerOptions(
      max_to_keep=keep, keep_period=keep_every or None, create=True
    ),
    item_names=('state', 'meta'),
  )


def shapes(state: Any) -> dict[str, list[int]]:
  """Shape of every leaf by its path, as JSON stores it."""
  leaves = jax.tree_util.tree_leaves_with_path(state)
  return {jax.tree_util.keystr(p): list(leaf.shape) for p, leaf in leaves}


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
    state: any tree of arrays.
    config: what the state depends on; compared before a resume.
    seconds: of training so far.
  """
  meta = {'config': config, 'shapes': shapes(state), 'seconds': seconds}
  items = ocp.args.Composite(
    state=ocp.args.StandardSave(state), meta=ocp.args.JsonSave(meta)
  )
  if step in manager.all_steps():
    if _read_meta(epath.Path(manager.directory), step) is not None:
      return
    manager.delete(step)  # damaged: this is its replacement
  # A step that exists is refused without an exception.
  if not manager.save(step, args=items):
    raise RuntimeError(f'checkpoint {step} was not saved')


def first_difference(
  stored: Mapping[str, Any], current: Mapping[str, Any], prefix: str = ''
) -> tuple[str, Any, Any] | None:
  """First dotted key at which two nested mappings differ, with both values."""
  for key in sorted(set(stored) | set(current)):
    old, new = stored.get(key, MISSING), current.get(key, MISSING)
    if isinstance(old, Mapping) and isinstance(new, Mapping):
      found = first_difference(old, new, f'{prefix}{key}.')
      if found is not None:
        return found
    elif old != new:
      return f'{prefix}{key}', old, new
  return None


def _read_meta(checkpoints: epath.Path, step: int) -> dict | None:
  path = checkpoints / str(step) / 'meta' / 'metadata'
  try:
    return json.loads(path.read_text())
  except (OSError, ValueError) as error:
    logging.warning('Passing over checkpoint %s: %s', path, error)
    return None


def latest_meta(folder: epath.PathLike) -> tuple[int, dict] | None:
  """Step and meta of the newest complete checkpoint, or None.

  Args:
    folder: of the training; need not exist.
  """
  checkpoints = epath.Path(folder) / 'checkpoints'
  if not checkpoints.exists():
    return None
  found = ocp.utils.checkpoint_steps(checkpoints)
  for step in sorted(found, reverse=True):
    meta = _read_meta(checkpoints, step)
    if meta is not None:
      return step, meta
  if found:
    raise errors.UserError(
      f'none of the {len(found)} checkpoints in {checkpoints} is readable: '
      'restore them from a copy, or start afresh with --overwrite'
    )
  return None


def check_same_config(
  folder: epath.PathLike, current: Mapping[str, Any]
) -> tuple[int, dict] | None:
  """Newest step and meta, after comparing the config they were made with.

  Args:
    folder: of the training.
    current: the config that is asked for now.

  Returns:
    (step, meta), or None where nothing has been saved.

  Raises:
    UserError: the configs differ; names the key and both values.
  """
  found = latest_meta(folder)
  if found is None:
    return None
  current = json.loads(json.dumps(current))  # tuples become lists, as stored
  difference = first_difference(found[1]['config'], current)
  if difference is not None:
    key, old, new = difference
    raise errors.UserError(
      f'{folder} was trained with config.{key}={old!r}, now it is {new!r}: '
      'take another --workdir, or --overwrite to train it again'
    )
  return found


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
    The state, as arrays on the default device.

  Raises:
    UserError: the checkpoint's arrays have other shapes; names the first.
  """
  difference = first_difference(meta['shapes'], shapes(template))
  if difference is not None:
    key, old, new = difference
    raise errors.UserError(
      f'checkpoint {step} in {folder} holds {key} of shape {old}, the config '
      f'builds {new}: take another --workdir, or --overwrite to train again'
    )
  with ocp.StandardCheckpointer() as checkpointer:
    path = epath.Path(folder).resolve() / 'checkpoints' / str(step) / 'state'
    device = jax.local_devices()[0]
    sharding = jax.sharding.SingleDeviceSharding(device)
    abstract = jax.tree.map(
      lambda leaf: jax.ShapeDtypeStruct(
        leaf.shape, leaf.dtype, sharding=sharding
      ),
      template,
    )
    return checkpointer.restore(path, abstract)


def aside(folder: epath.PathLike) -> epath.Path:
  """Where `set_aside` moves a training."""
  path = epath.Path(folder)
  return path.parent / f'{path.name}.former'


def set_aside(folder: epath.PathLike) -> epath.Path:
  """Moves a training's folder out of the way; one moved before is lost."""
  delete(aside(folder))
  epath.Path(folder).rename(aside(folder))
  return aside(folder)


def delete(folder: epath.PathLike) -> None:
  """Removes a training's folder, if there is one."""
  if epath.Path(folder).exists():
    shutil.rmtree(folder)
