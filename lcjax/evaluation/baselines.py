"""Rows that movers are compared with: real data, and draws from a fit."""

import dataclasses
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from lcjax import types
from lcjax.evaluation import judging, moving
from lcjax.generators import latent_model
from lcjax.movers import starts, wrappers

# Rows that a mixture without labels is fitted to, at most: it has many more
# components to choose from than that of a class, and no fewer rows to fit.
_UNLABELLED_ROWS = 30_000


class Fitted(NamedTuple):
  """What draws latents with requested labels, and its fitting time."""

  draw: starts.MixtureStart
  seconds: float


def fit(
  data: latent_model.LatentData,
  num_components: int | Sequence[int],
  seed: int,
) -> Fitted:
  """Fits `mixture_start` to encoded data.

  Args:
    data: what it is fitted to.
    num_components: of each mixture, or several to choose from by the likelihood
      of held-out rows.
    seed: of the fit.
  """
  started = time.perf_counter()
  draw = starts.mixture_start(data, num_components, seed=seed)
  return Fitted(draw, time.perf_counter() - started)


def real_rows(
  judge: judging.Judge,
  decode: moving.Decode,
  encode: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]] | None,
) -> dict[str, judging.Row]:
  """Real samples, and reconstructions of held-out ones if there is an encoder.

  Args:
    judge: knows the real data.
    decode: of the model.
    encode: samples -> (mean, scale) of q(z|x), or None.
  """
  train, test = judge.train, judge.test
  some = np.random.default_rng(0).permutation(len(train))[: len(test)]
  rows = {
    'real': judging.Row(
      test.images, test.attributes, None, {}, against_test=False
    ),
    'real_train': judging.Row(
      train.images[some], train.attributes[some], None, {}, in_train=True
    ),
  }
  if encode is not None:
    mean, _ = encode(test.images)
    rows['reconstruction'] = judging.Row(
      decode(mean), test.attributes, mean, {}
    )
  return rows


def contender(fitted: Fitted) -> moving.Contender:
  """Draws of a fit."""
  scores = {
    'training_seconds': fitted.seconds,
    'components': float(len(fitted.draw.model.weights)),
  }
  mover = wrappers.start_at(fitted.draw, wrappers.stay())
  return moving.Contender(mover, scores)


def fit_unlabelled(
  data: latent_model.LatentData,
  num_components: int | Sequence[int],
  seed: int,
) -> Fitted:
  """`fit` without labels, to so many rows at most that it takes minutes."""
  order = np.random.default_rng(seed).permutation(len(data.encodings.mean))
  some = data.rows(np.sort(order[:_UNLABELLED_ROWS]))
  return fit(dataclasses.replace(some, labels=None), num_components, seed)


def labelled(
  data: latent_model.LatentData,
  num_components: int | Sequence[int],
  seed: int,
) -> dict[str, moving.Contender]:
  """Baselines with labels: models of z per class, or of z and attributes.

  Args:
    data: what they are fitted to, with labels.
    num_components: of the mixtures, or several to choose from.
    seed: of the fits.
  """
  kind = 'class' if isinstance(data.labels, types.Classes) else 'attribute'
  return {
    f'{kind}_gaussian': contender(fit(data, 1, seed)),
    f'{kind}_mixture': contender(fit(data, num_components, seed)),
  }
