"""What sources return, and helpers for their tables."""

import pathlib
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from absl import logging

from lcjax import errors, types
from lcjax.data import paths

# The fields of a `Dataset`: images, attributes, labels.
Parts = tuple[np.ndarray, np.ndarray, types.Labels]

SPLITS = ('train', 'validation', 'test')


def iterate_lines(path: pathlib.Path) -> Iterator[str]:
  """Lines of a text file with any line endings; drops empty ones at its end."""
  num_empty = 0
  try:
    with path.open(encoding='utf-8-sig') as file:
      for line in file:
        line = line.rstrip('\n')
        if not line.strip():
          num_empty += 1
          continue
        yield from [''] * num_empty
        num_empty = 0
        yield line
  except (OSError, UnicodeDecodeError) as error:
    raise errors.UserError(f'{path} cannot be read: {error}') from error


def read_lines(path: pathlib.Path) -> list[str]:
  """`iterate_lines` as a list, for small files."""
  return list(iterate_lines(path))


def root(folder: str, holds: str) -> pathlib.Path:
  """The folder that `config.data.dir` names.

  Args:
    folder: value of `config.data.dir`.
    holds: names of the files expected there, for error messages.

  Raises:
    UserError: the value is empty, a file, or not a valid path.
  """
  if not folder:
    raise errors.UserError(
      f'config.data.dir is empty: name the folder that holds {holds}'
    )
  return paths.folder('config.data.dir', folder)


def check_names(names: Sequence[str], table: object) -> None:
  """Rejects attribute names that cannot be requested.

  A request joins names with +, lists of requests or names are joined with
  commas, `none` requests no attribute, and spaces around a name are dropped.

  Args:
    names: names of all columns, attributes and others, in order.
    table: where the names come from, for error messages.

  Raises:
    UserError: a name cannot be requested, or is used for two columns.
  """
  for number, name in enumerate(names, 1):
    first = names.index(name) + 1
    wrong = (
      (not name.strip() and 'is empty')
      or (name == 'none' and 'is reserved for requesting no attribute')
      or (name != name.strip() and 'has spaces around it')
      or (set(name) & set('+,="') and 'holds one of + , = "')
      or (not name.isprintable() and 'holds a control character')
      or (first < number and f'is also the name of column {first}')
    )
    if wrong:
      raise errors.UserError(
        f'{table}: column {number} is named {name[:80]!r}, which {wrong}: '
        'rename it'
      )


def choose(
  available: Sequence[str], wanted: Sequence[str], path: pathlib.Path
) -> list[int]:
  """Column indices of the wanted attributes.

  Args:
    available: names of all columns.
    wanted: names, without duplicates.
    path: path of the table, for error messages.

  Returns:
    Indices into `available`, in the order wanted.

  Raises:
    UserError: a name does not exist or is wanted twice.
  """
  for name in wanted:
    if name not in available:
      raise errors.UserError(
        f'config.data.attributes: {path} has no attribute {name!r}: '
        f'{errors.nearest(name, available)}'
      )
    if wanted.count(name) > 1:
      raise errors.UserError(f'config.data.attributes names {name!r} twice')
  return [available.index(name) for name in wanted]


def order_by_split(
  split_of: Mapping[str, str],
  present: set[str],
  split: str,
  table: pathlib.Path,
  place: pathlib.Path,
) -> tuple[list[str], slice]:
  """Orders file names by split, so that each split is a slice.

  Args:
    split_of: split of every file name, in table order.
    present: names of the files that exist; the others are left out.
    split: the requested split.
    table: where `split_of` comes from, for error messages.
    place: where `present` comes from, for error messages.

  Returns:
    All existing names, ordered by split, and the slice of the requested split.

  Raises:
    UserError: no file of the requested split exists.
  """
  names = {
    one: [n for n, s in split_of.items() if s == one and n in present]
    for one in SPLITS
  }
  everything = [name for one in SPLITS for name in names[one]]
  if not everything:
    raise errors.UserError(f'{place} holds none of the images named in {table}')
  if not names[split]:
    raise errors.UserError(
      f'{place} holds no image that {table} assigns to {split!r}'
    )
  num_absent = len(split_of) - len(everything)
  if num_absent:
    logging.log_first_n(
      logging.WARNING,
      '%s names %d images; %d of them are not in %s and are left out',
      1,
      table,
      len(split_of),
      num_absent,
      place,
    )
  first = sum(len(names[one]) for one in SPLITS[: SPLITS.index(split)])
  return everything, slice(first, first + len(names[split]))
