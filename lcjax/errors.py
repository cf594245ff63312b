"""The exceptions that are no faults of the program, and words for them."""

import difflib
from collections.abc import Sequence

_MOST_NAMES = 6  # in one line


class UserError(Exception):
  """A mistake that one line can explain: the thing, its value, the remedy.

  Launchers print the message without a traceback and leave with status 2.
  """


class Interrupted(BaseException):
  """Stopped by a signal.

  Like KeyboardInterrupt no `Exception`: it may come in the middle of anything,
  such as the reading of a checkpoint, and is no fault of that.
  """


def listed(names: Sequence[str]) -> str:
  """Names joined by commas; of many, the first ones and how many more."""
  if len(names) <= _MOST_NAMES:
    return ', '.join(names)
  shown = _MOST_NAMES - 1
  return f'{", ".join(names[:shown])} and {len(names) - shown} more'


def nearest(name: str, names: Sequence[str]) -> str:
  """A hint that names what was probably meant."""
  close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
  return f'did you mean {close[0]}?' if close else f'there are {listed(names)}'
