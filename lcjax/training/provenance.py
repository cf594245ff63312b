"""Checks that a stored result matches the current config and data.

The inputs that determine a result are stored as a nested mapping: the config
that it depends on and, under `READ`, digests of the data by split, as made by
`lcjax.data.digests`. Results of older versions have no digests. Whether their
data have changed is unknown, and they are accepted with a warning.
"""

import functools
import itertools
import json
import shlex
import types
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from absl import logging

from lcjax import errors, keys

MISSING = '(absent)'
READ = 'read'
_MOST_FLAGS = 6  # that an error message lists
_PARAMETERS = 'generator.parameters'  # the digest of a user's own model


class Advice(NamedTuple):
  """Context for the comparison of configs and for the remedy in its error.

  Attributes:
    replicate: number of the replicate; its seed is config.seed + replicate.
    varied: dotted keys that an ablation sets, so that no flag can.
    verb: for the message: the result was 'trained' or 'made'.
    defaults: of the config, by dotted key, with values as in JSON; assumed for
      keys that a stored config does not have.
    upgrade: converts the dotted keys and values of a stored config to the
      current ones.
  """

  replicate: int = 0
  varied: tuple[str, ...] = ()
  verb: str = 'trained'
  defaults: Mapping[str, Any] = types.MappingProxyType({})
  upgrade: Callable[[dict[str, Any]], dict[str, Any]] = lambda stored: stored

  @property
  def again(self) -> str:
    """The infinitive of the verb."""
    return {'trained': 'train', 'made': 'make'}[self.verb]


PLAIN = Advice()


def differences(
  stored: Mapping[str, Any],
  current: Mapping[str, Any],
  advice: Advice = PLAIN,
) -> Iterator[tuple[str, Any, Any]]:
  """Dotted keys at which two nested mappings differ, with both values.

  A key that `stored` lacks is taken to have its default. Sections that
  `current` lacks, because the result no longer depends on them, are ignored.
  """
  then, now = advice.upgrade(keys.flatten(stored)), keys.flatten(current)
  for key in sorted(then.keys() | now.keys()):
    if key.partition('.')[0] not in current:
      continue
    new = now.get(key, MISSING)
    old = then.get(key, advice.defaults.get(key, MISSING))
    if old != new:
      yield key, then.get(key, MISSING), new


def first_difference(
  stored: Mapping[str, Any], current: Mapping[str, Any]
) -> tuple[str, Any, Any] | None:
  """First key at which two flat mappings differ, with both values, or None."""
  for key in sorted(stored.keys() | current.keys()):
    old, new = stored.get(key, MISSING), current.get(key, MISSING)
    if old != new:
      return key, old, new
  return None


def without_read(follows_from: Mapping[str, Any]) -> dict[str, Any]:
  """Removes the digests of the data, which leaves the config."""
  return {key: v for key, v in follows_from.items() if key != READ}


def is_unread(stored: Mapping[str, Any], current: Mapping[str, Any]) -> bool:
  """Whether a result lacks the data digests that `current` has."""
  return READ in current and not stored.get(READ)


def _literal(value: Any) -> str:
  """A Python literal with double quotes, and tuples for JSON lists."""
  if isinstance(value, str):
    return json.dumps(value, ensure_ascii=False)
  if isinstance(value, list | tuple):
    inner = ', '.join(map(_literal, value))
    return f'({inner},)' if len(value) == 1 else f'({inner})'
  if isinstance(value, Mapping):
    pairs = (f'{_literal(k)}: {_literal(v)}' for k, v in value.items())
    return f'{{{", ".join(pairs)}}}'
  return repr(value)


def flag(key: str, value: Any) -> str:
  """The flag that sets a config key, quoted for a shell.

  Args:
    key: dotted, without `config`.
    value: from a config or from JSON.
  """
  section, arguments, name = key.partition('.arguments.')
  if arguments:  # the config has no keys for optax arguments, only the dict
    key, value = f'{section}.arguments', {name: value}
  text = value if isinstance(value, str) else _literal(value)
  return shlex.quote(f'--config.{key}={text}')


def _is_digest(key: str) -> bool:
  """Whether a dotted key is no key of the config, which no flag can set."""
  return key == _PARAMETERS or key.endswith('.py')


def _other_config(
  found: list[tuple[str, Any, Any]], advice: Advice
) -> tuple[str, str]:
  """How two configs differ, and how to get back to the stored one."""
  found = [
    (key, old - advice.replicate, new - advice.replicate)
    if key == 'seed' and isinstance(old, int) and isinstance(new, int)
    else (key, old, new)
    for key, old, new in found
  ]
  # Digests of a user's own file or model follow from another cause, if any.
  digests = [one for one in found if _is_digest(one[0])]
  found = [one for one in found if one not in digests] or sorted(
    digests, key=lambda one: one[0] == _PARAMETERS
  )
  key, old, new = found[0]
  if key == _PARAMETERS:
    return (
      'with other parameters of the model (config.generator)',
      'put the earlier ones back',
    )
  if _is_digest(key):
    name = key.partition('.')[2]
    return f'with another {name}', 'put the earlier file back'
  cause = f'with config.{key}={old!r}, now it is {new!r}'
  varied = [key for key, *_ in found if key in advice.varied]
  if varied:
    return cause, f'set {varied[0]} back in the ablation of the config file'
  if len(found) > _MOST_FLAGS:
    return cause, f'use the earlier --config, as {len(found)} keys differ'
  there = [flag(key, old) for key, old, _ in found if old != MISSING]
  added = [
    flag(key, new).partition('=')[0].lstrip("'")
    for key, old, new in found
    if old == MISSING
  ]
  ways = [f'repeat {" ".join(there)}'] if there else []
  ways += [f'leave out {" ".join(added)}'] if added else []
  return cause, ' and '.join(ways)


def _other_labels(
  old: Mapping[str, Any], new: Mapping[str, Any]
) -> Iterator[tuple[str, str]]:
  """Differences of two `digests.of_labels`: the kind and details of each."""
  pairs = itertools.zip_longest(old['names'], new['names'], fillvalue=MISSING)
  for number, (then, now) in enumerate(pairs, start=1):
    if then != now:
      yield 'names', f'attribute {number} was {then!r}, now it is {now!r}'
      break
  changed = [
    f'{name} held in {rows[0]} rows, now in {rows[1]} '
    f'(digest {columns[0]} -> {columns[1]})'
    for name, rows, columns in zip(
      new['names'],
      zip(old['rows'], new['rows'], strict=False),
      zip(old['digests'], new['digests'], strict=False),
      strict=False,
    )
    if columns[0] != columns[1]
  ]
  if changed:
    more = f', and {len(changed) - 1} more' if len(changed) > 1 else ''
    yield 'labels', f'{changed[0]}{more}'
  if old['kind'] != new['kind']:
    kinds = {'classes': 'classes', 'bits': 'independent attributes'}
    yield (
      'kind of labels',
      f'they were {kinds[old["kind"]]}, now {kinds[new["kind"]]}',
    )


def _other_images(
  old: Mapping[str, Any], new: Mapping[str, Any]
) -> Iterator[tuple[str, str]]:
  """The difference of two `digests.of_images`, if any: kind and details."""

  def shown(shape: list[int]) -> str:
    return f'{shape[0]} of {"x".join(map(str, shape[1:]))}'

  if old['shape'] != new['shape']:
    yield (
      'images',
      f'there were {shown(old["shape"])}, now {shown(new["shape"])}',
    )
  elif old != new:
    yield 'images', f'digest {old["digest"]} -> {new["digest"]}'


def _other_data(
  stored: Mapping[str, Any], current: Mapping[str, Any]
) -> str | None:
  """How the data of the first split that differs differ, or None."""
  for split in current:
    old, new = stored.get(split, {}), current[split]
    found: list[tuple[str, str]] = []
    if 'labels' in old and 'labels' in new:
      found += _other_labels(old['labels'], new['labels'])
    if 'images' in old and 'images' in new:
      found += _other_images(old['images'], new['images'])
    if found:
      kinds, details = zip(*found, strict=True)
      return (
        f'on other {" and ".join(kinds)} of the {split} split (config.data): '
        f'{"; ".join(details)}'
      )
  return None


def refusal(
  where: Any,
  stored: Mapping[str, Any],
  current: Mapping[str, Any],
  advice: Advice = PLAIN,
) -> errors.UserError | None:
  """The error for a result of another config or other data, or None.

  Args:
    where: the file or folder of the result.
    stored: the config and data digests of the result.
    current: the current config and data digests.
    advice: for the comparison and the error message.
  """
  current = json.loads(json.dumps(current))  # tuples become lists, as stored
  found = list(differences(without_read(stored), without_read(current), advice))
  if found:
    cause, remedy = _other_config(found, advice)
  else:
    other = _other_data(stored.get(READ) or {}, current.get(READ) or {})
    if other is None:
      return None
    cause, remedy = other, 'put the earlier data back'
  return errors.UserError(
    f'{where} was {advice.verb} {cause}: {remedy}, take another --workdir, or '
    f'--overwrite to {advice.again} it again'
  )


def check(
  root: Any,
  where: Any,
  stored: Mapping[str, Any],
  current: Mapping[str, Any],
  advice: Advice = PLAIN,
) -> None:
  """Raises the `refusal`, if any; warns if the data cannot be compared.

  Args:
    root: the folder that the warning names.
    where: the file or folder of the result.
    stored: the config and data digests of the result.
    current: the current config and data digests.
    advice: for the comparison and the error message.
  """
  refused = refusal(where, stored, current, advice)
  if refused is not None:
    raise refused
  if is_unread(stored, current):
    warn_unread(str(root))


@functools.cache  # warns once per run, not once per stage
def warn_unread(root: str) -> None:
  """Warns that changes of a run's data cannot be detected."""
  logging.warning(
    '%s holds results from before digests of the data were kept: whether the '
    'data have changed since then cannot be checked',
    root,
  )
