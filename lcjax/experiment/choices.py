"""What is chosen on the validation split, by the second judge.

These are the sizes of mixtures, and the settings of short walks: the guided
denoiser from a draw of a mixture with a little noise. Each choice is made once
per replicate, stored with what it follows from, and made again without
--overwrite if that has changed, since it takes minutes at most.
"""

import dataclasses
import functools
import itertools
import json
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
import tqdm
from etils import epath

from lcjax import types
from lcjax.data import dataset
from lcjax.evaluation import baselines, glossary, judging, metrics
from lcjax.experiment import build, files, fingerprint, jobs, loading, stage
from lcjax.latent import encodings, mixtures
from lcjax.movers import base, starts

FOLDER = 'chosen'
_KEY = 'follows_from'
_NUM_NEIGHBOURS = 5  # k of the recall
_LEAST_ROWS = 2  # of the validation split; a covariance needs two


class Validation(NamedTuple):
  """Validation images, as the second judge sees them.

  Attributes:
    data: of the split.
    predict_fn: the second judge.
    features: [N, F] of the images.
    score: `glossary.score_metric` of the images.
  """

  data: dataset.Dataset
  predict_fn: judging.PredictFn
  features: np.ndarray
  score: float

  def judge(self, images: np.ndarray) -> dict[str, float]:
    """Score, Frechet distance and diversity of N samples; recall, if enough."""
    labels, y = self.data.labels, self.data.attributes
    logits, features = self.predict_fn(images)
    scores = metrics.classification_scores(labels.predict(logits), y, labels)
    found = {
      'score': scores[glossary.score_metric(labels.kind) or ''],
      'frechet': metrics.frechet_distance(features, self.features),
      'diversity': metrics.diversity(features, y, self.features, y),
    }
    if len(y) > _NUM_NEIGHBOURS:
      values = metrics.neighbour_values(
        features, self.features, _NUM_NEIGHBOURS
      )
      found['knn_recall'] = float(values['knn_recall'].mean())
    return found


def load_validation(job: jobs.Job, train: dataset.Dataset) -> Validation | None:
  """Restores the second judge; None if there are too few validation images."""
  data = build.load_data(job, 'validation')
  if len(data) < _LEAST_ROWS:
    return None
  predict_fn, _ = loading.load_predict_fn(job, stage.SECOND_CLASSIFIER, train)
  logits, features = predict_fn(data.images)
  scores = metrics.classification_scores(
    data.labels.predict(logits), data.attributes, data.labels
  )
  name = glossary.score_metric(data.labels.kind)
  assert name is not None  # every data set here has labels
  return Validation(data, predict_fn, features, scores[name])


def _path(job: jobs.Job, replicate: int, name: str) -> epath.Path:
  return stage.root_of(job.workdir, replicate) / FOLDER / name


def _arrays(draw: starts.MixtureStart) -> dict[str, np.ndarray]:
  """What a mixture consists of, as stored."""
  found = draw.model._asdict()
  if isinstance(draw.sampler, mixtures.AttributeSampler):
    found |= {'slope': draw.sampler.slope, 'intercept': draw.sampler.intercept}
  return found


def _mixture_of(
  arrays: dict[str, np.ndarray], known: np.ndarray
) -> starts.MixtureStart:
  """The opposite of `_arrays`; known are the labels [N, Y] of the data."""
  model = mixtures.Mixture(*(arrays[n] for n in mixtures.Mixture._fields))
  if 'slope' in arrays:
    line = arrays['slope'], arrays['intercept']
    sampler: Any = mixtures.AttributeSampler(*line, model)
  elif model.attributes.shape[1]:
    sampler = mixtures.ClassSampler(model)
  else:
    return starts.MixtureStart(model)
  return starts.MixtureStart(
    model, sampler, num_labels=known.shape[1], known=known
  )


def _load_or_fit_mixture(of: 'Choices', labelled: bool) -> baselines.Fitted:
  """The mixture that rows and starts share, of the size that was chosen.

  Of the numbers of components in `config.mixture`, the one whose samples have
  the least Frechet distance to validation images; without these, the likeliest
  for held-out encodings.
  """
  job, bound = of.job, of.bound
  name = 'labelled' if labelled else 'unlabelled'
  path = _path(job, of.replicate, f'{name}_mixture.npz')
  key = fingerprint.text(
    fingerprint.follows_from(job, stage.MIXTURES, of.replicate)
  )
  try:
    arrays = files.read_npz(path)
    if str(arrays[_KEY]) == key:
      return baselines.Fitted(
        _mixture_of(arrays, bound.train.attributes), float(arrays['seconds'])
      )
  except files.DAMAGE:
    pass  # missing or damaged

  validation = of.validation

  def cost(draw: starts.MixtureStart) -> float:
    assert validation is not None
    z = draw(*_asked(validation), jax.random.key(bound.seed))
    _, features = validation.predict_fn(bound.decode(z))
    return metrics.frechet_distance(features, validation.features)

  section = job.config.mixture
  sizes = section.num_components if labelled else section.unlabelled_components
  print(f'mixtures: fitting the {name} one', flush=True)
  fit = baselines.fit if labelled else baselines.fit_unlabelled
  found = fit(bound.data, sizes, bound.seed, cost if validation else None)
  note = {_KEY: np.array(key), 'seconds': np.array(found.seconds)}
  files.write_npz(path, **_arrays(found.draw), **note)
  return found


def _asked(validation: Validation) -> tuple[dict[str, Any], np.ndarray]:
  """Target and row numbers of the validation images' own labels."""
  y = validation.data.attributes
  return {'attributes': (y, np.ones_like(y))}, np.arange(len(y))


class Setting(NamedTuple):
  """Of a short walk; see `config.walk`.

  Attributes:
    steps: evaluations of the denoiser.
    start_time: noise time to which the draw of the mixture is noised.
    attribute_weight: of the guidance.
  """

  steps: int
  start_time: float
  attribute_weight: float


class Candidate(NamedTuple):
  """A setting, and what the second judge says of it on validation images."""

  setting: Setting
  scores: dict[str, float]


_SLACK = 0.01  # of the score of a varied walk, below that of real images


def best(
  candidates: Sequence[Candidate], real_score: float, name: str
) -> Candidate:
  """The candidate of a row.

  Of those whose score is at least that of real images, or else of the one with
  the highest score: the one of least Frechet distance; for 'one_step', among
  single steps; for 'varied_walk', the one of highest recall, with a score of at
  most a point less.
  """
  if name == 'one_step':
    single = [one for one in candidates if one.setting.steps == 1]
    candidates = single or candidates
  varied = name == 'varied_walk'
  least = real_score - _SLACK if varied else real_score
  least = min(least, max(one.scores['score'] for one in candidates))
  fits = [one for one in candidates if one.scores['score'] >= least]
  if varied:
    return max(fits, key=lambda one: one.scores.get('knn_recall', 0.0))
  return min(fits, key=lambda one: one.scores['frechet'])


def settings(section: Any, guided: bool) -> list[Setting]:
  """The candidates of `config.walk`, without guidance or with it."""
  weights = section.attribute_weights if guided else (0.0,)
  return [
    Setting(int(steps), float(start), float(weight))
    for steps, start, weight in itertools.product(
      section.steps, section.start_times, weights
    )
  ]


_LEAST_TOLERANCE = 1e-6  # below, rounding decides


class _HeldOut(NamedTuple):
  """What the critics say of held-out encodings.

  Attributes:
    realism: [N] of D_realism.
    errors: [N] largest |y - D_attr| of a row of classes; of bits [N Y] each, as
      at most real rows one bit of many is wrong.
  """

  realism: np.ndarray
  errors: np.ndarray


def _ask_critics(job: jobs.Job, bound: loading.BoundCritics) -> _HeldOut:
  """Of validation rows; of training rows if there are too few of them."""
  data, found = build.load_data(job, 'validation'), bound.train
  if len(data) >= _LEAST_ROWS:
    mean, scale = bound.encode(data.images)
    found = encodings.Encodings(mean, scale, data.attributes)
  z, y = found.sample(bound.seed), found.attributes
  errors = np.abs(y - bound.labels.probabilities(bound.attribute_critic(z)))
  if isinstance(bound.labels, types.Classes):
    errors = errors.max(axis=1)
  realism = jax.nn.sigmoid(bound.realism_critic(z))
  return _HeldOut(np.asarray(realism), errors.ravel())


class Walks(NamedTuple):
  """Settings by row, and the seconds of the search for them."""

  settings: dict[str, Setting]
  seconds: float


@dataclasses.dataclass(frozen=True)
class Choices:
  """What is chosen for one replicate; every part is made when first used.

  Attributes:
    job: config and workdir of the run.
    replicate: index from 0.
    bound: models of the replicate.
    train: the training split.
    make_walk: (setting, guided) -> its mover, which starts where it is told to;
      guided unless that is False.
  """

  job: jobs.Job
  replicate: int
  bound: loading.BoundCritics
  train: dataset.Dataset
  make_walk: Callable[..., base.Mover]

  @functools.cached_property
  def validation(self) -> Validation | None:
    """What chooses."""
    return load_validation(self.job, self.train)

  @functools.cached_property
  def _held_out(self) -> '_HeldOut':
    return _ask_critics(self.job, self.bound)

  def realism_above(self, quantile: float) -> float:
    """The value that D_realism exceeds at all but this share of real rows."""
    return float(np.quantile(self._held_out.realism, quantile))

  def tolerance(self, quantile: float) -> float:
    """What |y - D_attr| stays below at all but this share of real rows."""
    found = np.quantile(self._held_out.errors, 1.0 - quantile)
    return max(float(found), _LEAST_TOLERANCE)

  @functools.cached_property
  def labelled(self) -> baselines.Fitted:
    """The mixture that draws requested labels."""
    return _load_or_fit_mixture(self, labelled=True)

  @functools.cached_property
  def unlabelled(self) -> baselines.Fitted:
    """The mixture of all encodings."""
    return _load_or_fit_mixture(self, labelled=False)

  @functools.cached_property
  def walks(self) -> 'Walks':
    """The settings of the rows of short walks."""
    return _load_or_search(self)


def _load_or_search(of: Choices) -> Walks:
  """Reads or makes `chosen.json`: all candidates, their scores, the choices.

  A config with a single value of each kind leaves nothing to choose: it pins
  the setting. Without validation images, the first candidate is taken.
  """
  job, replicate, validation = of.job, of.replicate, of.validation
  section = job.config.walk
  guided, free = settings(section, True), settings(section, False)
  if validation is None or len(guided) == 1:
    pinned = dict.fromkeys(glossary.WALKS, guided[0])
    return Walks(pinned | {glossary.REALISM_WALK: free[0]}, 0.0)
  path = _path(job, replicate, 'chosen.json')
  key = json.loads(
    json.dumps(fingerprint.follows_from(job, stage.WALKS, replicate))
  )
  try:
    stored = json.loads(path.read_text())
    before = {'want': ''}  # older versions had no `config.want`
    if before | stored[_KEY] == before | key:
      rows = stored['rows'].items()
      return Walks(
        {name: Setting(**one['setting']) for name, one in rows},
        float(stored['seconds']),
      )
  except (*files.DAMAGE, TypeError):
    pass  # missing or damaged
  target, numbers = _asked(validation)
  first_key, key_of_walks = jax.random.split(jax.random.key(of.bound.seed))
  # Before the clock: fits have seconds of their own.
  draws = of.labelled.draw, of.unlabelled.draw
  found: list[list[Candidate]] = []
  started = time.perf_counter()
  count = len(guided) + len(free)
  quiet = jax.process_index() != 0
  with tqdm.tqdm(total=count, desc='short walks', disable=quiet) as bar:
    for candidates, draw, is_guided in zip(
      (guided, free), draws, (True, False), strict=True
    ):
      begun = draw(target, numbers, first_key)
      found.append([])
      for setting in candidates:
        walk = of.make_walk(setting, is_guided)
        moved = walk(begun, target, numbers, key_of_walks)
        scores = validation.judge(of.bound.decode(moved.z))
        found[-1].append(Candidate(setting, scores))
        bar.update()
  with_labels, without = found
  chosen = {
    name: best(with_labels, validation.score, name) for name in glossary.WALKS
  }
  # Nothing is requested, so there is no score to reach.
  chosen[glossary.REALISM_WALK] = best(without, 0.0, glossary.REALISM_WALK)
  seconds = time.perf_counter() - started
  files.write_json(
    path,
    {
      'rows': {name: _plain(one) for name, one in chosen.items()},
      'score_of_real_images': validation.score,
      'seconds': seconds,
      'guided': [_plain(one) for one in with_labels],
      'unguided': [_plain(one) for one in without],
      _KEY: key,
    },
  )
  return Walks({name: one.setting for name, one in chosen.items()}, seconds)


def _plain(one: Candidate) -> dict[str, Any]:
  return {'setting': one.setting._asdict()} | one.scores
