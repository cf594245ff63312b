"""Common to all launchers: flags, one-line errors, compile cache, signals."""

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
  'config', None, 'Experiment: configs/FILE.py or configs/FILE.py:ABLATION.'
)
WORKDIR = flags.DEFINE_string(
  'workdir', None, 'Folder for checkpoints, metrics, samples and report.'
)
OVERWRITE = flags.DEFINE_bool(
  'overwrite', False, 'Redo stages whose config or data have changed.'
)


def joined(arguments: list[str]) -> list[str]:
  """Command-line flags as `--name=value`, however they were written."""
  flags_: list[str] = []
  for argument in arguments:
    is_flag = re.match(r'-[^\d.]', argument)  # not a negative number
    if flags_ and not is_flag and '=' not in flags_[-1]:
      flags_[-1] += f'={argument}'
    else:
      flags_.append(argument)
  return flags_


def _arguments(argv: list[str]) -> list[str]:
  """The flags of a command, including those in a --flagfile."""
  return joined(flags.FLAGS.read_flags_from_files(argv[1:], force_gnu=False))


def parse_flags(argv: list[str]) -> list[str]:
  """Parses flags; every mistake in them becomes a UserError."""
  try:
    given = flags.FLAGS.read_flags_from_files(argv[1:], force_gnu=False)
    given = [config_files.expand_home(argument) for argument in given]
    config_files.check(joined(given))
    rest = flags.FLAGS([*argv[:1], *given])
  except AttributeError as error:  # of ml_collections
    raise errors.UserError(
      f'a --config flag sets the key {str(error).strip(chr(34))}, which its '
      'section lacks: name the key in the config file, which has replaced the '
      'section'
    ) from error
  except (flags.Error, LookupError, TypeError, ValueError) as error:
    raise errors.UserError(config_files.explain(error)) from error
  if len(rest) > 1:
    raise errors.UserError(
      f'unexpected argument {rest[1]!r}: flags start with --'
    )
  return rest


def join_processes(description: str) -> None:
  """Makes this process one of several that work on one job.

  Args:
    description: the environment variable LCJAX_DISTRIBUTED: 'auto' if JAX can
      find the other processes by itself (Cloud TPU, SLURM, Open MPI), otherwise
      'HOST:PORT,COUNT,NUMBER': the address of the first process, the number of
      processes, and the index of this one. Empty: a single process.

  Raises:
    UserError: the description is wrong, or JAX cannot join the processes.
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
  if jax.process_index() != 0:  # only the first process prints
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def check_platforms(names: str) -> None:
  """Raises UserError unless JAX finds the devices that it is told to use.

  Args:
    names: the environment variable JAX_PLATFORMS. If empty, JAX chooses.
  """
  if not names:
    return
  try:
    jax.devices()
  # A missing plugin raises AssertionError.
  except (RuntimeError, AssertionError) as error:
    reason = str(error).partition(' (set JAX')[0] or 'no such plugin'
    raise errors.UserError(
      f'JAX_PLATFORMS={names!r} is not available ({reason}): unset it, or use '
      'cpu'
    ) from error


def run(
  main: Callable[[], None], before_jax: Callable[[], None] | None = None
) -> None:
  """Runs a launcher; a UserError is printed as one line, with exit status 2.

  Args:
    main: of the launcher.
    before_jax: called before JAX is initialised, which happens before `main`.
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
          jax.distributed.shutdown()
      interrupts.leave(str(error))

  def parse(argv: list[str]) -> list[str]:
    try:
      return parse_flags(argv)
    except errors.UserError as error:
      fail(error)

  # Lists these flags in the --help of every launcher.
  for flag in ('config', 'workdir', 'overwrite'):
    flags.FLAGS.register_key_flag_for_module(sys.argv[0], flags.FLAGS[flag])
  try:
    app.run(guarded, flags_parser=parse)
  except BrokenPipeError:  # the reader has quit, as in `--help | head`
    # What is still buffered would raise again when Python ends.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(128 + signal.SIGPIPE)


def fail(error: errors.UserError) -> NoReturn:
  """Exits with one line on standard error."""
  print(f'lcjax: {" ".join(str(error).split())}', file=sys.stderr)
  sys.exit(USER_ERROR)


def use_compile_cache() -> None:
  """Caches compiled programs in the user's cache folder.

  By default JAX does not cache programs that compile in under a second, but
  these make up most of the start-up time. JAX's own environment variables take
  precedence.
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
  """The job that the flags describe; raises UserError if one is wrong."""
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
  place = os.path.expanduser(WORKDIR.value)  # shells do not expand --workdir=~
  if place.startswith('~'):
    raise errors.UserError(
      f'--workdir={WORKDIR.value}: there is no such user; for a folder whose '
      'name starts with ~, write ./~'
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
  """The defaults of all config keys by dotted key, as JSON values."""
  return dict(json.loads(json.dumps(base.flatten(base.get_config()))))


def split_names(config: ml_collections.ConfigDict) -> None:
  """Splits attribute names at commas: a flag gives 'Smiling,Male' as one name.

  `base.validate` reports elements that are not strings.
  """
  names: list[Any] = []
  for given in config.data.attributes:
    if not isinstance(given, str):
      names.append(given)
    elif given.strip():  # --config.data.attributes= means no names
      names += [name.strip() for name in given.split(',')]
  config.data.attributes = tuple(names)


def locked(workdir: epath.Path) -> lock_lib.Lock:
  """The lock of a workdir; taken now if the workdir exists, otherwise later."""
  lock = lock_lib.Lock(workdir)

  def acquire() -> None:
    if workdir.exists():
      lock.acquire()

  jobs.try_to_write(workdir, acquire)
  return lock
