"""A composition of `config.wants`, and the real samples that satisfy it."""

import dataclasses
from typing import NamedTuple

import ml_collections
import numpy as np

from lcjax.constraints import base as constraints
from lcjax.constraints import grammar
from lcjax.data import dataset
from lcjax.evaluation import glossary, judging, metrics
from lcjax.evaluation import terms as terms_lib
from lcjax.experiment import loading, movers, wants
from lcjax.movers import wrappers

LEAST_ROWS = 10  # that a Frechet distance is to, or a mixture is fitted to
FRECHET = 'frechet_satisfying'


class Request(NamedTuple):
  """A composition of `config.wants`, and who moves and judges it.

  Attributes:
    name: of the composition.
    bound: models of one replicate, which ask for the composition.
    terms: of the composition.
    labelled: whether it asks for labels.
  """

  name: str
  bound: loading.BoundMovers
  terms: terms_lib.Terms
  labelled: bool


def make_request(
  config: ml_collections.ConfigDict, bound: loading.BoundMovers, name: str
) -> Request:
  """Binds a composition, with realism, to the models of a replicate."""
  node = wants.parse_text(config, config.wants[name], f'config.wants.{name}')
  names = grammar.names(node)
  if wants.REALISM not in names:
    node = grammar.with_name(wants.REALISM, node)
  own = dataclasses.replace(
    bound, want=dataclasses.replace(bound.want, node=node)
  )
  terms = terms_lib.Terms(movers.make_want(own, config.optimize), _as_decoded)
  labelled = (
    wants.ATTRIBUTES in names
    and wants.ATTRIBUTES not in grammar.negated_names(node)
  )
  return Request(name, own, terms, labelled)


def _as_decoded(images: np.ndarray) -> np.ndarray:
  return images.astype(np.float32) / 255.0


class Real(NamedTuple):
  """Real samples of a split, as a judge sees them, and those that satisfy.

  Attributes:
    data: of the split.
    predict_fn: the judge.
    features: [K, F] of the samples that satisfy the request.
    satisfying: [N] bool.
  """

  data: dataset.Dataset
  predict_fn: judging.PredictFn
  features: np.ndarray
  satisfying: np.ndarray

  def labels(self, num_rows: int) -> np.ndarray:
    """[num_rows, Y]: as samples that satisfy the request have them.

    Those of all samples if none does.
    """
    y = self.data.attributes
    own = y[self.satisfying] if self.satisfying.any() else y
    return own[np.arange(num_rows) % len(own)]


def make_real(
  request: Request,
  data: dataset.Dataset,
  predict_fn: judging.PredictFn,
  features: np.ndarray,
) -> Real:
  """Asks which samples of a split satisfy a request; features are of all."""
  found = judging.satisfying(data, request.terms)
  if found is None:
    found = np.zeros(len(data), bool)
  return Real(data, predict_fn, features[found], found)


def judge(
  request: Request, real: Real, row: judging.Row, num_neighbours: int
) -> judging.Scores:
  """Shares that meet each term, and realism among samples that satisfy all."""
  logits, features = real.predict_fn(row.images)
  labels = real.data.labels
  met = request.terms.met(
    row.images, labels.predict(logits), row.attributes, row.latents
  )
  scores = row.scores | {
    f'{glossary.MET}{term}': float(found.mean()) for term, found in met.items()
  }
  if len(real.features) >= LEAST_ROWS:
    scores[FRECHET] = metrics.frechet_distance(features, real.features)
    one = np.ones((len(features), 1)), np.ones((len(real.features), 1))
    scores['satisfying_spread'] = metrics.diversity(
      features, one[0], real.features, one[1]
    )
  if min(len(features), len(real.features)) > num_neighbours:
    overlap = metrics.neighbour_values(features, real.features, num_neighbours)
    for name in ('knn_recall', 'coverage'):
      scores[f'satisfying_{name}'] = float(overlap[name].mean())
  return scores


def make_target(
  request: Request, labels: np.ndarray
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
  """The target of labels [N, Y], if the request asks for any."""
  return movers.make_target(
    labels, None if request.labelled else np.zeros_like(labels)
  )


def accept(request: Request) -> wrappers.Accept:
  """Whether decoded samples satisfy the request, by the rules themselves.

  Labels are those that D_attr sees at the encoding of the decoded sample: the
  judge has no part in it.
  """
  bound = request.bound

  def accepted(z: np.ndarray, target: constraints.Target) -> np.ndarray:
    images, (y, _) = bound.decode(z), target['attributes']
    seen = z if bound.model.encode_fn is None else bound.encode(images)[0]
    predicted = bound.labels.predict(bound.attribute_critic(seen))
    found = request.terms.met(images, np.asarray(predicted), np.asarray(y), z)
    return found.get(terms_lib.JOINTLY, np.zeros(len(z), bool))

  return accepted
