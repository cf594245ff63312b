"""What the flags of `launch.generate` name: labels, images, files, a mover."""

import os
from collections.abc import Sequence

import ml_collections
import numpy as np
from absl import flags

from lcjax import errors, types
from lcjax.data import dataset
from lcjax.evaluation import glossary
from lcjax.experiment import movers

_LONGEST_NAME = 255 - len('.png.tmp')  # bytes; .tmp while it is written


def parse_labels(
  labels: Sequence[str], data: dataset.Dataset
) -> tuple[np.ndarray, list[str]]:
  """Label vectors from the command line.

  Args:
    labels: each a name, or for independent attributes names joined by +.
    data: the training split; knows the names, and what occurs.

  Returns:
    [C, Y] float32 and the C labels.

  Raises:
    UserError: a name that does not exist or never occurs, or several of
      classes.
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
          'nothing has learnt it'
        )
      vectors[row, column] = 1.0
    if isinstance(data.labels, types.Classes) and len(set(chosen)) != 1:
      raise errors.UserError(
        f'--labels={label!r} names {len(set(chosen))} classes: one holds at a '
        f'time; there are {errors.listed(names)}'
      )
  return vectors, list(labels)


def image_paths(given: Sequence[str]) -> list[str]:
  """The files that --images names, given once or several times.

  Args:
    given: each the name of a file, or several names joined by commas.

  Raises:
    UserError: one of them does not exist.
  """
  paths: list[str] = []
  for text in given:
    whole = os.path.expanduser(text)
    if os.path.exists(whole):  # whatever commas its name has
      paths.append(whole)
    else:
      paths += map(os.path.expanduser, flags.ListParser().parse(text))
  for path in paths:
    if not os.path.isfile(path):
      what = 'it is a folder' if os.path.isdir(path) else 'no such file'
      raise errors.UserError(f'--images={path} cannot be read: {what}')
  return paths


def check_name(name: str) -> None:
  """Raises UserError unless --name can be that of two files in a folder."""
  try:
    size = len(name.encode())
  except UnicodeEncodeError as error:
    raise errors.UserError(f'--name={name!r} is no text in UTF-8') from error
  is_path = os.path.basename(name) != name or '\0' in name
  if is_path or name in ('', '.', '..'):
    raise errors.UserError(
      f'--name={name!r} must be the name of a file in WORKDIR/generate, no path'
    )
  if size > _LONGEST_NAME:
    raise errors.UserError(
      f'--name={name[:20]}... is {size} bytes long: give at most '
      f'{_LONGEST_NAME}'
    )


def check_mover(config: ml_collections.ConfigDict, mover: str) -> None:
  """Raises UserError unless an experiment has a mover."""
  known = ('none', *movers.names(config))
  if mover in known:
    return
  more = ''
  if mover.startswith(glossary.FURTHER_ACTOR):
    section = config.actor_critic
    more = (
      ' Further actors are those of config.actor_critic.more_distance_weights='
      f'{section.more_distance_weights}'
    )
  raise errors.UserError(
    f'--mover={mover} does not exist: {errors.nearest(mover, known)}{more}'
  )
