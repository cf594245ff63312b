"""Movers and starts of an experiment by the names of rows and flags.

Those that are always there, and those of `config.movers` and `config.starts`.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import ml_collections

from lcjax import errors
from lcjax.evaluation import glossary
from lcjax.experiment import (
  choices,
  extensions,
  movers,
  rule_entries,
  stage,
  wants,
)
from lcjax.experiment import settings as settings_lib
from lcjax.experiment.loading import BoundMovers
from lcjax.movers import base, starts, wrappers

# One mover of each kind has a row with rejection sampling, too.
_RETRIED = 'actor', 'optimizer', 'guided_denoiser', 'short_walk'
_FROM_MIXTURE = 'optimizer_from_mixture'


def names(config: ml_collections.ConfigDict) -> tuple[str, ...]:
  """Names of all movers of an experiment."""
  others = 'optimizer', 'actor_then_optimizer', 'guided_denoiser'
  drawn = _FROM_MIXTURE, *_walks(config), *_kept(config)
  return *stage.actors(config), *others, *drawn, *config.movers


def _walks(config: ml_collections.ConfigDict) -> tuple[str, ...]:
  """Names of short walks; none if there is no number of steps for them."""
  return glossary.WALKS if config.walk.steps else ()


def _kept(config: ml_collections.ConfigDict) -> tuple[str, ...]:
  """Names of movers with rejection sampling; none if there is one try."""
  if config.retry.tries == 1:
    return ()
  return tuple(
    f'{name}{glossary.KEPT}'
    for name in _RETRIED
    if name not in glossary.WALKS or _walks(config)
  )


def edit_names(config: ml_collections.ConfigDict) -> tuple[str, ...]:
  """Names of all movers that start where they are told to."""
  # Draw starts of their own, or are made of movers that do.
  drawn = {_FROM_MIXTURE, *_walks(config), *_kept(config)}
  for name, entry in _ordered(config.movers.to_dict()).items():
    parts = {entry.get(key) for key in _REFERENCES}
    if entry.get('start', 'prior') != 'prior' or parts & drawn:
      drawn.add(name)
  return tuple(name for name in names(config) if name not in drawn)


def make_movers(
  config: ml_collections.ConfigDict,
  bound: BoundMovers,
  chosen: choices.Choices,
) -> dict[str, base.Mover]:
  """Every mover of noise, by name, and 'none'."""
  made = _single_movers(
    bound,
    movers.make_optimizer(bound, config.optimize),
    movers.make_denoiser(bound, config.denoise),
  )
  draw = make_start(config, bound, chosen, 'class_mixture')
  resting = functools.partial(
    movers.make_resting_optimizer, config, bound, chosen
  )
  made[_FROM_MIXTURE] = wrappers.start_at(draw, _when_called(resting))

  def walk(name: str) -> base.Mover:
    make = functools.partial(_make_walk, chosen, name)
    return wrappers.start_at(draw, _when_called(make))

  made |= {name: walk(name) for name in _walks(config)}
  for name in _kept(config):
    single = made[name.removesuffix(glossary.KEPT)]
    if name == glossary.KEPT_WALK:
      single = walk(name)
    made[name] = _when_called(
      functools.partial(
        movers.with_rejection, bound, chosen, config.retry, single
      )
    )
  _add_configured(_Made(config, bound, made, chosen=chosen))
  return made


def _single_movers(
  bound: BoundMovers, optimizer: base.Mover, denoiser: base.Mover
) -> dict[str, base.Mover]:
  """The movers that an experiment always has, without retries, by name."""
  actors = {name: actor.mover for name, actor in bound.actors.items()}
  return {
    'none': wrappers.stay(),
    **actors,
    'optimizer': optimizer,
    'actor_then_optimizer': wrappers.then(actors['actor'], optimizer),
    'guided_denoiser': denoiser,
  }


def _add_configured(made: '_Made') -> None:
  """Adds the movers of `config.movers` to `made.movers`."""
  parts = dataclasses.replace(made.bound.parts, movers=made.movers)
  for name, entry in _ordered(made.config.movers.to_dict()).items():
    if made.chosen is None and name not in edit_names(made.config):
      continue  # it has a start of its own
    fn, start, settings = _parse(entry, f'config.movers.{name}', made.config)
    mover = fn(made if fn in _KINDS.values() else parts, **settings)
    if start is not None:
      assert made.chosen is not None  # movers of encodings draw no start
      mover = wrappers.start_at(
        make_start(made.config, made.bound, made.chosen, start), mover
      )
    made.movers[name] = mover


def _ordered(entries: Mapping[str, Any]) -> dict[str, Any]:
  """Entries of `config.movers`, each after those that it is made of.

  Raises:
    UserError: a mover is made of itself.
  """
  found: dict[str, Any] = {}

  def visit(name: str, above: tuple[str, ...]) -> None:
    if name in above:
      raise errors.UserError(
        f'config.movers.{name} is made of itself, by way of '
        f'{errors.listed(above)}'
      )
    for key in _REFERENCES:
      other = entries[name].get(key)
      if other in entries:
        visit(other, (*above, name))
    found.setdefault(name, entries[name])

  for name in entries:
    visit(name, ())
  return found


class _Made(NamedTuple):
  """What kinds of this package are made of.

  Attributes:
    config: of the experiment.
    bound: models of one replicate.
    movers: those made so far.
    chosen: what starts and retries are made of; None for movers of encodings,
      which no noise may replace.
  """

  config: ml_collections.ConfigDict
  bound: BoundMovers
  movers: dict[str, base.Mover]
  chosen: choices.Choices | None


def _same(made: _Made, of: str) -> base.Mover:
  return made.movers[of]


def _backtrack(
  made: _Made, of: str, tolerance: float = 0.01, num_points: int = 40
) -> base.Mover:
  bound = made.bound
  want = dataclasses.replace(bound.attributes, tolerance=tolerance)
  mover = made.movers[of]
  return wrappers.backtrack(mover, want, num_points, bound.batch_size)


def _then(made: _Made, first: str, second: str) -> base.Mover:
  return wrappers.then(made.movers[first], made.movers[second])


def _retry(made: _Made, of: str, **settings: Any) -> base.Mover:
  if made.chosen is None:  # edits
    return made.movers[of]
  section = settings_lib.with_values(
    made.config.retry, settings, 'config.retry'
  )
  return movers.with_rejection(
    made.bound, made.chosen, section, made.movers[of]
  )


def _optimizer(made: _Made, **settings: Any) -> base.Mover:
  section = settings_lib.with_values(
    made.config.optimize, settings, 'config.optimize'
  )
  return movers.make_optimizer(made.bound, section)


def _guided_denoiser(
  made: _Made, start_time: float | None = None, **settings: Any
) -> base.Mover:
  section = settings_lib.with_values(
    made.config.denoise, settings, 'config.denoise'
  )
  if made.chosen is None and start_time is None:
    return movers.make_edit_denoiser(made.bound, section)
  return movers.make_denoiser(made.bound, section, start_time)


_REFERENCES = 'of', 'first', 'second'  # settings that name another mover
_KINDS: dict[str, Callable[..., base.Mover]] = {
  'same': _same,
  'backtrack': _backtrack,
  'then': _then,
  'retry': _retry,
  'optimizer': _optimizer,
  'guided_denoiser': _guided_denoiser,
}


def _when_called(make: Callable[[], base.Mover]) -> Callable[..., base.Moved]:
  """A mover that is made at its first call, as what it needs takes time."""
  made = functools.cache(make)
  return lambda *given, **named: made()(*given, **named)


def _make_walk(chosen: choices.Choices, name: str) -> base.Mover:
  """The short walk of a row; the first one searches the settings of all."""
  return chosen.make_walk(chosen.walks.settings[name], True)


# Starts of this package, from what is chosen for a replicate.
_STARTS: dict[str, Callable[[choices.Choices], starts.Start]] = {
  'prior': lambda chosen: starts.prior_start(chosen.bound.model),
  # Fitted when first drawn from.
  'mixture': lambda chosen: lambda *asked: chosen.unlabelled.plain.draw(*asked),
  'class_mixture': lambda chosen: (
    lambda *asked: chosen.labelled.plain.draw(*asked)
  ),
  'encodings': lambda chosen: starts.encodings_start(
    chosen.bound.data, chosen.bound.seed
  ),
}


def start_names(config: ml_collections.ConfigDict) -> tuple[str, ...]:
  """Names of all starts of an experiment."""
  return *_STARTS, *config.starts


def make_start(
  config: ml_collections.ConfigDict,
  bound: BoundMovers,
  chosen: choices.Choices,
  name: str,
) -> starts.Start:
  """Draws latents from a start, by name or 'my_file:NAME'."""
  entry = config.starts.to_dict().get(name, {'kind': name})
  fn, time, settings = _parse_start(entry, f'config.starts.{name}')
  made = fn(chosen) if fn in _STARTS.values() else fn(bound.parts, **settings)
  return made if time is None else starts.noised_start(made, bound.data, time)


def _parse_start(
  entry: Mapping[str, Any], what: str
) -> tuple[Callable[..., starts.Start], float | None, dict[str, Any]]:
  """Function, noise time and settings of an entry of `config.starts`."""
  settings = dict(entry)
  fn = extensions.find(settings.pop('kind', None), _STARTS, f'{what}.kind')
  time = settings.pop('start_time', None)
  extensions.check(fn, settings, what)
  return fn, time, settings


def _parse(
  entry: Mapping[str, Any], what: str, config: ml_collections.ConfigDict
) -> tuple[Callable[..., base.Mover], str | None, dict[str, Any]]:
  """Function, name of the start and settings of an entry of `config.movers`."""
  settings = dict(entry)
  fn = extensions.find(settings.pop('kind', None), _KINDS, f'{what}.kind')
  settings.pop('description', None)
  start = settings.pop('start', 'prior')
  if start not in config.starts:
    extensions.find(start, _STARTS, f'{what}.start')
  extensions.check(fn, settings, what)
  return fn, None if start == 'prior' else start, settings


def check(config: ml_collections.ConfigDict) -> None:
  """Raises UserError for a wrong entry of `movers`, `constraints` or `want`."""
  others = (
    *glossary.ROW_DESCRIPTIONS,
    *glossary.BASELINE_ROWS,
    *stage.actors(config),
    *(f'{name}{glossary.KEPT}' for name in _RETRIED),
    'none',
  )
  known = names(config)
  entries = config.movers.to_dict()
  for name, entry in entries.items():
    what = f'config.movers.{name}'
    if name in others:
      raise errors.UserError(
        f'{what}: {name!r} is the name of a row that is always there: choose '
        'another'
      )
    fn, _, settings = _parse(entry, what, config)
    if fn is _optimizer:
      settings_lib.with_values(config.optimize, settings, what)
    if fn is _retry:
      own = {k: v for k, v in settings.items() if k not in _REFERENCES}
      settings_lib.with_values(config.retry, own, what)
    if fn is _guided_denoiser:
      settings.pop('start_time', None)
      own = settings_lib.with_values(config.denoise, settings, what)
      if own.mixture_above < 1 <= config.denoise.mixture_above:
        raise errors.UserError(
          f'{what}.mixture_above={own.mixture_above} needs the class mixture, '
          'which is not fitted with config.denoise.mixture_above=1: lower that'
        )
    for key in _REFERENCES:
      if key in settings and settings[key] not in known:
        raise errors.UserError(
          f'{what}.{key}={settings[key]!r} is not a mover: '
          f'{errors.nearest(str(settings[key]), known)}'
        )
  _ordered(entries)
  rows = (
    *glossary.UNLABELLED_ROWS, *glossary.BASELINE_ROWS, *known,
    *config.alternatives,
  )  # fmt: skip
  for name in config.compare.rows:
    if name not in rows:
      raise errors.UserError(
        f'config.compare.rows={tuple(config.compare.rows)}: {name!r} is no row '
        f'of this config: {errors.nearest(name, rows)}'
      )
  for name, entry in config.starts.to_dict().items():
    if name in _STARTS:
      raise errors.UserError(
        f'config.starts.{name}: {name!r} is the name of a start that is always '
        'there: choose another'
      )
    _parse_start(entry, f'config.starts.{name}')
  rule_entries.entries(config)
  for name, entry in config.constraints.to_dict().items():
    if not rule_entries.is_rule(entry):
      extensions.parse_constraint(entry, f'config.constraints.{name}')
  wants.parse(config)
  for name, text in config.wants.to_dict().items():
    wants.parse_text(config, text, f'config.wants.{name}')


def descriptions(config: ml_collections.ConfigDict) -> dict[str, str]:
  """What the report says of the movers of `config.movers`."""
  return {
    name: entry.get('description', f'config.movers.{name} = {entry}')
    for name, entry in config.movers.to_dict().items()
  }


def make_edit_movers(
  config: ml_collections.ConfigDict,
  bound: BoundMovers,
  section: ml_collections.ConfigDict,
  key: str,
) -> dict[str, base.Mover]:
  """Every mover of encodings, by name, and 'none'; each tries once.

  Args:
    config: of the experiment.
    bound: models of one replicate.
    section: settings of optimizer-G, with the keys of `config.optimize`.
    key: name of the section, for error messages.
  """
  made = _single_movers(
    bound,
    movers.make_optimizer(bound, section, key),
    movers.make_edit_denoiser(bound, config.denoise),
  )
  _add_configured(_Made(config, bound, made, chosen=None))
  return made
