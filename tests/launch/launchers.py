"""Runs launchers as processes of their own, which have imported JAX before.

A server imports the packages once and forks for every command, so that a test
does not wait for imports. Like `python -m launch.NAME` in all else: working
directory, arguments, exit status and streams. Nothing that JAX starts lives in
the server, so that a fork is safe.
"""

import multiprocessing
import os
import pathlib
import runpy
import sys
import tempfile
from typing import NamedTuple

from tests import xla

ROOT = pathlib.Path(__file__).parent.parent.parent
_SERVER = multiprocessing.get_context('forkserver')
# Not launchers themselves: they would define their flags twice.
_SERVER.set_forkserver_preload(
  ['lcjax.experiment.pipeline', 'lcjax.experiment.ablate', 'configs.base']
)


def _main(module, arguments, folder, environment, streams):
  for number, path in enumerate(streams, start=1):
    os.dup2(os.open(path, os.O_WRONLY), number)
  os.chdir(folder)
  os.environ.update(environment)
  sys.path[:0] = [str(folder)]
  sys.argv = [module, *arguments]
  status = 0
  try:
    runpy.run_module(module, run_name='__main__', alter_sys=True)
  except SystemExit as stop:
    status = stop.code or 0
  sys.stdout.flush()
  sys.stderr.flush()
  # Not by way of multiprocessing, which would close the queues of threads that
  # still write.
  os._exit(status)


class Finished(NamedTuple):
  """A process that has ended."""

  returncode: int
  stdout: str
  stderr: str


def run(module, *arguments, folder=ROOT, timeout=300):
  """Runs a module to its end, on one device."""
  environment = {'XLA_FLAGS': xla.FLAGS, 'JAX_PLATFORMS': 'cpu'}
  with tempfile.TemporaryDirectory() as where:
    streams = [pathlib.Path(where, name) for name in ('out', 'err')]
    for path in streams:
      path.touch()
    process = _SERVER.Process(
      target=_main,
      args=(module, list(arguments), folder, environment, streams),
    )
    process.start()
    process.join(timeout)
    if process.exitcode is None:
      process.kill()
      process.join()
      raise TimeoutError(f'{module} {arguments}: {streams[1].read_text()}')
    return Finished(process.exitcode, *(path.read_text() for path in streams))
