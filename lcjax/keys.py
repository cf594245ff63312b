"""Dotted config keys: flattening, and upgrading renamed keys."""

from collections.abc import Mapping
from typing import Any

# Up to version 0.1, the critics' inner loop took these from the section
# `optimize` of the mover optimizer-G, and edits had them directly in `edit`.
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

# Their successors mean something else: stored values cannot be upgraded.
_REPLACED = {
  'generate.mixture_components': 'mixture.unlabelled_components',
  'retry.accept_above': 'retry.accept_quantile',
  'denoise.kept_above': 'retry.accept_quantile',
  'denoise.accept_above': 'retry.accept_quantile',
}

# Current names of renamed keys and sections, by old name.
RENAMED = {
  _INNER_STEPS: 'latent_critics.inner.max_steps',
  **{f'edit.{name}': f'edit.optimize.{name}' for name in _OPTIMIZE},
  **_REPLACED,
  # Up to version 0.1, each of these had tries of its own.
  'denoise.num_starts': 'retry.tries',
  'optimize.num_starts': 'retry.tries',
  'edit.draw_back_tolerance': 'edit.backtrack_tolerance',
  'edit.draw_back_tolerances': 'edit.backtrack_tolerances',
}


def flatten(nested: Mapping[str, Any], prefix: str = '') -> dict[str, Any]:
  """The leaves of a nested mapping, by dotted key."""
  leaves: dict[str, Any] = {}
  for key, value in nested.items():
    if isinstance(value, Mapping):
      leaves |= flatten(value, f'{prefix}{key}.')
    else:
      leaves[f'{prefix}{key}'] = value
  return leaves


def renamed(key: str) -> str | None:
  """The current name of a dotted key, or None if it was never renamed."""
  for old, new in RENAMED.items():
    if key == old or key.startswith(f'{old}.'):
      return f'{new}{key[len(old) :]}'
  return None


def outdated(stored: Mapping[str, Any]) -> bool:
  """Whether a nested stored config has keys that mean something else now."""
  return any(key in _REPLACED for key in flatten(stored))


def upgrade(stored: dict[str, Any]) -> dict[str, Any]:
  """Renames the dotted keys of a stored config to the current ones."""
  found = {
    renamed(key) or key: value
    for key, value in stored.items()
    if key not in _REPLACED
  }
  if _INNER_STEPS in stored:
    for key, value in stored.items():
      section, _, name = key.partition('.')
      if section == 'optimize' and name.partition('.')[0] in _OPTIMIZE:
        # Keeps max_steps, which was renamed from inner_steps above.
        found.setdefault(f'latent_critics.inner.{name}', value)
  return found
