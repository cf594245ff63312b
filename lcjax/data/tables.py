"""What all sources give, and what their tables have in common."""

import pathlib
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from absl import logging

from lcjax import errors, types
from lcjax.data import paths

# The fields of a Dataset.
Parts = tuple[np.ndarray, np.ndarray, types.Labels]

SPLITS = ('train', 'validation', 'test')


def iterate_lines(path: pathlib.Path) -> Iterator[str]:
  """The lines of a text file, whatever their ends; none empty at its end."""
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
  """All of `iterate_lines`, of a small file."""
  return list(iterate_lines(path))


def root(folder: str, holds: str) -> pathlib.Path:
  """The folder of `config.data.dir`.

  Args:
    folder: its value.
    holds: what is expected there, for errors.

  Raises:
    UserError: it is empty, a file, or no path at all.
  """
  if not folder:
    raise errors.UserError(
      f'config.data.dir is empty: name the folder that holds {holds}'
    )
  return paths.folder('config.data.dir', folder)


def check_names(names: Sequence[str], table: object) -> None:
  """Refuses names of attributes that nobody could ask for.

  A request joins names by +, a list of requests or of names joins them by
  commas, `none` requests no attribute, and spaces around a name are dropped.

  Args:
    names: of all columns, attributes and others, in their order.
    table: where they come from, for errors.

  Raises:
    UserError: a name cannot be requested, or stands for two columns.
  """
  for number, name in enumerate(names, 1):
    first = names.index(name) + 1
    wrong = (
      (not name.strip() and 'is empty')
      or (name == 'none' and 'asks for no attribute at all')
      or (name != name.strip() and 'has spaces around it')
      or (set(name) & set('+,="') and 'holds one of + , = "')
      or (not name.isprintable() and 'holds a control character')
      or (first < number and f'is the name of column {first}, too')
    )
    if wrong:
      raise errors.UserError(
        f'{table}: column {number} is named {name[:80]!r}, which {wrong}: '
        'rename it'
      )


def choose(
  available: Sequence[str], wanted: Sequence[str], path: pathlib.Path
) -> list[int]:
  """Columns of the wanted attributes.

  Args:
    available: names of all columns.
    wanted: names, each once.
    path: of the table, for errors.

  Returns:
    Indices into `available`, in the order wanted.

  Raises:
    UserError: a name is not there, or wanted twice.
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
  """Puts the rows of each split side by side, so that a split is a slice.

  Args:
    split_of: split of every file name, in the order of the table.
    present: file names that are there; the others are left out.
    split: the one that is asked for.
    table: where `split_of` comes from, for errors.
    place: where `present` comes from, for errors.

  Returns:
    All names present, and which of them are the split's.

  Raises:
    UserError: there is nothing in the split.
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
      '%s names %d images, %d of them are not in %s: left out',
      1,
      table,
      len(split_of),
      num_absent,
      place,
    )
  first = sum(len(names[one]) for one in SPLITS[: SPLITS.index(split)])
  return everything, slice(first, first + len(names[split]))
