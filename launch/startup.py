"""What all mains do first: flags, one-line errors, compile cache, signals."""

import contextlib
import functools
import json
import os
import pathlib
import re
import shlex
import signal
import sys
from collections.abc import Callable
from typing import Any, NoReturn

import jax
import ml_collections
from absl import app, flags, logging
from etils import epath
from ml_collections import config_flags

from configs import base
from launch import config_files, interrupts
from launch import lock as lock_lib
from lcjax import errors
from lcjax.experiment import jobs, preflight

USER_ERROR = 2

CONFIG = config_flags.DEFINE_config_file(
  'config', None, 'Experiment, as configs/FILE.py or configs/FILE.py:ABLATION.'
)
WORKDIR = flags.DEFINE_string(
  'workdir', None, 'Folder of the run: checkpoints, metrics, samples, report.'
)
OVERWRITE = flags.DEFINE_bool(
  'overwrite', False, 'Redo a stage whose config differs from the stored one.'
)


def joined(arguments: list[str]) -> list[str]:
  """Command-line flags as `--name=value`, however they were written."""
  flags_: list[str] = []
  for argument in arguments:
    is_flag = re.match(r'-[^\d.]', argument)  # not a number below 0
    if flags_ and not is_flag and '=' not in flags_[-1]:
      flags_[-1] += f'={argument}'
    else:
      flags_.append(argument)
  return flags_


def _arguments(argv: list[str]) -> list[str]:
  """The flags of a command, those in a --flagfile too."""
  return joined(flags.FLAGS.read_flags_from_files(argv[1:], force_gnu=False))


def parse_flags(argv: list[str]) -> list[str]:
  """Parses flags; every mistake in them becomes a UserError."""
  try:
    given = flags.FLAGS.read_flags_from_files(argv[1:], force_gnu=False)
    given = [config_files.expand_home(argument) for argument in given]
    config_files.check(joined(given))
    rest = flags.FLAGS([*argv[:1], *given])
  except (flags.Error, LookupError, TypeError, ValueError) as error:
    raise errors.UserError(config_files.explain(error)) from error
  if len(rest) > 1:
    raise errors.UserError(f'unexpected argument {rest[1]!r}: flags need --')
  return rest


def join_processes(description: str) -> None:
  """Makes this process one of several that work on one job.

  Args:
    description: of the environment's LCJAX_DISTRIBUTED: 'auto' where JAX can
      find the others by itself (Cloud TPU, SLURM, Open MPI), else
      'HOST:PORT,COUNT,NUMBER' of the first process, of all, of this one.
      Nothing joins anything where it is empty.

  Raises:
    UserError: it is neither.
  """
  if not description:
    return
  place: tuple[Any, ...] = ()
  if description != 'auto':
    try:
      address, *numbers = description.split(',')
      count, number = map(int, numbers)
      if not (address.rpartition(':')[2].isdecimal() and 0 <= number < count):
        raise ValueError(description)
    except ValueError as error:
      raise errors.UserError(
        f"LCJAX_DISTRIBUTED={description!r} is neither 'auto' nor "
        "'HOST:PORT,COUNT,NUMBER' with NUMBER from 0 to COUNT - 1, such as "
        "'10.0.0.1:1234,2,0'"
      ) from error
    place = address, count, number
  try:
    jax.distributed.initialize(*place)
  except (RuntimeError, ValueError) as error:
    hint = '' if place else '; without a cluster, give HOST:PORT,COUNT,NUMBER'
    raise errors.UserError(
      f'LCJAX_DISTRIBUTED={description!r}: JAX cannot join the processes: '
      f'{str(error).splitlines()[0]}{hint}'
    ) from error
  if jax.process_index() != 0:  # one of them speaks for all
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def check_platforms(names: str) -> None:
  """Raises UserError unless JAX finds the devices that it is told to use.

  Args:
    names: of the environment's JAX_PLATFORMS. Where it is empty, JAX takes what
      there is.
  """
  if not names:
    return
  try:
    jax.devices()
  except (RuntimeError, AssertionError) as error:  # this of a missing plugin
    reason = str(error).partition(' (set JAX')[0] or 'no such plugin'
    raise errors.UserError(
      f'JAX_PLATFORMS={names!r} names what is not there ({reason}): unset it, '
      'or take cpu'
    ) from error


def run(
  main: Callable[[], None], before_jax: Callable[[], None] | None = None
) -> None:
  """Runs a main under absl; a user's mistake is one line and status 2.

  Args:
    main: of a launcher.
    before_jax: called before JAX starts, which it does before `main`.
  """

  def guarded(argv: list[str]) -> None:
    del argv
    logging.set_verbosity(logging.WARNING)
    for one in (signal.SIGTERM, signal.SIGINT):
      signal.signal(one, interrupts.interrupt)
    use_compile_cache()
    if before_jax is not None:
      before_jax()
    try:
      join_processes(os.environ.get('LCJAX_DISTRIBUTED', ''))
      check_platforms(os.environ.get('JAX_PLATFORMS', ''))
      main()
    except errors.UserError as error:
      fail(error)
    except (errors.Interrupted, KeyboardInterrupt) as error:
      if os.environ.get('LCJAX_DISTRIBUTED'):
        with contextlib.suppress(RuntimeError):
          jax.distributed.shutdown()  # with the other processes
      interrupts.leave(str(error))

  def parse(argv: list[str]) -> list[str]:
    try:
      return parse_flags(argv)
    except errors.UserError as error:
      fail(error)

  for flag in ('config', 'workdir', 'overwrite'):  # of every launcher's --help
    flags.FLAGS.register_key_flag_for_module(sys.argv[0], flags.FLAGS[flag])
  app.run(guarded, flags_parser=parse)


def fail(error: errors.UserError) -> NoReturn:
  """Leaves with one line on standard error."""
  print(f'lcjax: {" ".join(str(error).split())}', file=sys.stderr)
  sys.exit(USER_ERROR)


def use_compile_cache() -> None:
  """Keeps compiled programs in the user's cache folder between starts.

  All of them: JAX by itself leaves out what compiles within a second, which is
  most of what a start waits for. Its own variables have the last word.
  """
  options: dict[str, Any] = {
    'jax_persistent_cache_min_compile_time_secs': 0.0,
    'jax_persistent_cache_min_entry_size_bytes': -1,
  }
  cache = os.environ.get('XDG_CACHE_HOME') or pathlib.Path.home() / '.cache'
  options['jax_compilation_cache_dir'] = f'{cache}/lcjax/xla'
  for name, value in options.items():
    if not os.environ.get(name.upper()):
      jax.config.update(name, value)


def job() -> jobs.Job:
  """Reads the flags; every mistake is a UserError."""
  if CONFIG.value is None:
    raise errors.UserError(
      '--config is missing: name an experiment, as in '
      '--config=configs/digits.py'
    )
  config = CONFIG.value
  split_names(config)
  base.validate(config)
  if not WORKDIR.value:
    raise errors.UserError(
      '--workdir is missing: name a folder for the run, as in '
      '--workdir=runs/digits'
    )
  config.lock()
  place = os.path.expanduser(WORKDIR.value)  # no shell expands --workdir=~
  if place.startswith('~'):
    raise errors.UserError(
      f'--workdir={WORKDIR.value}: there is no such user; ./~ is a folder '
      'called ~'
    )
  preflight.check_path(place)
  workdir = epath.Path(place)
  arguments = [
    argument
    for argument in _arguments(sys.argv)
    if re.match('--?(no)?(config|workdir)[.=]', argument)
  ]
  lock = locked(workdir)
  return jobs.Job(
    config,
    workdir,
    OVERWRITE.value,
    ' '.join(shlex.quote(a) for a in arguments),
    lock,
    defaults=defaults(),
    stop_on_signal=interrupts.stop_on_signal,
  )


@functools.cache
def defaults() -> dict[str, Any]:
  """Every key's default by dotted key, as JSON has it."""
  return dict(json.loads(json.dumps(base.flatten(base.get_config()))))


def split_names(config: ml_collections.ConfigDict) -> None:
  """Names of attributes one by one: as a flag, Smiling,Male is one string.

  What is no name is left to `base.validate`.
  """
  names: list[Any] = []
  for given in config.data.attributes:
    if not isinstance(given, str):
      names.append(given)
    elif given.strip():  # --config.data.attributes= names none
      names += [name.strip() for name in given.split(',')]
  config.data.attributes = tuple(names)


def locked(workdir: epath.Path) -> lock_lib.Lock:
  """The lock of a workdir; taken, if that exists, else once it is made."""
  lock = lock_lib.Lock(workdir)

  def acquire() -> None:
    if workdir.exists():
      lock.acquire()

  jobs.try_to_write(workdir, acquire)
  return lock
