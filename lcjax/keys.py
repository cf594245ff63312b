"""Dotted config keys: flattened, and those that have another name now."""

from collections.abc import Mapping
from typing import Any

# Up to version 0.1 the critics' inner loop took these from the mover
# optimizer-G, and edits had them beside their own.
_OPTIMIZE = (
  'realism_weight',
  'attribute_weight',
  'distance_weight',
  'realism_threshold',
  'attribute_tolerance',
  'max_steps',
  'optimizer',
)
_INNER_STEPS = 'latent_critics.inner_steps'

# Keys and sections by their old names.
RENAMED = {
  _INNER_STEPS: 'latent_critics.inner.max_steps',
  **{f'edit.{name}': f'edit.optimize.{name}' for name in _OPTIMIZE},
  'denoise.kept_above': 'denoise.accept_above',
  'edit.draw_back_tolerance': 'edit.backtrack_tolerance',
  'edit.draw_back_tolerances': 'edit.backtrack_tolerances',
}


def flatten(nested: Mapping[str, Any], prefix: str = '') -> dict[str, Any]:
  """Leaves of a nested mapping by dotted key."""
  leaves: dict[str, Any] = {}
  for key, value in nested.items():
    if isinstance(value, Mapping):
      leaves |= flatten(value, f'{prefix}{key}.')
    else:
      leaves[f'{prefix}{key}'] = value
  return leaves


def renamed(key: str) -> str | None:
  """Today's name of a dotted key; None unless it has another one now."""
  for old, new in RENAMED.items():
    if key == old or key.startswith(f'{old}.'):
      return f'{new}{key[len(old) :]}'
  return None


def upgrade(stored: dict[str, Any]) -> dict[str, Any]:
  """A stored config, by dotted key, with the keys of today."""
  found = {renamed(key) or key: value for key, value in stored.items()}
  if _INNER_STEPS in stored:
    for key, value in stored.items():
      section, _, name = key.partition('.')
      if section == 'optimize' and name.partition('.')[0] in _OPTIMIZE:
        # The steps were the critics' own.
        found.setdefault(f'latent_critics.inner.{name}', value)
  return found
