"""The movers of an experiment, made of one replicate's trained parts.

`named_movers` gives them the names of rows and flags.
"""

import dataclasses
import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from lcjax.constraints import base as constraints
from lcjax.constraints import build as constraints_build
from lcjax.constraints import compose, mixture, near
from lcjax.data import dataset
from lcjax.evaluation import glossary
from lcjax.experiment import build, choices, jobs, walks, wants
from lcjax.experiment.loading import BoundCritics, BoundMovers
from lcjax.latent import denoise
from lcjax.movers import base, denoiser, optimizer, starts, wrappers

# Of all noise that movers draw: the same for every replicate and call, as
# replicates already differ in their models and starts.
_KEY = 10_000


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
    bound.want,
  )


def make_realistic(
  bound: BoundCritics, section: ml_collections.ConfigDict
) -> Callable[[np.ndarray], base.Moved]:
  """Optimizer-G with realism as the only constraint, a single try per row."""
  mover = make_optimizer(bound.unconstrained, section)

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


def make_resting_optimizer(
  config: ml_collections.ConfigDict,
  bound: BoundMovers,
  chosen: choices.Choices,
) -> optimizer.Optimizer:
  """Optimizer-G that rests as soon as a row is like most real ones.

  For starts that are nearly right, such as draws of a mixture: on the way to
  thresholds that few real encodings reach, they would lose their variety.
  """
  section = config.optimize.copy_and_resolve_references()
  quantiles = config.optimize_from_mixture
  section.update(
    realism_threshold=chosen.realism_above(quantiles.realism_quantile),
    attribute_tolerance=chosen.tolerance(quantiles.attribute_quantile),
  )
  return make_optimizer(bound, section)


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
    mean,
    std,
    tuple(phases),
    # A start that is drawn from another prior than N(0, I) is no noise.
    start_time is not None or bound.model.prior_fn is not None,
    bound.batch_size,
  )


def make_walk(
  config: ml_collections.ConfigDict,
  bound: BoundMovers,
  setting: walks.Setting,
  labelled: bool,
) -> denoiser.Denoiser:
  """The guided denoiser of a start that is noised a little.

  Where no label is requested, nothing else is: that row is about realism alone.
  """
  bound = bound if labelled else bound.unconstrained
  section = config.denoise.copy_and_resolve_references()
  section.update({key: config.walk[key] for key in _OF_WALKS})
  section.update(
    num_steps=setting.steps,
    attribute_weight=setting.attribute_weight,
    distance_weight=0.0,
    mixture_above=1.0,
  )
  return make_denoiser(bound, section, setting.start_time)


_OF_WALKS = 'order', 'spacing', 'eta', 'guided'  # as in `config.denoise`


def choices_of(
  job: jobs.Job, replicate: int, bound: BoundMovers, train: dataset.Dataset
) -> choices.Choices:
  """What is chosen on the validation split, for movers of one replicate.

  Args:
    job: config and workdir of the run.
    replicate: index from 0.
    bound: models of the replicate.
    train: the training split.
  """
  walk = functools.partial(make_walk, job.config, bound)
  accept = functools.partial(_accepts, job.config, bound)
  return choices.Choices(job, replicate, bound, train, walk, accept)


def _accepts(
  config: ml_collections.ConfigDict,
  bound: BoundMovers,
  chosen: choices.Choices,
) -> walks.Accept:
  """`make_accept` of `config.retry` as a function of moved latents."""
  want = make_accept(bound, chosen, config.retry.accept_quantile)

  def accept(moved: base.Moved, target: constraints.Target) -> np.ndarray:
    return base.verdicts(want, moved.z, target, bound.batch_size).met

  return accept


def make_realism_walk(
  config: ml_collections.ConfigDict,
  bound: BoundMovers,
  chosen: choices.Choices,
) -> base.Mover:
  """A short walk without guidance, from the mixture of all encodings."""
  setting = chosen.walks.settings[glossary.REALISM_WALK]
  return wrappers.start_at(
    chosen.unlabelled.plain.draw,
    make_walk(config, bound, setting, labelled=False),
  )


def _guidance(
  bound: BoundCritics,
  attributes: constraints.Constraint,
  attribute_weight: float,
  distance_weight: float,
) -> constraints.Constraint | None:
  """The constraints of weight above 0 but realism; None if there are none."""
  own = {wants.ATTRIBUTES: attribute_weight, wants.NEAR: distance_weight}
  own |= {name: weight for name, (_, weight) in bound.want.further.items()}
  return bound.want.compose(
    {
      wants.REALISM: bound.realism,
      wants.ATTRIBUTES: attributes,
      wants.NEAR: near.Near(jnp.asarray(bound.train.mean_scale)),
    },
    {wants.REALISM: 1.0} | own,
    {*wants.OF_DENOISER, *(name for name, weight in own.items() if not weight)},
  )


def make_accept(
  bound: BoundCritics, chosen: choices.Choices, quantile: float
) -> constraints.Constraint:
  """The test of rejection sampling.

  D_attr, at the encoding of the decoded z, is at least as sure of the requested
  values as at all but a share of real held-out encodings. D_attr is trained on
  encodings, so it is more reliable there than at latents that were moved
  against it. Without an encoder, it is asked of z itself. With `config.want`,
  what it composes is asked there, but realism and the distance.

  Args:
    bound: models of one replicate.
    chosen: knows what D_attr says of real rows.
    quantile: the share.
  """
  tolerance = chosen.tolerance(quantile)
  attributes = dataclasses.replace(bound.attributes, tolerance=tolerance)
  asked: constraints.Constraint = attributes
  if bound.want.node is not None:
    close = near.Near(jnp.asarray(bound.train.mean_scale))
    composed = bound.want.compose(
      {
        wants.REALISM: bound.realism,
        wants.ATTRIBUTES: attributes,
        wants.NEAR: close,
      },
      dict.fromkeys((wants.REALISM, wants.ATTRIBUTES, wants.NEAR), 1.0),
      wants.OF_ACCEPTANCE,
    )
    asked = composed or attributes
  if bound.model.encode_fn is None:
    return asked
  return constraints_build.re_encoded(bound.model, asked)


def with_rejection(
  bound: BoundCritics,
  chosen: choices.Choices,
  section: ml_collections.ConfigDict,
  mover: base.Mover,
) -> base.Mover:
  """A mover of noise that is retried as `config.retry` says."""
  return wrappers.retry(
    mover,
    starts.prior_start(bound.model),
    make_accept(bound, chosen, section.accept_quantile),
    section.tries,
    batch_size=bound.batch_size,
  )


def make_edit_denoiser(
  bound: BoundMovers, section: ml_collections.ConfigDict
) -> base.Mover:
  """The guided denoiser of partly noised encodings."""
  return make_denoiser(bound, section, section.edit_time)


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
