"""The rows of the comparison table: samples of every mover and baseline."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import ml_collections
import numpy as np

from lcjax.constraints import base as constraints
from lcjax.data import dataset
from lcjax.evaluation import baselines as baselines_lib
from lcjax.evaluation import glossary, judging, moving
from lcjax.evaluation import terms as terms_lib
from lcjax.experiment import (
  alternatives,
  choices,
  jobs,
  loading,
  movers,
  named_movers,
  stage,
)
from lcjax.movers import starts


def load_judge(
  job: jobs.Job, train: dataset.Dataset, test: dataset.Dataset
) -> judging.Judge:
  """Restores the judge of the split and the other one; sees the real data."""
  own = stage.judge_of(job.config)
  (other,) = (one for one in stage.JUDGES if one is not own)
  predict_fn, seconds = loading.load_predict_fn(job, own, train)
  other_fn, _ = loading.load_predict_fn(job, other, train)
  section = job.config.compare
  steps = judging.Steps(section.feature_steps, section.cas_steps)
  return judging.make_judge(
    predict_fn, train, test, seconds, other_fn, steps, progress=True
  )


def make_rejection(
  config: ml_collections.ConfigDict,
  bound: loading.BoundMovers,
  chosen: choices.Choices,
) -> moving.Rejection:
  """The test that the baseline's rows share with the movers'."""
  return moving.Rejection(
    movers.make_accept(bound, chosen, config.retry.accept_quantile),
    config.retry.tries,
    bound.seconds['latent_critics'],
  )


# Makes a row when it is called, as some take minutes of fits and searches.
Make = Callable[[], moving.Contender]


def baselines(
  config: ml_collections.ConfigDict,
  bound: loading.BoundMovers,
  chosen: choices.Choices,
) -> dict[str, Make]:
  """Mixtures of z for labels, by row; some of them with rejection sampling."""
  name = glossary.baseline(bound.labels.kind)
  gaussian = name.replace('mixture', 'gaussian')

  def single(fit: Callable[[], baselines_lib.Fitted]) -> Make:
    return lambda: baselines_lib.contender(fit())

  made = {
    gaussian: single(lambda: baselines_lib.fit(bound.data, 1, bound.seed)),
    name: single(lambda: chosen.labelled.plain),
  }
  plain = [name]

  def narrow() -> moving.Contender:
    assert chosen.labelled.narrow is not None
    return baselines_lib.contender(chosen.labelled.narrow)

  if chosen.has_narrow:
    plain.append(f'{name}{glossary.NARROW}')
    made[plain[-1]] = narrow

  def kept(make: Make) -> Make:
    draw = starts.prior_start(bound.model)  # only the number of rows matters
    return lambda: make_rejection(config, bound, chosen).of(make(), draw)

  if config.retry.tries > 1:
    made |= {f'{one}{glossary.KEPT}': kept(made[one]) for one in plain}
  return made


def unlabelled(
  config: ml_collections.ConfigDict,
  bound: loading.BoundMovers,
  chosen: choices.Choices,
) -> dict[str, Make]:
  """Realism without labels: a mixture of z, and movers, by row."""
  section = config.denoise.copy_and_resolve_references()
  section.update(attribute_weight=0.0, mixture_above=1.0)
  seconds, free = bound.seconds, bound.unconstrained

  def narrow() -> moving.Contender:
    assert chosen.unlabelled.narrow is not None
    return baselines_lib.contender(chosen.unlabelled.narrow)

  def walk() -> moving.Contender:
    return moving.Contender(
      movers.make_realism_walk(config, bound, chosen),
      {
        'training_seconds': seconds['denoiser']
        + chosen.unlabelled.plain.seconds
        + chosen.walks.seconds
      },
    )

  found: dict[str, Make] = {
    'mixture': lambda: baselines_lib.contender(chosen.unlabelled.plain),
    'realism_optimizer': lambda: moving.Contender(
      movers.make_optimizer(free, config.optimize),
      {'training_seconds': seconds['latent_critics']},
    ),
    'realism_denoiser': lambda: moving.Contender(
      movers.make_denoiser(free, section),
      {'training_seconds': seconds['denoiser']},
    ),
  }
  if chosen.has_narrow:
    found[f'mixture{glossary.NARROW}'] = narrow
  if config.walk.steps:
    found[glossary.REALISM_WALK] = walk
  return found


_MIXTURE, _SEARCH = 'chosen_mixture', 'search'


def _needs(
  config: ml_collections.ConfigDict, mover: str
) -> tuple[str, ...] | None:
  """The trainings of a mover, in `BoundMovers.seconds`, and choices.

  None if it is one of `config.movers`, of which that is not known.
  """
  if mover in config.movers:
    return None
  single = mover.removesuffix(glossary.KEPT)
  needs = {
    'optimizer': ('latent_critics',),
    'actor_then_optimizer': (stage.ACTOR_CRITIC.name, 'latent_critics'),
    'guided_denoiser': ('denoiser', 'class_mixture'),
    'optimizer_from_mixture': ('latent_critics', _MIXTURE),
    **dict.fromkeys(glossary.WALKS, ('denoiser', _MIXTURE, _SEARCH)),
  } | {name: (which.name,) for name, which in stage.actors(config).items()}
  asked = () if mover == single else ('latent_critics',)
  return tuple(dict.fromkeys((*needs[single], *asked)))


def mover_contenders(
  config: ml_collections.ConfigDict,
  bound: loading.BoundMovers,
  chosen: choices.Choices,
) -> dict[str, Make]:
  """All movers, by row."""
  made = named_movers.make_movers(config, bound, chosen)

  def spent(on: str) -> float:
    if on == _MIXTURE:
      return chosen.labelled.plain.seconds
    return chosen.walks.seconds if on == _SEARCH else bound.seconds[on]

  def contender(name: str) -> moving.Contender:
    needs, scores = _needs(config, name), {}
    if needs is not None:
      scores['training_seconds'] = sum(spent(one) for one in needs)
    return moving.Contender(made[name], scores, bound.train.mean_scale)

  return {
    name: functools.partial(contender, name)
    for name in named_movers.names(config)
  }


def critic_scores(
  bound: loading.BoundMovers, mover: str, row: judging.Row
) -> judging.Scores:
  """What a mover's own critic says of its latents; empty if it has none."""
  single = mover.removesuffix(glossary.KEPT)
  real, labels = bound.train.sample(0), bound.train.attributes
  z, y = row.latents, row.attributes
  if single in bound.actors:
    _, critic, _, divergence = bound.actors[single]
    fake, true = critic(z, y), critic(real, labels)
  elif single.startswith('optimizer') or single == 'actor_then_optimizer':
    divergence = bound.realism.divergence
    fake, true = bound.realism_critic(z), bound.realism_critic(real)
  else:
    return {}
  return divergence.scores(true, fake)


def terms_of(
  config: ml_collections.ConfigDict, bound: loading.BoundMovers
) -> terms_lib.Terms | None:
  """The terms of what optimizer-G is asked, if the config adds any to it."""
  if not config.want and not len(config.constraints):
    return None
  return terms_lib.Terms(
    movers.make_want(bound, config.optimize),
    lambda images: images.astype(np.float32) / 255.0,
  )


class Asked(NamedTuple):
  """A contender, and what is asked of it.

  Attributes:
    contender: makes the row.
    target: of its mover.
    requested: [N, Y] labels that the row is judged by; None for none.
  """

  contender: moving.Contender
  target: constraints.Target
  requested: np.ndarray | None


def contenders(
  job: jobs.Job,
  replicate: int,
  bound: loading.BoundMovers,
  train: dataset.Dataset,
  y: np.ndarray,
) -> dict[str, Asked]:
  """Baselines and movers, by row; all but a few are asked for y.

  Those of `config.compare.rows` and the baseline, or all.
  """
  config = job.config
  chosen = movers.choices_of(job, replicate, bound, train)
  nothing = movers.make_target(np.zeros_like(y), np.zeros_like(y))
  others = functools.partial(alternatives.makers, job, replicate, train=train)
  free = unlabelled(config, bound, chosen) | others(alternatives.UNLABELLED)
  labelled = (
    baselines(config, bound, chosen)
    | mover_contenders(config, bound, chosen)
    | others(alternatives.LABELLED)
  )
  wanted = {*config.compare.rows, glossary.baseline(bound.labels.kind)}
  if not config.compare.rows:
    wanted = free.keys() | labelled.keys()
  return {
    name: Asked(make(), nothing, None)
    for name, make in free.items()
    if name in wanted
  } | {
    name: Asked(make(), movers.make_target(y), y)
    for name, make in labelled.items()
    if name in wanted
  }
