"""Whether a stored result follows from what is asked for now, or one line.

What a result follows from is a nested mapping: the config that it depends on
and, under `READ`, digests of the data by split, as `lcjax.data.digests` makes
them. A result from before there were digests has none: whether its data have
changed is unknown, and it is accepted with a warning.
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
_MOST_FLAGS = 6  # that one line of error asks to repeat


class Advice(NamedTuple):
  """What a comparison has to know, to be just and to name the right remedy.

  Attributes:
    replicate: which one; its seed is config.seed + repeat.
    varied: dotted keys that an ablation sets, and no flag may.
    verb: what the result was: trained, or made.
    defaults: of the config, by dotted key, as JSON has them: what a key was
      when there was no such key.
    upgrade: dotted keys and values as they were stored -> as they are now.
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

  A key that the stored one lacks had its default. Of what current no longer
  depends on, whole sections, nothing is asked.
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
  """The part that the config alone decides."""
  return {key: v for key, v in follows_from.items() if key != READ}


def is_unread(stored: Mapping[str, Any], current: Mapping[str, Any]) -> bool:
  """Whether a result lacks the digests that it is to be compared with."""
  return READ in current and not stored.get(READ)


def _literal(value: Any) -> str:
  """A Python literal, tuples for JSON's lists, in double quotes."""
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
  """The flag that sets a key of the config, to be pasted into a shell.

  Args:
    key: dotted, without `config`.
    value: as the config or as JSON has it.
  """
  section, arguments, name = key.partition('.arguments.')
  if arguments:  # no flag may name a key that only optax knows
    key, value = f'{section}.arguments', {name: value}
  text = value if isinstance(value, str) else _literal(value)
  return shlex.quote(f'--config.{key}={text}')


def _other_config(
  found: list[tuple[str, Any, Any]], advice: Advice
) -> tuple[str, str]:
  """How two configs differ, and the way back to the stored one."""
  found = [
    (key, old - advice.replicate, new - advice.replicate)
    if key == 'seed' and isinstance(old, int) and isinstance(new, int)
    else (key, old, new)
    for key, old, new in found
  ]
  key, old, new = found[0]
  said = f'with config.{key}={old!r}, now it is {new!r}'
  varied = [key for key, *_ in found if key in advice.varied]
  if varied:
    return said, f'set {varied[0]} back in the ablation of the config file'
  if len(found) > _MOST_FLAGS:
    return said, f'give the --config of then, for {len(found)} keys differ'
  there = [flag(key, old) for key, old, _ in found if old != MISSING]
  added = [
    flag(key, new).partition('=')[0].lstrip("'")
    for key, old, new in found
    if old == MISSING
  ]
  ways = [f'repeat {" ".join(there)}'] if there else []
  ways += [f'leave out {" ".join(added)}'] if added else []
  return said, ' and '.join(ways)


def _other_labels(
  old: Mapping[str, Any], new: Mapping[str, Any]
) -> Iterator[tuple[str, str]]:
  """Kinds of differences between two `digests.of_labels`, each with a word."""
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
  """The difference between two `digests.of_images`, if there is one."""

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
  """How data differ, in the first split that does; None if in none."""
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
  """The error of a result that follows from something else, or None.

  Args:
    where: the file or folder of the result.
    stored: what it follows from.
    current: what is asked for now.
    advice: for the remedy.
  """
  current = json.loads(json.dumps(current))  # tuples become lists, as stored
  found = list(differences(without_read(stored), without_read(current), advice))
  if found:
    said, way = _other_config(found, advice)
  else:
    other = _other_data(stored.get(READ) or {}, current.get(READ) or {})
    if other is None:
      return None
    said, way = other, 'put the earlier data back'
  return errors.UserError(
    f'{where} was {advice.verb} {said}: {way}, take another --workdir, or '
    f'--overwrite to {advice.again} it again'
  )


@functools.cache  # a line for a run, not for each of its stages
def warn_unread(root: str) -> None:
  """Says that a run's data cannot be checked."""
  logging.warning(
    '%s holds results from before digests of the data were kept: whether the '
    'data have changed since then cannot be checked',
    root,
  )
