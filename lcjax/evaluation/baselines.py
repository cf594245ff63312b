"""Rows that movers are compared with: real data, and draws from a fit."""

import time
from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np

from lcjax import types
from lcjax.evaluation import judging
from lcjax.generators import latent_model
from lcjax.latent import samplers
from lcjax.movers import starts

# z [B, Z] -> samples [B, ...] of the shape and dtype of the real ones
Decode = Callable[[np.ndarray], np.ndarray]


class Fitted(NamedTuple):
  """What draws latents with requested labels, and its fitting time."""

  draw: starts.Start
  seconds: float


class Accept(NamedTuple):
  """The test of rejection sampling.

  Attributes:
    fn: (z [B, Z], y [B, Y]) -> [B] booleans.
    seconds: training time of what it asks; None if unknown.
  """

  fn: Callable[[np.ndarray, np.ndarray], np.ndarray]
  seconds: float | None


def fit(
  data: latent_model.LatentData, num_components: int, seed: int
) -> Fitted:
  """Fits `mixture_start` to encoded data."""
  started = time.perf_counter()
  draw = starts.mixture_start(data, num_components, seed=seed)
  return Fitted(draw, time.perf_counter() - started)


def real_rows(
  judge: judging.Judge,
  decode: Decode,
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


def drawn_row(
  draw: Callable[[np.ndarray], np.ndarray],
  decode: Decode,
  y: np.ndarray,
  batch_size: int,
  training_seconds: float | None,
) -> judging.Row:
  """A row of latents that are drawn without a start.

  Args:
    draw: y [N, Y] -> z [N, Z].
    decode: of the model.
    y: requested attributes.
    batch_size: rows of the call that compiles, before the clock starts.
    training_seconds: of what draws; None if unknown.
  """
  z, seconds = judging.timed(draw, batch_size, y)
  scores = {'latents_per_second': len(y) / seconds}
  if training_seconds is not None:
    scores['training_seconds'] = training_seconds
  return judging.Row(decode(z), y, z, scores)


def mixture_row(
  data: latent_model.LatentData,
  decode: Decode,
  y: np.ndarray,
  num_components: int,
  seed: int,
  batch_size: int,
) -> judging.Row:
  """The baseline without labels: a mixture fitted to all encodings.

  Args:
    data: what the mixture is fitted to; its labels are not read.
    decode: of the model.
    y: [N, Y], of which only N matters.
    num_components: of the mixture.
    seed: of the fit and the draws.
    batch_size: see `drawn_row`.
  """
  fitted = fit(
    latent_model.LatentData(data.encodings, None), num_components, seed
  )
  key = jax.random.key(seed)

  def draw(y: np.ndarray) -> np.ndarray:
    return fitted.draw({}, np.arange(len(y)), key)

  row = drawn_row(draw, decode, y, batch_size, fitted.seconds)
  return row._replace(attributes=None)


def labelled_rows(
  data: latent_model.LatentData,
  decode: Decode,
  y: np.ndarray,
  num_components: int,
  seed: int,
  batch_size: int,
  accept: Accept | None,
  several: Fitted | None = None,
) -> dict[str, judging.Row]:
  """Baselines with labels: models of z per class, or of z and attributes.

  Args:
    data: what they are fitted to, with labels.
    decode: of the model.
    y: [N, Y] requested attributes.
    num_components: of the mixtures.
    seed: of the fits and the draws.
    batch_size: see `drawn_row`.
    accept: the test of the row with rejection sampling; None for no such row.
    several: the fit with `num_components`, if it was made before.
  """
  key = jax.random.key(seed)
  one = fit(data, 1, seed)
  several = several or fit(data, num_components, seed)

  def make(fitted: Fitted, accept: Accept | None) -> judging.Row:
    def draw_round(y: np.ndarray, rows: np.ndarray, number: int) -> np.ndarray:
      round_key = jax.random.fold_in(key, number)
      return fitted.draw({'attributes': y}, rows, round_key)

    def draw(y: np.ndarray) -> np.ndarray:
      if accept is None:
        return draw_round(y, np.arange(len(y)), 0)
      return samplers.keep_accepted(draw_round, accept.fn, y)

    training: float | None = fitted.seconds
    if accept is not None:
      asked = accept.seconds
      training = None if asked is None else fitted.seconds + asked
    return drawn_row(draw, decode, y, batch_size, training)

  kind = 'class' if isinstance(data.labels, types.Classes) else 'attribute'
  rows = {
    f'{kind}_gaussian': make(one, None),
    f'{kind}_mixture': make(several, None),
  }
  if accept is not None:
    rows[f'{kind}_mixture_kept'] = make(several, accept)
  return rows
