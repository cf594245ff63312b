"""Exceptions that are not bugs, and helpers for their messages."""

import difflib
from collections.abc import Sequence

_MOST_NAMES = 6  # that a message lists


class UserError(Exception):
  """A user's mistake; its message is one line: the thing, value and remedy.

  Launchers print the message without a traceback and exit with status 2.
  """


class Interrupted(BaseException):
  """Stopped by a signal.

  Like KeyboardInterrupt, not an `Exception`: it may be raised anywhere, and
  code that handles, say, an unreadable checkpoint must not catch it.
  """


def listed(names: Sequence[str]) -> str:
  """Names joined by commas; a long list ends with 'and N more'."""
  if len(names) <= _MOST_NAMES:
    return ', '.join(names)
  shown = _MOST_NAMES - 1
  return f'{", ".join(names[:shown])} and {len(names) - shown} more'


def nearest(name: str, names: Sequence[str]) -> str:
  """A hint with the most similar of the names, or else a list of them."""
  close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
  return f'did you mean {close[0]}?' if close else f'there are {listed(names)}'
