"""Objects of a user's own files, named as 'module:NAME'."""

import importlib
import os
import sys
from typing import Any

from lcjax import errors


def load(text: str, what: str) -> Any:
  """The object that 'module:NAME' or 'package.module:NAME' names.

  Modules are also looked up in the current directory. An exception that the
  module itself raises is not caught: its traceback names the line.

  Args:
    text: such as 'my_file:NAME', for NAME in my_file.py.
    what: the thing it was given for, in errors: 'config.section.key'.

  Raises:
    UserError: the text has another form, or module or name do not exist.
  """
  module, _, name = text.partition(':')
  if not all(part.isidentifier() for part in [*module.split('.'), name]):
    raise errors.UserError(
      f"{what}={text!r} must be 'module:NAME', such as 'my_file:NAME' for NAME "
      'in my_file.py'
    )
  here = os.getcwd()
  sys.path.append(here)
  try:
    found = importlib.import_module(module)
  except ModuleNotFoundError as error:
    if not f'{module}.'.startswith(f'{error.name}.'):
      raise  # an import inside the module failed
    raise errors.UserError(
      f'{what}={text!r}: there is no module {error.name}: it must be installed '
      f'or be in {here}'
    ) from error
  finally:
    sys.path.remove(here)
  if not hasattr(found, name):
    public = [key for key in vars(found) if not key.startswith('_')]
    raise errors.UserError(
      f'{what}={text!r}: {module} has no {name}: {errors.nearest(name, public)}'
    )
  return getattr(found, name)
