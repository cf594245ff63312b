"""Handles SIGTERM and Ctrl-C, during a training and anywhere else."""

import contextlib
import os
import signal
import sys
import threading
import types
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

from lcjax import errors

_PATIENCE_SECONDS = 5.0  # between an interrupt and a forced exit
RESUME_ME = 75  # EX_TEMPFAIL: interrupted; run the same command to resume


@contextlib.contextmanager
def stop_on_signal() -> Iterator[Callable[[], bool]]:
  """Turns the first SIGINT or SIGTERM into a request to stop.

  A second signal is handled by the previous handlers.

  Yields:
    A function that returns whether a stop was requested.
  """
  received: list[int] = []
  previous: dict[signal.Signals, Any] = {}

  def handle(number: int, frame: types.FrameType | None) -> None:
    del frame
    received.append(number)
    for one in previous:
      signal.signal(one, previous[one])

  for one in (signal.SIGINT, signal.SIGTERM):
    previous[one] = signal.signal(one, handle)
  try:
    yield lambda: bool(received)
  finally:
    for one, handler in previous.items():
      signal.signal(one, handler)


def interrupt(number: int, frame: types.FrameType | None) -> None:
  """Ends a launcher at SIGTERM or Ctrl-C outside a training."""
  del number, frame
  # Python ignores exceptions in destructors and in callbacks from C, so a timer
  # ends the process if this one is lost.
  anyway = threading.Timer(_PATIENCE_SECONDS, leave, ('',))
  anyway.daemon = True
  anyway.start()
  raise errors.Interrupted


def leave(reason: str) -> NoReturn:
  """Ends an interrupted process.

  Skips Python's normal shutdown: XLA may be in the middle of a computation and
  crash.
  """
  print(
    f'lcjax: interrupted; {reason or "finished stages are kept"}. '
    'Run the same command to resume.',
    file=sys.stderr,
  )
  sys.stdout.flush()
  sys.stderr.flush()
  os._exit(RESUME_ME)
