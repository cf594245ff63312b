"""The one exception that means: the user, not the program, must act."""


class UserError(Exception):
  """A mistake that one line can explain: the thing, its value, the remedy.

  Launchers print the message without a traceback and leave with status 2.
  """
