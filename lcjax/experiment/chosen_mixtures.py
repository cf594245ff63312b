"""The mixtures that rows and starts share: fitted, chosen and stored once."""

import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from etils import epath

from lcjax.evaluation import baselines
from lcjax.experiment import loading, stored_fits, validation
from lcjax.latent import mixtures
from lcjax.movers import starts


class Chosen(NamedTuple):
  """Mixtures of the sizes that are best on validation images.

  Attributes:
    plain: as fitted.
    narrow: with components of less spread, see `mixtures.narrowed`; None
      without candidates for the factor.
  """

  plain: baselines.Fitted
  narrow: baselines.Fitted | None


_NAMES = 'labelled', 'unlabelled'


def _file(name: str, part: str) -> str:
  return f'{name}_{part}.npz'


# All files of `load_or_fit`.
FILES = tuple(_file(name, part) for name in _NAMES for part in Chosen._fields)


class _Candidate(NamedTuple):
  """A size and a factor, and what the second judge says of its draws."""

  draw: starts.MixtureStart
  factor: float
  scores: dict[str, float]


def _scores(one: _Candidate) -> dict[str, float]:
  return one.scores


def _arrays(fitted: baselines.Fitted) -> dict[str, np.ndarray]:
  """What a mixture consists of, as stored."""
  draw = fitted.draw
  found = draw.model._asdict()
  if isinstance(draw.sampler, mixtures.AttributeSampler):
    found |= {'slope': draw.sampler.slope, 'intercept': draw.sampler.intercept}
  return found | {'seconds': np.array(fitted.seconds)}


def _fitted_of(
  arrays: dict[str, np.ndarray], known: np.ndarray
) -> baselines.Fitted:
  """The opposite of `_arrays`; known are the labels [N, Y] of the data."""
  model = mixtures.Mixture(*(arrays[n] for n in mixtures.Mixture._fields))
  if 'slope' in arrays:
    line = arrays['slope'], arrays['intercept']
    sampler: Any = mixtures.AttributeSampler(*line, model)
  elif model.attributes.shape[1]:
    sampler = mixtures.ClassSampler(model)
  else:
    sampler = None
  draw = starts.MixtureStart(model)
  if sampler is not None:
    draw = starts.MixtureStart(
      model, sampler, num_labels=known.shape[1], known=known
    )
  return baselines.Fitted(draw, float(arrays['seconds']))


def load_or_fit(
  folder: epath.Path,
  key: dict[str, Any],
  bound: loading.BoundCritics,
  section: Any,
  real: validation.Validation | None,
  labelled: bool,
) -> Chosen:
  """Reads what is stored for `key`, or fits and chooses.

  Of the numbers of components, the one is taken whose draws have the least
  Frechet distance to validation images; without these, the likeliest for
  held-out encodings. A narrow mixture may have another number: all numbers
  compete with all factors, by the rule of short walks.

  Args:
    folder: for the files.
    key: what the choice follows from.
    bound: models of one replicate.
    section: `config.mixture`.
    real: validation images; None if there are too few.
    labelled: whether to draw requested labels.
  """
  name = _NAMES[not labelled]
  paths = {part: folder / _file(name, part) for part in Chosen._fields}
  factors = tuple(section.narrow) if real is not None else ()
  plain, narrow = (stored_fits.read(path, key) for path in paths.values())
  known = bound.train.attributes
  if plain is not None and (narrow or not factors):
    return Chosen(
      _fitted_of(plain, known), _fitted_of(narrow, known) if narrow else None
    )
  print(f'mixtures: fitting the {name} one', flush=True)
  sizes = section.num_components if labelled else section.unlabelled_components
  fit = baselines.fit if labelled else baselines.fit_unlabelled
  if real is None:
    found = Chosen(fit(bound.data, sizes, bound.seed), None)
  else:
    fits = [fit(bound.data, size, bound.seed) for size in sizes]
    found = _choose(fits, factors, bound, real, labelled)
  for part, fitted in found._asdict().items():
    if fitted is not None:
      stored_fits.write(paths[part], key, _arrays(fitted))
  return found


def _choose(
  fits: Sequence[baselines.Fitted],
  factors: Sequence[float],
  bound: loading.BoundCritics,
  real: validation.Validation,
  labelled: bool,
) -> Chosen:
  """The best of all sizes as they are, and the best of all with all factors.

  The seconds of both contain those of every fit that they were chosen from.
  """
  key = jax.random.key(bound.seed)

  def candidate(draw: starts.MixtureStart, factor: float) -> _Candidate:
    z = draw.narrowed(factor)(*real.ask(), key)
    return _Candidate(draw, factor, real.judge(bound.decode(z)).scores())

  started, seconds = time.perf_counter(), sum(one.seconds for one in fits)
  plain = [candidate(one.draw, 1.0) for one in fits]
  first = validation.least_frechet(plain, _scores)
  plain_seconds = seconds + time.perf_counter() - started
  fitted = baselines.Fitted(first.draw, plain_seconds)
  if not factors:
    return Chosen(fitted, None)
  others = [
    candidate(one.draw, factor)
    for one in fits
    for factor in factors
    if factor != 1.0
  ]
  least = real.score * labelled
  accurate = validation.as_accurate([*plain, *others], least, _scores)
  best = validation.least_frechet(accurate, _scores)
  narrow = baselines.Fitted(
    best.draw.narrowed(best.factor), seconds + time.perf_counter() - started
  )
  return Chosen(fitted, narrow)
