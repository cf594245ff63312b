"""Movers, starts and constraints that a config adds by name.

    config.movers.short = {'kind': 'backtrack', 'of': 'actor'}
    config.movers.mine = {'kind': 'my_file:Mine', 'scale': 2.0}
    config.constraints.small = {'kind': 'my_file:make_small', 'weight': 0.1}
    config.constraints.round = {'kind': 'rule', 'rule': 'holes'}

A kind is one of this package, or 'module:NAME' of a user's own file: called
with `Parts` and the other values of the entry as keyword arguments. Constraints
of the kind 'rule' are learned, see `rule_entries`.
"""

import dataclasses
import hashlib
import inspect
import pathlib
import sys
from collections.abc import Callable, Mapping
from typing import Any

import ml_collections

from lcjax import errors
from lcjax.constraints import base as constraints
from lcjax.experiment import plugins, rule_entries
from lcjax.generators import latent_model
from lcjax.movers.base import Mover

SECTIONS = 'starts', 'movers', 'constraints'


@dataclasses.dataclass(frozen=True)
class Parts:
  """What a kind is made of: the trained parts of one replicate.

  Attributes:
    model: decodes to, and encodes, images in [0, 1].
    data: the encoded training split.
    realism: the constraint D_realism.
    attributes: the constraint D_attr; its target is 'attributes'.
    seed: of the replicate.
    movers: those made so far, by name; empty for constraints.
  """

  model: latent_model.LatentModel
  data: latent_model.LatentData
  realism: constraints.Constraint
  attributes: constraints.Constraint
  seed: int
  movers: Mapping[str, Mover] = dataclasses.field(default_factory=dict)


def find(
  kind: Any, known: Mapping[str, Callable[..., Any]], what: str
) -> Callable[..., Any]:
  """The function of a kind.

  Args:
    kind: a name in `known`, or 'module:NAME'.
    known: functions of this package by name.
    what: the config key that it was given for.

  Raises:
    UserError: there is no such kind.
  """
  if kind in known:
    return known[kind]
  if isinstance(kind, str) and ':' in kind:
    found = plugins.load(kind, what)
    if not callable(found):
      raise errors.UserError(f'{what}={kind!r} is not a function or class')
    return found
  names = [*known, "'module:NAME' of your own file"]
  raise errors.UserError(
    f'{what}={kind!r} does not exist: give one of {errors.listed(names)}'
  )


def check(
  fn: Callable[..., Any], settings: Mapping[str, Any], what: str
) -> None:
  """Raises UserError unless a function takes these settings after `Parts`."""
  try:
    inspect.signature(fn).bind(None, **settings)
  except TypeError as error:
    raise errors.UserError(f'{what}={dict(settings)}: {error}') from error


def sources(config: ml_collections.ConfigDict) -> dict[str, str]:
  """Digests of the users' own modules that a config names, by module."""
  found: dict[str, str] = {}
  for section in SECTIONS:
    for entry in config[section].to_dict().values():
      for value in map(entry.get, ('kind', 'start', 'rule')):
        found |= source(value, f'config.{section}')
  return dict(sorted(found.items()))


def source(kind: Any, what: str) -> dict[str, str]:
  """The digest of the user's own module that a kind names, by module.

  Args:
    kind: a value of the config; nothing is found for one of this package.
    what: the config key that it was given for.
  """
  if not isinstance(kind, str) or ':' not in kind:
    return {}
  plugins.load(kind, what)
  name = kind.partition(':')[0]
  file = sys.modules[name].__file__
  assert file is not None  # `plugins.load` has imported it
  digest = hashlib.sha256(pathlib.Path(file).read_bytes()).hexdigest()
  return {f'{name}.py': digest}


def make_constraints(
  config: ml_collections.ConfigDict,
  parts: Parts,
  load_rule: Callable[[rule_entries.Entry], constraints.Constraint],
) -> tuple[tuple[constraints.Constraint, float], ...]:
  """The constraints of `config.constraints` with their weights.

  Args:
    config: of the experiment.
    parts: what kinds are made of.
    load_rule: reads what was learned of a rule.
  """
  made: list[tuple[constraints.Constraint, float]] = []
  rules = rule_entries.entries(config)
  for name, entry in config.constraints.to_dict().items():
    if name in rules:
      made.append((load_rule(rules[name]), rules[name].weight))
      continue
    what = f'config.constraints.{name}'
    fn, weight, settings = parse_constraint(entry, what)
    one = fn(parts, **settings)
    if not isinstance(one, constraints.Constraint):
      raise errors.UserError(
        f'{what}: {entry["kind"]} returns {type(one).__name__}, not a '
        'lcjax.Constraint'
      )
    made.append((one, weight))
  return tuple(made)


def parse_constraint(
  entry: Mapping[str, Any], what: str
) -> tuple[Callable[..., Any], float, dict[str, Any]]:
  """Function, weight and settings of an entry of `config.constraints`."""
  settings = dict(entry)
  kind, weight = settings.pop('kind', None), settings.pop('weight', 1.0)
  fn = find(kind, {rule_entries.KIND: _not_called}, f'{what}.kind')
  if not isinstance(weight, int | float) or not weight >= 0:
    raise errors.UserError(f'{what}.weight={weight!r} must be at least 0')
  if isinstance(fn, type) and issubclass(fn, constraints.Constraint):
    # `Parts` would become its first field, which fails inside a compiled loop.
    raise errors.UserError(
      f'{what}.kind={kind!r} is a class: name a function that takes the parts '
      'and makes one, such as def make(parts, radius): return '
      f'{fn.__name__}(radius)'
    )
  check(fn, settings, what)
  return fn, float(weight), settings


def _not_called(parts: Any) -> None:
  """In the place of a rule, whose name an error lists."""
