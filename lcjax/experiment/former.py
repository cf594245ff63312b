"""How configs were stored before keys had their present names."""

from typing import Any

_OPTIMIZE = (
  'realism_weight',
  'attribute_weight',
  'distance_weight',
  'realism_threshold',
  'attribute_tolerance',
  'max_steps',
  'optimizer',
)


def upgrade(stored: dict[str, Any]) -> dict[str, Any]:
  """A stored config, by dotted key, with the keys of today.

  Up to version 0.1 the critics' inner loop took its settings from the mover
  optimizer-G, and edits had them beside their own.
  """
  found = dict(stored)
  inner_steps = found.pop('latent_critics.inner_steps', None)
  for key, value in stored.items():
    section, _, rest = key.partition('.')
    if rest.partition('.')[0] not in _OPTIMIZE:
      continue
    if section == 'edit':
      found[f'edit.optimize.{rest}'] = found.pop(key)
    elif section == 'optimize' and inner_steps is not None:
      found[f'latent_critics.inner.{rest}'] = value
  if inner_steps is not None:
    found['latent_critics.inner.max_steps'] = inner_steps
  return found
