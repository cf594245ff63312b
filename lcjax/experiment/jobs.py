"""Jobs: the config of an experiment and the workdir of its run."""

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
  """Keeps other processes out of a workdir."""

  def acquire(self) -> None:
    """Takes the lock; raises UserError if another process holds it."""


def _never_stops() -> contextlib.AbstractContextManager[Callable[[], bool]]:
  return contextlib.nullcontext(lambda: False)


class Job(NamedTuple):
  """An experiment, and where its files are stored.

  Attributes:
    config: of the experiment, validated and locked.
    workdir: of the run; created if missing.
    overwrite: replace results that are damaged or of another config or data.
    arguments: the flags with which another launcher continues this run.
    lock: of the workdir, if any.
    varied: dotted keys that an ablation sets; flags must not set them.
    defaults: dotted config key -> default, as JSON. A key that a stored config
      lacks is assumed to have had its default.
    stop_on_signal: a context manager; gives a training its `should_stop()`.
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
    """The command with which a launcher continues this run."""
    return f'python -m launch.{launcher} {self.arguments}'.strip()


def claim(workdir: epath.Path, lock: Lock | None) -> None:
  """Creates a workdir and locks it; call before any file is written there."""

  def write() -> None:
    workdir.mkdir(parents=True, exist_ok=True)
    if lock is not None:
      lock.acquire()

  try_to_write(workdir, write)


def try_to_write(workdir: epath.Path, write: Callable[[], None]) -> None:
  """Calls `write`; an OSError becomes a UserError in all processes."""
  with parallel.raising_together():
    try:
      write()
    except OSError as error:
      raise errors.UserError(
        f'--workdir={workdir} cannot be written: {error}'
      ) from error


def note_config(job: Job) -> None:
  """Writes the config to WORKDIR/config.json, for people to read.

  Call it after checking that the workdir belongs to this config. That check
  reads the metadata of checkpoints, not this file.
  """
  claim(job.workdir, job.lock)
  path = job.workdir / 'config.json'
  try_to_write(
    job.workdir, lambda: files.write_json(path, job.config.to_dict())
  )
