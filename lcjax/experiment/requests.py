"""Parses and checks the flags of `launch.generate`."""

import os
from collections.abc import Sequence

import ml_collections
import numpy as np
from absl import flags

from lcjax import errors, types
from lcjax.data import dataset
from lcjax.evaluation import glossary
from lcjax.experiment import named_movers

_LONGEST_NAME = 255 - len('.png.tmp')  # bytes; .tmp while it is written


def parse_labels(
  labels: Sequence[str], data: dataset.Dataset
) -> tuple[np.ndarray, list[str]]:
  """Converts --labels to label vectors.

  Args:
    labels: each is a name or, for independent attributes, names joined by + or
      'none'.
    data: the training split.

  Returns:
    [C, Y] float32 label vectors, and the C labels.

  Raises:
    UserError: a name does not exist or has no image, or a label does not name
      exactly one class.
  """
  names = data.attribute_names
  vectors = np.zeros((len(labels), len(names)), np.float32)
  for row, label in enumerate(labels):
    chosen = [] if label == 'none' else label.split('+')
    for name in chosen:
      if name not in names:
        raise errors.UserError(
          f'--labels={label!r}: {name!r} is not a label of this data set: '
          f'{errors.nearest(name, names)}'
        )
      column = names.index(name)
      if not data.attributes[:, column].any():
        raise errors.UserError(
          f'--labels={label!r}: no image of the train split has {name!r}, so '
          'it was not learnt: request another label'
        )
      vectors[row, column] = 1.0
    if isinstance(data.labels, types.Classes) and len(set(chosen)) != 1:
      raise errors.UserError(
        f'--labels={label!r} names {len(set(chosen))} classes: give exactly '
        f'one of {errors.listed(names)}'
      )
  return vectors, list(labels)


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
