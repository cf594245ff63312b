"""Validation of the paths that a user gives."""

import os
import pathlib
import posixpath
import stat

from lcjax import errors


def folder(key: str, value: str) -> pathlib.Path:
  """The folder that a config value names; it need not exist.

  Args:
    key: dotted config key, starting with 'config.', for error messages.
    value: the key's value; a leading ~ is expanded.

  Raises:
    UserError: the value is not a valid path, or names a file.
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
    raise errors.UserError(
      f'{key}={value!r} is not a valid folder: {error}'
    ) from error
  if is_other:
    raise errors.UserError(f'{key}={value} is a file: name a folder')
  return path


def exists(path: pathlib.Path, is_file: bool = False) -> bool:
  """Whether a path exists.

  Args:
    path: the path.
    is_file: whether it must be a regular file.

  Raises:
    UserError: the path cannot be checked, as in a folder without permission.
  """
  try:
    mode = os.stat(path).st_mode
  except (FileNotFoundError, NotADirectoryError):
    return False
  except (OSError, ValueError) as error:
    raise errors.UserError(f'{path} cannot be read: {error}') from error
  return stat.S_ISREG(mode) if is_file else True


def normal(name: str) -> str:
  r"""Normalises a path in a table or an archive: ./a\b becomes a/b."""
  return posixpath.normpath(name.replace('\\', '/'))
