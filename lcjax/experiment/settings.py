"""Sections of a config with some values replaced by those of an entry."""

from collections.abc import Mapping
from typing import Any

import ml_collections

from lcjax import errors


def with_values(
  section: ml_collections.ConfigDict, settings: Mapping[str, Any], what: str
) -> ml_collections.ConfigDict:
  """A copy of a section with an entry's values; UserError for a wrong one.

  Args:
    section: whose keys and types the values must have.
    settings: values by key.
    what: the entry, in errors.
  """
  own = section.copy_and_resolve_references()
  for key, value in settings.items():
    if key not in own:
      raise errors.UserError(
        f'{what}: there is no key {key!r}: {errors.nearest(key, list(own))}'
      )
    try:
      own[key] = value
    except TypeError as error:
      raise errors.UserError(
        f'{what}: {key}={value!r} has the wrong type: {error}'
      ) from error
  return own
