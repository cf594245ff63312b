"""Paths that a user gives: what cannot be one, or is another thing there."""

import os
import pathlib
import posixpath
import stat

from lcjax import errors


def folder(key: str, value: str) -> pathlib.Path:
  """The folder that a key of the config names; it need not exist.

  Args:
    key: dotted, with 'config.', for errors.
    value: of the key.

  Raises:
    UserError: no path can be written so, or a file is in its place.
  """
  try:
    os.fsencode(value)
    if '\0' in value:
      raise ValueError('embedded null byte')
    expanded = os.path.expanduser(value)
    if expanded.startswith('~'):
      raise ValueError('there is no such user')
    path = pathlib.Path(expanded)
    is_other = path.exists() and not path.is_dir()
  except (OSError, ValueError) as error:
    raise errors.UserError(f'{key}={value!r} is no folder: {error}') from error
  if is_other:
    raise errors.UserError(f'{key}={value} is a file: name a folder')
  return path


def exists(path: pathlib.Path, is_file: bool = False) -> bool:
  """Whether something, or a file, is there.

  Args:
    path: of it.
    is_file: whether it must be a file.

  Raises:
    UserError: nobody can tell, as in a folder that may not be read.
  """
  try:
    mode = os.stat(path).st_mode
  except (FileNotFoundError, NotADirectoryError):
    return False
  except (OSError, ValueError) as error:
    raise errors.UserError(f'{path} cannot be read: {error}') from error
  return stat.S_ISREG(mode) if is_file else True


def normal(name: str) -> str:
  r"""One spelling of a path in a table or an archive: ./a\b is a/b."""
  return posixpath.normpath(name.replace('\\', '/'))
