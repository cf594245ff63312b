"""The movers of an experiment, made of one replicate's trained parts."""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from lcjax import errors
from lcjax.constraints import base as constraints
from lcjax.constraints import build as constraints_build
from lcjax.constraints import compose, mixture, near, on_sample
from lcjax.evaluation import glossary
from lcjax.experiment import build, extensions, stage
from lcjax.experiment.loading import BoundCritics, BoundMovers
from lcjax.latent import denoise
from lcjax.movers import base, denoiser, optimizer, starts, wrappers

# Of all noise that movers draw: the same for every replicate and call, as
# replicates already differ in their models and starts.
_KEY = 10_000


# One mover of each kind has a row with rejection sampling, too.
_RETRIED = 'actor', 'optimizer', 'guided_denoiser'


def names(config: ml_collections.ConfigDict) -> tuple[str, ...]:
  """Names of all movers of an experiment."""
  others = 'optimizer', 'actor_then_optimizer', 'guided_denoiser'
  return *stage.actors(config), *others, *_kept(config), *config.movers


def _kept(config: ml_collections.ConfigDict) -> tuple[str, ...]:
  """Names of movers with rejection sampling; none if there is one try."""
  if config.retry.tries == 1:
    return ()
  return tuple(f'{name}{glossary.KEPT}' for name in _RETRIED)


def edit_names(config: ml_collections.ConfigDict) -> tuple[str, ...]:
  """Names of all movers that start where they are told to."""
  # Draw starts of their own, or are made of movers that do.
  drawn = set(_kept(config))
  for name, entry in _ordered(config.movers.to_dict()).items():
    parts = {entry.get(key) for key in _REFERENCES}
    if entry.get('start', 'prior') != 'prior' or parts & drawn:
      drawn.add(name)
  return tuple(name for name in names(config) if name not in drawn)


def make_want(
  bound: BoundCritics, section: ml_collections.ConfigDict
) -> compose.AllOf:
  """What optimizer-G minimises; arXiv:1711.05772, section 3.

  Args:
    bound: models of one replicate.
    section: `config.optimize` or a section with the same keys.
  """
  return build.compose_constraint(
    section,
    bound.realism,
    bound.attributes,
    near.Near(jnp.asarray(bound.train.mean_scale)),
    bound.further,
  )


def make_realistic(
  bound: BoundCritics, section: ml_collections.ConfigDict
) -> Callable[[np.ndarray], base.Moved]:
  """Optimizer-G with realism as the only constraint, a single try per row."""
  mover = make_optimizer(bound, section)

  def realistic(start: np.ndarray) -> base.Moved:
    nothing = np.zeros((len(start), len(bound.labels)), np.float32)
    return move(mover, start, nothing, mask=nothing)

  return realistic


def make_optimizer(
  bound: BoundCritics,
  section: ml_collections.ConfigDict,
  key: str = 'optimize',
  max_steps: int | None = None,
) -> optimizer.Optimizer:
  """Optimizer-G with a single try per row.

  Args:
    bound: models of one replicate.
    section: `config.optimize` or a section with the same keys.
    key: name of the section, for error messages.
    max_steps: instead of the section's.
  """
  return optimizer.Optimizer(
    make_want(bound, section),
    section.max_steps if max_steps is None else max_steps,
    build.configured(section.optimizer, section.max_steps, f'{key}.optimizer'),
    bound.batch_size,
  )


def make_denoiser(
  bound: BoundMovers,
  section: ml_collections.ConfigDict,
  start_time: float | None = None,
) -> denoiser.Denoiser:
  """The guided denoiser with a single try per row.

  At noise times above `section.mixture_above`, only the coarse shape of q(z) is
  left. There, the closed-form class mixture is a better denoiser and classifier
  than the networks; below, the networks are better.

  Args:
    bound: models of one replicate.
    section: `config.denoise` or a section with the same keys.
    start_time: noise is added to the start up to this noise time; None if the
      start is noise itself.
  """
  mean = jnp.asarray(bound.train.aggregate_mean)
  std = jnp.asarray(bound.train.aggregate_std)
  time = 1.0 if start_time is None else start_time
  above, num_steps = section.mixture_above, section.num_steps
  schedule = functools.partial(
    denoise.make_schedule,
    order=section.order,
    spacing=section.spacing,
    guided=tuple(section.guided),
  )
  phases = []
  if time > above:
    assert bound.mixture is not None
    count = max(1, round(num_steps * (time - above) / time))
    num_steps = max(1, num_steps - count)
    phases.append(
      denoiser.Phase(
        denoiser.MixtureVelocity(bound.mixture),
        _guidance(
          bound,
          mixture.MixtureClass(bound.mixture, mean, std),
          section.mixture_attribute_weight,
          section.distance_weight,
        ),
        1.0,
        schedule(count, time, above),
        section.eta,
      )
    )
  phases.append(
    denoiser.Phase(
      bound.velocity,
      _guidance(
        bound,
        bound.attributes,
        section.attribute_weight,
        section.distance_weight,
      ),
      1.0,
      schedule(num_steps, min(time, above)),
      section.eta,
    )
  )
  return denoiser.Denoiser(
    mean, std, tuple(phases), start_time is not None, bound.batch_size
  )


def _guidance(
  bound: BoundCritics,
  attributes: constraints.Constraint,
  attribute_weight: float,
  distance_weight: float,
) -> constraints.Constraint | None:
  """The constraints of weight above 0; None if there are none."""
  close = near.Near(jnp.asarray(bound.train.mean_scale))
  pairs = [(attributes, attribute_weight), (close, distance_weight)]
  pairs += bound.further
  used = [(part, weight) for part, weight in pairs if weight]
  if not used:
    return None
  parts, weights = zip(*used, strict=True)
  return compose.all_of(*parts, weights=weights)


def make_accept(
  bound: BoundCritics, section: ml_collections.ConfigDict
) -> on_sample.ReEncoded:
  """The test of rejection sampling.

  D_attr, at the encoding of the decoded z, gives every requested value a
  probability above `accept_above`. D_attr is trained on encodings, so it is
  more reliable there than at latents that were moved against it.

  Args:
    bound: models of one replicate.
    section: `config.retry` or a section with the same keys.
  """
  attributes = dataclasses.replace(
    bound.attributes, tolerance=1.0 - section.accept_above
  )
  return constraints_build.re_encoded(bound.model, attributes)


def _with_rejection(
  bound: BoundCritics, section: ml_collections.ConfigDict, mover: base.Mover
) -> base.Mover:
  """A mover of noise that is retried as `config.retry` says."""
  return wrappers.retry(
    mover,
    starts.prior_start(bound.model),
    make_accept(bound, section),
    section.tries,
    batch_size=bound.batch_size,
  )


def make_movers(
  config: ml_collections.ConfigDict, bound: BoundMovers
) -> dict[str, base.Mover]:
  """Every mover of noise, by name, and 'none'."""
  movers = _single_movers(
    bound,
    make_optimizer(bound, config.optimize),
    make_denoiser(bound, config.denoise),
  )
  for name in _kept(config):
    single = movers[name.removesuffix(glossary.KEPT)]
    movers[name] = _with_rejection(bound, config.retry, single)
  _add_configured(_Made(config, bound, movers, edit=False))
  return movers


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
    if made.edit and name not in edit_names(made.config):
      continue  # it has a start of its own
    fn, start, settings = _parse(entry, f'config.movers.{name}')
    mover = fn(made if fn in _KINDS.values() else parts, **settings)
    if start is not None:
      own = made.bound if start is _mixture_start else parts
      mover = wrappers.start_at(start(own), mover)
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
    edit: whether they move encodings, which no retry may replace by noise.
  """

  config: ml_collections.ConfigDict
  bound: BoundMovers
  movers: dict[str, base.Mover]
  edit: bool


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
  if made.edit:
    return made.movers[of]
  section = _with_settings(made.config.retry, settings, 'config.retry')
  return _with_rejection(made.bound, section, made.movers[of])


def _optimizer(made: _Made, **settings: Any) -> base.Mover:
  section = _with_settings(made.config.optimize, settings, 'config.optimize')
  return make_optimizer(made.bound, section)


def _guided_denoiser(
  made: _Made, start_time: float | None = None, **settings: Any
) -> base.Mover:
  section = _with_settings(made.config.denoise, settings, 'config.denoise')
  if made.edit and start_time is None:
    return make_edit_denoiser(made.bound, section)
  return make_denoiser(made.bound, section, start_time)


def _with_settings(
  section: ml_collections.ConfigDict, settings: Mapping[str, Any], what: str
) -> ml_collections.ConfigDict:
  """A copy of a section with an entry's values; UserError for a wrong one."""
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


_REFERENCES = 'of', 'first', 'second'  # settings that name another mover
_KINDS: dict[str, Callable[..., base.Mover]] = {
  'backtrack': _backtrack,
  'then': _then,
  'retry': _retry,
  'optimizer': _optimizer,
  'guided_denoiser': _guided_denoiser,
}


def _mixture_start(bound: BoundMovers) -> starts.Start:
  return starts.mixture_start(
    bound.data, bound.num_components, seed=bound.parts.seed
  )


def _parse(
  entry: Mapping[str, Any], what: str
) -> tuple[
  Callable[..., base.Mover], Callable[..., starts.Start] | None, dict[str, Any]
]:
  """Function, start and settings of an entry of `config.movers`."""
  settings = dict(entry)
  fn = extensions.find(settings.pop('kind', None), _KINDS, f'{what}.kind')
  settings.pop('description', None)
  start, given = settings.pop('start', 'prior'), None
  if start != 'prior':
    known = {'prior': _mixture_start, 'mixture': _mixture_start}
    given = extensions.find(start, known, f'{what}.start')
  extensions.check(fn, settings, what)
  return fn, given, settings


def check(config: ml_collections.ConfigDict) -> None:
  """Raises UserError for a wrong entry of `movers` or `constraints`."""
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
    fn, _, settings = _parse(entry, what)
    if fn is _optimizer:
      _with_settings(config.optimize, settings, what)
    if fn is _retry:
      own = {k: v for k, v in settings.items() if k not in _REFERENCES}
      _with_settings(config.retry, own, what)
    if fn is _guided_denoiser:
      settings.pop('start_time', None)
      own = _with_settings(config.denoise, settings, what)
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
  for name, entry in config.constraints.to_dict().items():
    extensions.parse_constraint(entry, f'config.constraints.{name}')


def descriptions(config: ml_collections.ConfigDict) -> dict[str, str]:
  """What the report says of the movers of `config.movers`."""
  return {
    name: entry.get('description', f'config.movers.{name} = {entry}')
    for name, entry in config.movers.to_dict().items()
  }


def make_edit_denoiser(
  bound: BoundMovers, section: ml_collections.ConfigDict
) -> base.Mover:
  """The guided denoiser of partly noised encodings."""
  return make_denoiser(bound, section, section.edit_time)


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
  movers = _single_movers(
    bound,
    make_optimizer(bound, section, key),
    make_edit_denoiser(bound, config.denoise),
  )
  _add_configured(_Made(config, bound, movers, edit=True))
  return movers


def move(
  mover: base.Mover,
  start: np.ndarray,
  y: np.ndarray,
  mask: np.ndarray | None = None,
) -> base.Moved:
  """Moves latents [B, Z] towards attributes [B, Y].

  Args:
    mover: any.
    start: [B, Z].
    y: [B, Y] requested attributes.
    mask: [B, Y], 0 for attributes to ignore; None uses all. An actor takes all
      as input, whatever the mask.
  """
  return with_key(mover)(start, make_target(y, mask))


def make_target(
  y: np.ndarray, mask: np.ndarray | None = None
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
  """The target of attributes [B, Y]; a mask of None uses all."""
  return {'attributes': (y, np.ones_like(y) if mask is None else mask)}


def with_key(mover: base.Mover) -> Callable[..., base.Moved]:
  """A mover with the key of all noise of an experiment."""
  return functools.partial(mover, key=jax.random.key(_KEY))
