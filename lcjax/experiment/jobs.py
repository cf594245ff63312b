"""What is to be done: a config and a workdir."""

import contextlib
import types
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

import ml_collections
from etils import epath

from lcjax import errors
from lcjax.experiment import files
from lcjax.training import parallel


class Lock(Protocol):
  """What keeps a second process out of a workdir."""

  def acquire(self) -> None:
    """Takes the lock, once; raises UserError if another process has it."""


def _never_stops() -> contextlib.AbstractContextManager[Callable[[], bool]]:
  return contextlib.nullcontext(lambda: False)


class Job(NamedTuple):
  """An experiment, and where its files lie.

  Attributes:
    config: of the experiment, checked and locked.
    workdir: of the run; need not exist.
    overwrite: redo a stage whose config differs from the stored one.
    arguments: the flags that another launcher needs to go on with this run.
    lock: of the workdir, if any.
    varied: dotted keys that an ablation sets, so that no flag may set them.
    defaults: of the config, by dotted key, as JSON has them: what a key was in
      a stored config that lacks it.
    stop_on_signal: a context that tells a training whether to stop.
  """

  config: ml_collections.ConfigDict
  workdir: epath.Path
  overwrite: bool = False
  arguments: str = ''
  lock: Lock | None = None
  varied: tuple[str, ...] = ()
  defaults: Mapping[str, Any] = types.MappingProxyType({})
  stop_on_signal: Callable[
    [], contextlib.AbstractContextManager[Callable[[], bool]]
  ] = _never_stops

  def command(self, launcher: str) -> str:
    """The command that goes on with this run."""
    return f'python -m launch.{launcher} {self.arguments}'.strip()


def claim(workdir: epath.Path, lock: Lock | None) -> None:
  """Makes a workdir and takes its lock, before anything is written there."""

  def write() -> None:
    workdir.mkdir(parents=True, exist_ok=True)
    if lock is not None:
      lock.acquire()

  try_to_write(workdir, write)


def try_to_write(workdir: epath.Path, write: Callable[[], None]) -> None:
  """Writes in all processes, or stops all of them with one line."""
  with parallel.raising_together():
    try:
      write()
    except OSError as error:
      raise errors.UserError(
        f'--workdir={workdir} cannot be written: {error}'
      ) from error


def note_config(job: Job) -> None:
  """Writes the config into the workdir, for a reader.

  Called once a stage has found that the workdir is its own. Whether a stage
  fits the config is decided by what its checkpoint holds.
  """
  claim(job.workdir, job.lock)
  path = job.workdir / 'config.json'
  try_to_write(
    job.workdir, lambda: files.write_json(path, job.config.to_dict())
  )
