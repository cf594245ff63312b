"""Locks a workdir, so that only one job uses it at a time."""

import fcntl
import os
import pathlib
import socket
from typing import IO

import jax
from etils import epath

from lcjax import errors


class Lock:
  """Keeps other jobs out of a workdir until this process ends.

  The operating system releases the lock when the process ends, however it ends.
  It works on one machine or on a shared file system, not on cloud storage.
  """

  def __init__(self, workdir: epath.Path):
    self._workdir = workdir
    self._file: IO[str] | None = None

  def acquire(self) -> None:
    """Takes the lock if not yet taken; the workdir must exist.

    Raises:
      UserError: another process has it.
    """
    # If a job has several processes, the first takes the lock for all.
    taken = self._file is not None or jax.process_index() != 0
    if taken or '://' in str(self._workdir):
      return
    path = pathlib.Path(self._workdir / '.lock')
    file = path.open('a+', encoding='utf-8')
    try:
      fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
      file.seek(0)
      holder = file.read().strip()
      file.close()
      raise errors.UserError(
        f'--workdir={self._workdir} is in use by {holder or "another process"}:'
        ' wait for it to end, stop it, or choose another --workdir'
      ) from error
    file.truncate(0)
    file.write(f'process {os.getpid()} on {socket.gethostname()}')
    file.flush()
    self._file = file
