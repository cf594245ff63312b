"""Reads the --config file and checks the overrides of its keys.

Everything is checked before absl parses the flags, because ml_collections
reports a mistake with whatever exception it happens to cause.
"""

import importlib.util
import os
import re
import traceback
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import ml_collections
from ml_collections import config_flags
from ml_collections.config_flags import tuple_parser

from configs import base
from lcjax import errors

_EXAMPLE = '--config=configs/digits.py'


class _TupleParser(tuple_parser.TupleParser):
  """Also accepts names joined by commas that start like a number."""

  def parse(self, argument: Any) -> tuple[Any, ...]:
    try:
      return super().parse(argument)
    except ValueError:
      if any(mark in argument for mark in '()[]{}\'"'):
        raise
      return tuple(part.strip() for part in argument.split(','))


config_flags.register_flag_parser_for_type(tuple, _TupleParser())


def expand_home(argument: str) -> str:
  """Expands ~ in --config=~/FILE.py, as no shell does; others stay."""
  match = re.fullmatch('(--?config=)(~.*)', argument, re.DOTALL)
  return match[1] + os.path.expanduser(match[2]) if match else argument


def load(path: str) -> ModuleType:
  """Imports a config file as a module.

  Raises:
    UserError: it does not exist or fails; names the failing line.
  """
  if not os.path.isfile(path):
    what = 'it is a folder' if os.path.isdir(path) else 'there is no such file'
    if path.startswith('~'):  # `expand_home` has left it
      what = 'there is no such user'
    raise errors.UserError(
      f'--config={path} cannot be read: {what}; name a file as in {_EXAMPLE}'
    )
  spec = importlib.util.spec_from_file_location('config_file', path)
  if spec is None or spec.loader is None:
    raise errors.UserError(
      f'--config={path} is not a Python file: its name must end in .py, as in '
      f'{_EXAMPLE}'
    )
  module = importlib.util.module_from_spec(spec)
  try:
    spec.loader.exec_module(module)
  except errors.UserError:
    raise
  except (Exception, SystemExit) as error:
    raise _failure(path, path, error) from error
  if not callable(getattr(module, 'get_config', None)):
    raise errors.UserError(
      f'--config={path} has no function get_config: see {_EXAMPLE}'
    )
  return module


def _failure(given: str, path: str, error: BaseException) -> errors.UserError:
  """One line about an exception in a config file."""
  line = None
  if isinstance(error, SyntaxError) and error.filename == path:
    line, reason = error.lineno, error.msg
  else:
    reason = str(error)
    for frame in traceback.extract_tb(error.__traceback__):
      if frame.filename == path:
        line = frame.lineno
  where = '' if line is None else f' in line {line}'
  return errors.UserError(
    f'--config={given} fails{where}: {type(error).__name__}: {reason}'
  )


def read(given: str) -> ml_collections.ConfigDict:
  """The config named by --config=FILE.py or --config=FILE.py:ABLATION.

  Raises:
    UserError: the file cannot be read or returns no config; names the file.
  """
  path, colon, ablation = given.partition(':')
  module = load(path)
  try:
    config = module.get_config(*([ablation] if colon else []))
    if not isinstance(config, ml_collections.ConfigDict):
      raise errors.UserError(
        f'get_config() returns {type(config).__name__}, not an '
        f'ml_collections.ConfigDict: see {_EXAMPLE}'
      )
    base.check_keys(config)
  except errors.UserError as error:
    raise errors.UserError(f'--config={given}: {error}') from error
  except (Exception, SystemExit) as error:
    raise _failure(given, path, error) from error
  return config


def check_overrides(
  arguments: Sequence[str], config: ml_collections.ConfigDict
) -> None:
  """Raises UserError if a flag sets an unknown key of the config.

  Args:
    arguments: of the command line, as `--name=value`.
    config: before any override.
  """
  known = list(base.flatten(config))
  for argument in arguments:
    match = re.match(r'--?(?:no)?config\.([^=]*)', argument)
    if match:
      base.check_key(match[1], known)


def check(arguments: Sequence[str]) -> None:
  """Raises UserError for a wrong config file or a flag with an unknown key.

  Args:
    arguments: of the command line, as `--name=value`.
  """
  early, files = '', [a for a in arguments if re.match('--?config=', a)]
  for argument in arguments:
    if argument in ('--config', '-config'):
      raise errors.UserError(f'--config names no file: give {_EXAMPLE}')
    if argument in files:
      break
    if re.match(r'--?(no)?config\.', argument):
      early = early or argument
  if early and not files:
    raise errors.UserError(
      f'{early} changes a config, but --config is missing: give {_EXAMPLE}'
    )
  if early and files:
    raise errors.UserError(
      f'{early} comes before {files[0]}: give the file first'
    )
  for given in files:
    check_overrides(arguments, read(given.partition('=')[2]))


def explain(error: Exception) -> str:
  """One line for an error of absl or ml_collections about a wrong value."""
  text = ' '.join(str(error).split())
  match = re.match(r'[Ff]lag --config\.([^=\s]+)=(.*?): (.*)', text)
  if not match:
    return text
  key, value, reason = match.groups()
  kind = type(base.flatten(base.get_config()).get(key))
  if kind in (bool, int, float):  # here `reason` does not help
    return f'config.{key}={value} must be of {kind.__name__}'
  return f'config.{key}={value} has the wrong type: {reason}'
