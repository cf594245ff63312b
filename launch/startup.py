"""What all mains do first: flags, errors in one line, compile cache, signals."""

import contextlib
import difflib
import json
import os
import pathlib
import re
import signal
import sys
import types
from collections.abc import Callable, Iterator

import jax
import ml_collections
from absl import app, flags, logging
from etils import epath
from ml_collections import config_flags

from configs import base
from lcjax import errors

USER_ERROR = 2
RESUME_ME = 75  # EX_TEMPFAIL: interrupted, checkpointed; run the command again

CONFIG = config_flags.DEFINE_config_file(
  'config', None, 'Experiment, as configs/FILE.py or configs/FILE.py:ABLATION.'
)
WORKDIR = flags.DEFINE_string(
  'workdir', None, 'Folder of the run: checkpoints, metrics, samples, report.'
)
OVERWRITE = flags.DEFINE_bool(
  'overwrite', False, 'Redo a stage whose config differs from the stored one.'
)


class Interrupted(Exception):
  """Stopped by a signal after a checkpoint."""


@contextlib.contextmanager
def stop_on_signal() -> Iterator[Callable[[], bool]]:
  """Turns the first SIGINT or SIGTERM into a request; a second one acts.

  Yields:
    A function that tells whether to stop at the next chance.
  """
  received: list[int] = []
  previous = {}

  def handle(number: int, frame: types.FrameType | None) -> None:
    del frame
    received.append(number)
    for one in previous:
      signal.signal(one, previous[one])

  for number in (signal.SIGINT, signal.SIGTERM):
    previous[number] = signal.getsignal(number)
  for number in previous:
    signal.signal(number, handle)
  try:
    yield lambda: bool(received)
  finally:
    for number, handler in previous.items():
      signal.signal(number, handler)


def _explain(error: Exception) -> str:
  """One line for what flags and ml_collections say of a wrong override."""
  text = ' '.join(str(error).split())
  unknown = next((a for a in sys.argv if a.startswith('--config.')), None)
  missing = re.search(r'''["']?([\w.]+)["']? ?(?:not found|does not exist)''', text)
  if unknown and isinstance(error, AttributeError | KeyError | ValueError):
    keys = [
      a[len('--config.') :].split('=')[0]
      for a in sys.argv
      if a.startswith('--config.')
    ]
    known = list(base.flatten(base.get_config()))
    for key in keys:
      if key not in known:
        close = difflib.get_close_matches(key, known, n=1, cutoff=0.4)
        hint = f'; did you mean {close[0]}?' if close else ''
        return f'config.{key} does not exist{hint}'
  return text if missing is None or text else repr(error)


def _parse_flags(argv: list[str]) -> list[str]:
  """Parses flags; every mistake in them becomes a UserError."""
  try:
    rest = flags.FLAGS(argv)
  except errors.UserError:
    raise
  except (
    flags.Error,
    AttributeError,
    KeyError,
    TypeError,
    ValueError,
    OSError,
  ) as error:
    raise errors.UserError(_explain(error)) from error
  if len(rest) > 1:
    raise errors.UserError(f'unexpected argument {rest[1]!r}: flags need --')
  return rest


def run(main: Callable[[], None]) -> None:
  """Runs a main under absl; a user's mistake is one line and status 2."""

  def guarded(argv: list[str]) -> None:
    del argv
    logging.set_verbosity(logging.WARNING)
    use_compile_cache()
    try:
      main()
    except errors.UserError as error:
      fail(error)
    except (Interrupted, KeyboardInterrupt) as error:
      print(
        f'lcjax: interrupted; {error or "nothing lost"}. '
        'The same command goes on from here.',
        file=sys.stderr,
      )
      sys.exit(RESUME_ME)

  def parse(argv: list[str]) -> list[str]:
    try:
      return _parse_flags(argv)
    except errors.UserError as error:
      fail(error)

  app.run(guarded, flags_parser=parse)


def fail(error: errors.UserError) -> None:
  """Leaves with one line on standard error."""
  print(f'lcjax: {error}', file=sys.stderr)
  sys.exit(USER_ERROR)


def use_compile_cache() -> None:
  """Keeps compiled programs in the user's cache folder between starts."""
  if os.environ.get('JAX_COMPILATION_CACHE_DIR'):
    return
  cache = os.environ.get('XDG_CACHE_HOME') or pathlib.Path.home() / '.cache'
  jax.config.update('jax_compilation_cache_dir', f'{cache}/lcjax/xla')
  jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.2)


def load_config() -> ml_collections.ConfigDict:
  """The config of --config with its overrides, checked and frozen."""
  if CONFIG.value is None:
    raise errors.UserError(
      '--config is missing: name an experiment, as in '
      '--config=configs/digits.py'
    )
  config = CONFIG.value
  base.validate(config)
  config.lock()
  return config


def open_workdir(config: ml_collections.ConfigDict) -> epath.Path:
  """Makes the --workdir and notes the config there, for a reader.

  Whether a stage fits the config is decided by what its checkpoint holds.
  """
  workdir = require_workdir()
  try:
    workdir.mkdir(parents=True, exist_ok=True)
    temporary = workdir / f'config.json.{os.getpid()}.tmp'
    temporary.write_text(json.dumps(config.to_dict(), indent=2) + '\n')
    temporary.replace(workdir / 'config.json')
  except OSError as error:
    raise errors.UserError(
      f'--workdir={workdir} cannot be written: {error}'
    ) from error
  return workdir


def require_workdir() -> epath.Path:
  """The --workdir, which must be given."""
  if not WORKDIR.value:
    raise errors.UserError(
      '--workdir is missing: name a folder for the run, as in '
      '--workdir=runs/digits'
    )
  return epath.Path(WORKDIR.value)


def command(launcher: str) -> str:
  """This run's command line for another launcher."""
  given = [
    a
    for a in sys.argv[1:]
    if a.startswith(('--config', '--workdir', '-config', '-workdir'))
  ]
  return ' '.join(['python -m', f'launch.{launcher}', *given])
