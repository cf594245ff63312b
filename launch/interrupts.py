"""How SIGTERM and Ctrl-C end a launcher: in a training, and anywhere else."""

import contextlib
import os
import signal
import sys
import threading
import types
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

from lcjax import errors

_PATIENCE_SECONDS = 5.0  # of an interrupted launcher with itself
RESUME_ME = 75  # EX_TEMPFAIL: interrupted, checkpointed; run the command again


@contextlib.contextmanager
def stop_on_signal() -> Iterator[Callable[[], bool]]:
  """Turns the first SIGINT or SIGTERM into a request; a second one acts.

  Yields:
    A function that tells whether to stop at the next chance.
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
  """Outside of a training, SIGTERM and Ctrl-C end a launcher at once."""
  del number, frame
  # Python drops an exception that meets a destructor, or a foreign callback.
  anyway = threading.Timer(_PATIENCE_SECONDS, leave, ('',))
  anyway.daemon = True
  anyway.start()
  raise errors.Interrupted


def leave(reason: str) -> NoReturn:
  """Ends an interrupted process.

  Without Python's own end: XLA may be in the middle of something that does not
  outlive that in order.
  """
  print(
    f'lcjax: interrupted; {reason or "finished stages stay"}. '
    'The same command goes on from here.',
    file=sys.stderr,
  )
  sys.stdout.flush()
  sys.stderr.flush()
  os._exit(RESUME_ME)
