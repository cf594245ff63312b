"""The rows of one composition of `config.wants`: movers, baselines, scores."""

import collections
import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from lcjax import errors, types
from lcjax.constraints import near
from lcjax.data import dataset
from lcjax.evaluation import glossary, judging, moving
from lcjax.evaluation import terms as terms_lib
from lcjax.experiment import (
  build,
  choices,
  movers,
  walks,
  want_requests,
  wants,
)
from lcjax.generators import latent_model
from lcjax.latent import mixtures
from lcjax.movers import actor, base, starts, wrappers

MIXTURE = glossary.UNLABELLED_BASELINE
LABELLED = 'class_mixture', 'attribute_mixture'
FLOORS = MIXTURE, *LABELLED
TRAIN_SATISFYING = 'real_train_satisfying'
WALK, WALK_FROM = 'guided_walk', 'guided_walk_from_mixture'
UNGUIDED = 'unguided_walk'
SATISFYING = 'satisfying_mixture'
DESCRIPTIONS = {
  glossary.REAL_SATISFYING: 'The test images that satisfy the request by their '
  'own labels and the checks of its terms: the ceiling.',
  TRAIN_SATISFYING: 'Training images that satisfy it, at most as many as a row '
  'has samples: what other real images score, except that the judge was '
  'trained on these.',
  'prior': 'Draws of the prior, which are asked for nothing.',
  MIXTURE: 'Draws of the mixture of all encodings: the floor.',
  **dict.fromkeys(
    LABELLED, 'Draws of the mixture of the requested labels: the floor.'
  ),
  f'{UNGUIDED}_kept': 'The short walk without the constraints of the config, '
  'as in launch.compare (realism_walk, or short_walk if labels are requested), '
  'until a sample satisfies the request.',
  SATISFYING: 'Draws of a mixture of those encodings whose decoded samples '
  'satisfy the request.',
  'optimizer': 'Optimizer-G from draws of satisfying_mixture, until a row is '
  'as realistic as most real encodings.',
  'actor': 'Draws of satisfying_mixture, moved by an actor that was trained '
  'for the request, against a critic whose real rows are encodings that '
  'satisfy it.',
  WALK_FROM: 'The denoiser guided by the request, from noised draws of the '
  'mixture that is the floor.',
  WALK: 'The denoiser guided by the request, from noised draws of '
  'satisfying_mixture.',
}  # fmt: skip


class Scored(NamedTuple):
  """The encodings that satisfy a request.

  Attributes:
    data: these encodings; None if there are too few.
    draw: of a mixture that is fitted to them; None likewise.
    num_scored: encodings whose decoded samples were checked.
    share: of these that satisfy the request.
  """

  data: latent_model.LatentData | None
  draw: starts.Start | None
  num_scored: int
  share: float


def satisfying_mixture(
  config: ml_collections.ConfigDict,
  request: want_requests.Request,
  plain: mixtures.Mixture,
) -> Scored:
  """Fits a mixture to encodings whose decoded samples satisfy a request.

  No label is read unless the request asks for labels. A class of which too few
  encodings satisfy it is represented by all of them.

  Args:
    config: of the experiment.
    request: what is asked.
    plain: a mixture without the request, whose number of components this one
      has, too, as far as there are rows.
  """
  bound, labelled = request.bound, request.labelled
  found, rng = bound.train, np.random.default_rng(bound.seed)
  rows = rng.permutation(len(found.mean))[: config.compare_wants.num_scored]
  z, y = found.sample(bound.seed)[rows], found.attributes[rows]
  met = request.terms.met(bound.decode(z), y, y, z).get(terms_lib.JOINTLY)
  if met is None or met.sum() < want_requests.LEAST_ROWS:
    share = 0.0 if met is None else float(met.mean())
    return Scored(None, None, len(rows), share)
  share = float(met.mean())
  if labelled and isinstance(bound.labels, types.Classes):
    rare = (y[met].sum(axis=0) < want_requests.LEAST_ROWS) & (y.sum(axis=0) > 0)
    met = met | (y @ rare > 0)
  data = bound.data.rows(rows[met])
  # Of classes, those of each are as many.
  ((_, count),) = collections.Counter(map(tuple, plain.attributes)).most_common(
    1
  )
  draw = starts.mixture_start(data, count, seed=bound.seed, labelled=labelled)
  return Scored(data, draw, len(rows), share)


def _judge_walk(
  config: ml_collections.ConfigDict,
  request: want_requests.Request,
  real: want_requests.Real,
  draw: starts.Start,
  mover: base.Mover,
) -> judging.Scores:
  """What validation images say of a mover from a start."""
  y = real.labels(config.compare_wants.search_num_samples)
  target, rows = want_requests.make_target(request, y), np.arange(len(y))
  first_key, key = jax.random.split(jax.random.key(request.bound.seed))
  z = mover(draw(target, rows, first_key), target, rows, key).z
  row = judging.Row(request.bound.decode(z), y, z, {})
  return want_requests.judge(request, real, row, config.compare.num_neighbours)


def make_walk(
  config: ml_collections.ConfigDict,
  request: want_requests.Request,
  weight: float,
) -> base.Mover:
  """The denoiser of a noised start, guided by all that is wanted."""
  section, want = config.compare_wants, request.bound.want
  further = {name: (part, weight) for name, (part, _) in want.further.items()}
  own = dataclasses.replace(
    request.bound, want=dataclasses.replace(want, further=further)
  )
  setting = walks.Setting(section.num_steps, section.start_time, weight)
  return movers.make_walk(config, own, setting, labelled=True)


def learn_actor(
  config: ml_collections.ConfigDict,
  request: want_requests.Request,
  scored: Scored,
) -> base.Mover:
  """An actor that is asked for the request, against encodings that satisfy it.

  It moves draws of the mixture of these, or of the prior if there are too few.
  """
  bound = request.bound
  want = bound.want.compose(
    {
      wants.REALISM: bound.realism,
      wants.ATTRIBUTES: bound.attributes,
      wants.NEAR: near.Near(jnp.asarray(bound.train.mean_scale)),
    },
    {},
    wants.OF_ACCEPTANCE,  # realism is the adversary's
  )
  if want is None:
    raise errors.UserError(
      f'config.wants.{request.name} asks an actor for nothing but realism: set '
      'config.compare_wants.actor_num_steps=0'
    )
  return actor.learn_actor(
    want,
    bound.data if scored.data is None else scored.data,
    build.stage_key(bound.seed, f'wants/{request.name}'),
    start=scored.draw,
    num_steps=config.compare_wants.actor_num_steps,
    progress=jax.process_index() == 0,
  )


class Chosen(NamedTuple):
  """A weight of the guidance, and all candidates with their scores."""

  weight: float
  candidates: list[dict[str, float]]


def choose_weight(
  config: ml_collections.ConfigDict,
  request: want_requests.Request,
  real: want_requests.Real,
  draw: starts.Start,
) -> Chosen:
  """Searches the weight of the guidance on validation images.

  A weight whose latents diverge is passed over.

  Raises:
    UserError: all of them diverge.
  """
  section, found = config.compare_wants, list[dict[str, float]]()
  failed = ''
  for weight in section.guidance_weights:
    walk = make_walk(config, request, weight)
    try:
      scores = _judge_walk(config, request, real, draw, walk)
    except errors.UserError as error:
      failed = str(error)
      continue
    found.append({'weight': float(weight)} | scores)
  if not found:
    raise errors.UserError(
      f'config.wants.{request.name}: no weight of '
      f'config.compare_wants.guidance_weights can be used; the last error: '
      f'{failed}'
    )
  return Chosen(best(found, section.least_satisfied)['weight'], found)


def best(
  candidates: list[dict[str, float]], least_satisfied: float
) -> dict[str, float]:
  """The candidate of least Frechet distance of those that satisfy enough.

  If none does, those of the greatest share compete; without Frechet distances,
  the smallest weight wins.
  """
  shares = [one.get(glossary.JOINTLY, 0.0) for one in candidates]
  least = min(least_satisfied, max(shares))
  fits = [
    one for one, share in zip(candidates, shares, strict=True) if share >= least
  ]
  return min(
    fits, key=lambda one: (one.get(want_requests.FRECHET, 0.0), one['weight'])
  )


class Rows(NamedTuple):
  """The rows of a request.

  Attributes:
    contenders: by row.
    chosen: of the guided walks, by row.
    scored: the encodings behind `satisfying_mixture`.
  """

  contenders: dict[str, moving.Contender]
  chosen: dict[str, Chosen]
  scored: Scored


def make_rows(
  config: ml_collections.ConfigDict,
  request: want_requests.Request,
  chosen: choices.Choices,
  validation: want_requests.Real,
) -> Rows:
  """All baselines and movers of a request.

  Args:
    config: of the experiment.
    request: what is asked.
    chosen: mixtures and walks of `launch.compare`.
    validation: chooses the weights.
  """
  section, bound = config.compare_wants, request.bound
  plain = (chosen.labelled if request.labelled else chosen.unlabelled).plain
  scored = satisfying_mixture(config, request, plain.draw.model)
  floor = glossary.baseline(bound.labels.kind) if request.labelled else MIXTURE
  free = movers.make_walk(
    config,
    bound.unconstrained,
    _unguided(config, chosen, request.labelled),
    request.labelled,
  )
  accepted = want_requests.accept(request)

  def kept(mover: base.Mover, tries: int) -> base.Mover:
    again = starts.prior_start(bound.model)  # only the number of rows matters
    return wrappers.retry(
      mover, again, accepted, tries, batch_size=bound.batch_size
    )

  def drawn(draw: starts.Start, mover: base.Mover) -> base.Mover:
    return wrappers.start_at(draw, mover)

  rejected = functools.partial(kept, tries=section.baseline_tries)
  stay = wrappers.stay()
  made: dict[str, base.Mover] = {
    floor: drawn(plain.draw, stay),
    f'{floor}_kept': rejected(drawn(plain.draw, stay)),
    f'{UNGUIDED}_kept': rejected(drawn(plain.draw, free)),
  }
  begun = plain.draw if scored.draw is None else scored.draw
  if scored.draw is not None:
    made[SATISFYING] = drawn(scored.draw, stay)
    made[f'{SATISFYING}_kept'] = rejected(made[SATISFYING])
  made['optimizer'] = drawn(
    begun, movers.make_resting_optimizer(config, bound, chosen)
  )
  if section.actor_num_steps:
    made['actor'] = drawn(begun, learn_actor(config, request, scored))
  found: dict[str, Chosen] = {}
  walks_from: dict[str, starts.Start] = {WALK_FROM: plain.draw}
  if scored.draw is not None:
    walks_from[WALK] = scored.draw
  for name, draw in walks_from.items():
    found[name] = choose_weight(config, request, validation, draw)
    made[name] = drawn(draw, make_walk(config, request, found[name].weight))
  last = list(walks_from)[-1]
  if section.tries > 1:
    made[f'{last}_kept'] = kept(made[last], section.tries)
  return Rows(
    {name: moving.Contender(mover, {}) for name, mover in made.items()},
    found,
    scored,
  )


def _unguided(
  config: ml_collections.ConfigDict, chosen: choices.Choices, labelled: bool
) -> walks.Setting:
  """The walk that asks nothing of the config's constraints, as searched."""
  if config.walk.steps:
    row = 'short_walk' if labelled else glossary.REALISM_WALK
    return chosen.walks.settings[row]
  section = config.compare_wants
  weight = config.denoise.attribute_weight
  return walks.Setting(section.num_steps, section.start_time, weight)


def real_rows(
  request: want_requests.Request,
  real: want_requests.Real,
  train: dataset.Dataset,
  num_samples: int,
) -> dict[str, judging.Row]:
  """Real samples that satisfy a request: the ceiling, and others in training.

  Args:
    request: what is asked.
    real: of the split.
    train: the training split.
    num_samples: of training samples, at most.
  """
  found = {}
  test = real.data, real.satisfying, None
  satisfying = judging.satisfying(train, request.terms)
  for name, (data, which, most) in {
    glossary.REAL_SATISFYING: test,
    TRAIN_SATISFYING: (train, satisfying, num_samples),
  }.items():
    rows = np.flatnonzero([] if which is None else which)[:most]
    if len(rows):
      y = data.attributes[rows] if request.labelled else None
      found[name] = judging.Row(data.images[rows], y, None, {})
  return found


def move_rows(
  config: ml_collections.ConfigDict,
  request: want_requests.Request,
  rows: Rows,
  real: want_requests.Real,
  report: Callable[[str], None],
) -> dict[str, judging.Row]:
  """Samples of every mover and baseline, of the same labels and noise."""
  bound, section = request.bound, config.compare_wants
  y = real.labels(section.num_samples)
  requested = y if request.labelled else None
  start = np.asarray(
    bound.model.draw_prior(np.arange(len(y)), jax.random.key(bound.seed))
  )
  found = {'prior': judging.Row(bound.decode(start), requested, start, {})}
  for name, contender in rows.contenders.items():
    report(name)
    found[name], _ = moving.make_row(
      contender,
      bound.decode,
      start,
      want_requests.make_target(request, y),
      requested,
      jax.random.key(bound.seed + 1),
      config.generate.batch_size,
      0.0,  # a single pass: some take minutes
    )
  return found


def describe(rows: Mapping[str, Any]) -> dict[str, str]:
  """What each row is, by name."""
  found = {}
  for name in rows:
    single = name.removesuffix(glossary.KEPT)
    text = DESCRIPTIONS.get(name) or DESCRIPTIONS[single]
    if name not in DESCRIPTIONS:
      text = f'As {single}, until a sample satisfies the request.'
    found[name] = text
  return found
