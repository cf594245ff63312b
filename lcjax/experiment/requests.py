"""Parses and checks the flags of `launch.generate`."""

import os
from collections.abc import Sequence
from typing import NamedTuple

import ml_collections
import numpy as np
from absl import flags

from lcjax import errors, types
from lcjax.data import dataset
from lcjax.evaluation import glossary
from lcjax.experiment import named_movers

_LONGEST_NAME = 255 - len('.png.tmp')  # bytes; .tmp while it is written


class Requested(NamedTuple):
  """What C labels request.

  Attributes:
    y: [C, Y] float32 label vectors.
    mask: [C, Y] float32, 0 for attributes that are left to the start.
    names: C labels as given.
  """

  y: np.ndarray
  mask: np.ndarray
  names: list[str]


def parse_labels(labels: Sequence[str], kind: types.Labels) -> Requested:
  """Converts --labels to label vectors and masks.

  Args:
    labels: each is a name or, for independent attributes, names joined by + or
      'none': exactly these hold. Or NAME=1 and NAME=0 joined by +: these change
      and all others are left to the start.
    kind: of the training split, see `build.load_labels`.

  Raises:
    UserError: a name does not exist, or a label does not name exactly one
      class, names an attribute twice or mixes both forms.
  """
  shape = len(labels), len(kind)
  found = Requested(
    np.zeros(shape, np.float32), np.ones(shape, np.float32), list(labels)
  )
  for row, label in enumerate(labels):
    _parse_label(label, kind, found.y[row], found.mask[row])
  return found


def _parse_label(
  label: str, kind: types.Labels, y: np.ndarray, mask: np.ndarray
) -> None:
  """Writes one label to a vector y [Y] and its mask [Y]."""
  names, what = kind.names, f'--labels={label!r}'
  parts = [] if label == 'none' else label.split('+')
  partial = [part for part in parts if '=' in part]
  if partial and isinstance(kind, types.Classes):
    raise errors.UserError(
      f'{what}: {partial[0]!r} is for independent attributes, but these are '
      f'classes: give exactly one of {errors.listed(names)}'
    )
  if partial:
    mask[:] = 0.0
  seen: set[str] = set()
  for part in parts:
    name, sign, value = part.partition('=')
    if name not in names:
      raise errors.UserError(
        f'{what}: {name!r} is not a label of this data set: '
        f'{errors.nearest(name, names)}'
      )
    if partial and not sign:
      raise errors.UserError(
        f'{what}: {name!r} has no value, but {partial[0]!r} has one: give =1 '
        'or =0 for every name to leave the others to the start, or for none to '
        'request exactly these'
      )
    if sign and value not in ('0', '1'):
      raise errors.UserError(f'{what}: {part!r} must be {name}=1 or {name}=0')
    if partial and name in seen:
      raise errors.UserError(f'{what} names {name!r} twice: give it once')
    seen.add(name)
    column = names.index(name)
    y[column], mask[column] = float(value or 1), 1.0
  if isinstance(kind, types.Classes) and len(seen) != 1:
    raise errors.UserError(
      f'{what} names {len(seen)} classes: give exactly one of '
      f'{errors.listed(names)}'
    )


def check_learnt(requested: Requested, data: dataset.Dataset) -> None:
  """Raises UserError for a value that no image of the training split has.

  Of attributes that hold, and of those that are asked by =0.
  """
  held = data.attributes > 0.5
  always, never = held.all(axis=0), ~held.any(axis=0)
  for y, mask, label in zip(*requested, strict=True):
    asked = never & (y > 0.5)
    if not mask.all():
      asked |= always & (y < 0.5) & (mask > 0.5)
    if not asked.any():
      continue
    column = int(np.argmax(asked))
    verb = 'has' if y[column] > 0.5 else 'lacks'
    raise errors.UserError(
      f'--labels={label!r}: no image of the train split {verb} '
      f'{data.attribute_names[column]!r}, so it was not learnt: request '
      'another label'
    )


def image_paths(given: Sequence[str]) -> list[str]:
  """Converts --images to paths.

  Args:
    given: the values of the flag, which may be repeated; each is a path, or
      several paths joined by commas.

  Raises:
    UserError: a path is not a file.
  """
  paths: list[str] = []
  for text in given:
    whole = os.path.expanduser(text)
    if os.path.exists(whole):  # a path may contain commas
      paths.append(whole)
    else:
      paths += map(os.path.expanduser, flags.ListParser().parse(text))
  for path in paths:
    if not os.path.isfile(path):
      what = 'it is a folder' if os.path.isdir(path) else 'no such file'
      raise errors.UserError(
        f'--images={path} cannot be read: {what}; give paths of image files'
      )
  return paths


def check_name(name: str) -> None:
  """Raises UserError unless --name can name files in WORKDIR/generate."""
  try:
    size = len(name.encode())
  except UnicodeEncodeError as error:
    raise errors.UserError(
      f'--name={name!r} is not valid UTF-8: give another name'
    ) from error
  is_path = os.path.basename(name) != name or '\0' in name
  if is_path or name in ('', '.', '..'):
    raise errors.UserError(
      f'--name={name!r} must be the name of a file in WORKDIR/generate, not a '
      'path'
    )
  if size > _LONGEST_NAME:
    raise errors.UserError(
      f'--name={name[:20]}... is {size} bytes long: give at most '
      f'{_LONGEST_NAME}'
    )


def check_mover(config: ml_collections.ConfigDict, mover: str) -> None:
  """Raises UserError unless the experiment has this mover, or it is none."""
  known = ('none', *named_movers.names(config))
  if mover in known:
    return
  hint = errors.nearest(mover, known)
  prefix, section = glossary.FURTHER_ACTOR, config.actor_critic
  if mover.startswith(prefix) and not section.more_distance_weights:
    hint = (
      'further actors are set by config.actor_critic.more_distance_weights='
      f'{section.more_distance_weights}, and trained by '
      'launch.train_actor_critic'
    )
  raise errors.UserError(f'--mover={mover} does not exist: {hint}')
