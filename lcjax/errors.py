"""The one exception that means: the user, not the program, must act."""

import difflib
from collections.abc import Sequence


class UserError(Exception):
  """A mistake that one line can explain: the thing, its value, the remedy.

  Launchers print the message without a traceback and leave with status 2.
  """


def nearest(name: str, names: Sequence[str]) -> str:
  """A hint that names what was probably meant."""
  close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
  return (
    f'did you mean {close[0]}?' if close else f'there are {", ".join(names)}'
  )
