"""A workdir belongs to one process, or to the processes of one job."""

import fcntl
import os
import pathlib
import socket
from typing import IO

import jax
from etils import epath

from lcjax import errors


class Lock:
  """Keeps a second process out of a workdir, until this one ends.

  The system drops it with the process, however that ends. It keeps others on
  the same machine, or the same file system, out; not on cloud storage.
  """

  def __init__(self, workdir: epath.Path):
    self._workdir = workdir
    self._file: IO[str] | None = None

  def acquire(self) -> None:
    """Takes the lock, once; the workdir must exist.

    Raises:
      UserError: another process has it.
    """
    # Of several processes of one job, the first stands for all.
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
        ' wait for it to end, stop it, or take another --workdir'
      ) from error
    file.truncate(0)
    file.write(f'process {os.getpid()} on {socket.gethostname()}')
    file.flush()
    self._file = file
