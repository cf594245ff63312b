"""What is chosen on validation images: by which rule, and once."""

import dataclasses
import json
import types as python_types
from typing import NamedTuple

import jax
import numpy as np
import pytest
from etils import epath

from configs import base
from lcjax import errors, types
from lcjax.experiment import (
  choices,
  chosen_mixtures,
  jobs,
  loading,
  validation,
  walks,
)
from lcjax.generators import latent_model
from lcjax.latent import encodings
from lcjax.movers import starts
from lcjax.movers.base import Moved

ROWS = np.arange(60)
NAMES = 'a', 'b'


def candidate(steps, score, frechet, recall, weight=2.0, kept=None):
  scores = {'score': score, 'frechet': frechet, 'knn_recall': recall}
  kept = {} if kept is None else {'score': kept[0], 'frechet': kept[1]}
  return walks.Candidate(walks.Setting(steps, 0.5, weight), scores, kept)


@pytest.mark.parametrize(
  ('name', 'chosen'),
  [
    ('short_walk', 1),
    ('one_step', 3),
    ('varied_walk', 2),
    ('short_walk_kept', 1),  # nothing was kept: as without
  ],
)
def test_least_frechet_of_what_is_as_accurate_as_real_images(name, chosen):
  found = [
    candidate(6, 0.90, 0.001, 0.99),  # best, but not accurate
    candidate(6, 0.96, 0.003, 0.80),
    candidate(4, 0.945, 0.004, 0.90),  # less than a point below
    candidate(1, 0.97, 0.002, 0.70),  # smooth: less recall
    candidate(1, 0.93, 0.002, 0.95),
  ]
  assert walks.best(found, 0.95, name) is found[chosen]


def test_with_tries_what_they_keep_is_compared():
  found = [
    candidate(6, 0.96, 0.003, 0.8, weight=6.0, kept=(0.98, 0.0035)),
    candidate(6, 0.90, 0.004, 0.9, weight=1.0, kept=(0.96, 0.002)),
    candidate(6, 0.80, 0.001, 0.9, weight=0.0, kept=(0.94, 0.001)),
  ]
  assert walks.best(found, 0.95, 'short_walk') is found[0]
  assert walks.best(found, 0.95, 'short_walk_kept') is found[1]


def test_without_requests_recall_guards_against_smooth_samples():
  found = [
    candidate(1, 0.0, 0.001, 0.80),  # smooth
    candidate(4, 0.0, 0.003, 0.90),
    candidate(6, 0.0, 0.004, 0.91),
  ]
  assert walks.best(found, 0.0, 'realism_walk') is found[1]


def test_without_an_accurate_candidate_the_most_accurate():
  found = [candidate(4, 0.5, 0.1, 0.1), candidate(6, 0.7, 0.2, 0.1)]
  assert walks.best(found, 0.95, 'short_walk') is found[1]
  assert walks.best(found, 0.95, 'one_step') is found[1]  # of none


def data_of(kind):
  rng = np.random.default_rng(0)
  y = np.eye(2, dtype=np.float32)[ROWS % 2]
  if kind is types.Bits:
    y = rng.integers(0, 2, (len(ROWS), 2)).astype(np.float32)
  mean = rng.normal(size=(len(ROWS), 2)).astype(np.float32) + 3 * y
  scale = np.full_like(mean, 0.1)
  return latent_model.LatentData(
    encodings.Encodings(mean, scale, y), kind(NAMES)
  )


class Real(NamedTuple):
  """Latents in place of images; `len` is their number."""

  images: np.ndarray
  attributes: np.ndarray
  labels: types.Labels

  def __len__(self):
    return len(self.images)


class Walk:
  """Moves by a setting's start time; counts how often it is asked."""

  def __init__(self):
    self.asked = []

  def __call__(self, setting, guided=True):
    assert guided or not setting.attribute_weight

    def mover(start, target, rows, key):
      self.asked.append(setting)
      return Moved(start + np.float32(setting.start_time), start)

    return mover


def accepts(chosen):
  """Accepts what was moved far."""
  return lambda moved, target: (moved.z - moved.start)[:, 0] > 0.5


def make(tmp_path, monkeypatch, kind=types.Classes, score=0.0, **walk):
  """Choices whose judge sees latents as they are, and what they ask."""
  config = base.get_config()
  config.walk.update(walk)
  config.mixture.num_components = config.mixture.unlabelled_components = (1, 2)
  data = data_of(kind)
  found = data.encodings

  def predict_fn(z):
    # Each attribute is there above 1.5.
    return 10.0 * (z - 1.5), z

  real = Real(found.mean, found.attributes, data.labels)
  monkeypatch.setattr(loading.build, 'load_data', lambda job, split: real)
  seen = validation.Validation(real, predict_fn, found.mean, score)
  monkeypatch.setattr(validation, 'load', lambda job, train: seen)
  read = {'version': 1}
  monkeypatch.setattr(
    choices.fingerprint, 'follows_from', lambda job, node, replicate: dict(read)
  )
  bound = python_types.SimpleNamespace(
    decode=lambda z: z, data=data, seed=0, labels=data.labels, train=found,
    latents=lambda data, split: encodings.Encodings(
      data.images, 0.1 * np.ones_like(data.images), data.attributes
    ),
    attribute_critic=lambda z: 10.0 * (z - 1.5),
    realism_critic=lambda z: z[:, 0],
  )  # fmt: skip
  walk = Walk()
  job = jobs.Job(config, epath.Path(tmp_path))
  return choices.Choices(job, 0, bound, real, walk, accepts), walk, read


def fresh(chosen):
  """The same, with nothing remembered."""
  return choices.Choices(
    chosen.job, 0, chosen.bound, chosen.train, chosen.make_walk, accepts
  )


def test_a_search_is_made_once_and_stored(tmp_path, monkeypatch):
  chosen, walk, read = make(
    tmp_path, monkeypatch, steps=(1, 2), start_times=(0.25, 0.75),
    attribute_weights=(2.0,),
  )  # fmt: skip
  settings = chosen.walks.settings
  assert set(settings) == {
    'short_walk', 'short_walk_kept', 'one_step', 'varied_walk',
    'realism_walk',
  }  # fmt: skip
  # The judge sees latents: the walk that moves them least is the nearest.
  assert settings['short_walk'].start_time == 0.25
  assert settings['one_step'] == walks.Setting(1, 0.25, 2.0)
  assert settings['realism_walk'] == walks.Setting(1, 0.25, 0.0)
  # What rejection sampling keeps here has too little recall.
  assert settings['short_walk_kept'] == settings['short_walk']
  assert len(walk.asked) == 4 + 4
  path = tmp_path / 'chosen/chosen.json'
  stored = json.loads(path.read_text())
  assert len(stored['guided']) == len(stored['unguided']) == 4
  assert fresh(chosen).walks == chosen.walks
  assert len(walk.asked) == 8
  read['version'] = 2
  assert fresh(chosen).walks.settings == settings
  assert len(walk.asked) == 16
  path.write_text('{')
  assert fresh(chosen).walks.settings == settings
  assert len(walk.asked) == 24


class Diverges(Walk):
  """Fails, or gives numbers that are not finite, below a start time."""

  def __init__(self, below, error):
    super().__init__()
    self.below, self.error = below, error

  def __call__(self, setting, labelled):
    moves = super().__call__(setting, labelled)

    def mover(start, target, rows, key):
      moved = moves(start, target, rows, key)
      if setting.start_time >= self.below:
        return moved
      if self.error:
        raise errors.UserError('z is not finite')
      return moved._replace(z=moved.z * np.nan)

    return mover


@pytest.mark.parametrize('error', [True, False])
def test_a_setting_that_diverges_is_passed_over(tmp_path, monkeypatch, error):
  chosen, _, _ = make(
    tmp_path, monkeypatch, steps=(1,), start_times=(0.25, 0.75),
    attribute_weights=(2.0, 3.0),
  )  # fmt: skip
  own = dataclasses.replace(chosen, make_walk=Diverges(0.5, error))
  found = own.walks.settings
  assert {setting.start_time for setting in found.values()} == {0.75}
  stored = json.loads((tmp_path / 'chosen/chosen.json').read_text())
  assert len(stored['guided']) == 2
  assert len(stored['unguided']) == 1
  assert len(stored['failed']) == 3
  (tmp_path / 'chosen/chosen.json').unlink()
  with pytest.raises(errors.UserError, match='no setting can be used'):
    _ = dataclasses.replace(chosen, make_walk=Diverges(2.0, error)).walks


def test_a_single_value_of_each_pins_the_walk(tmp_path, monkeypatch):
  chosen, walk, _ = make(
    tmp_path, monkeypatch, steps=(3,), start_times=(0.5,),
    attribute_weights=(1.0,),
  )  # fmt: skip
  settings = chosen.walks.settings
  assert settings['varied_walk'] == walks.Setting(3, 0.5, 1.0)
  assert settings['realism_walk'] == walks.Setting(3, 0.5, 0.0)
  assert not walk.asked
  assert not (tmp_path / 'chosen/chosen.json').exists()


def draw_all(chosen, asked):
  """Latents of all four mixtures."""
  both = *chosen.labelled, *chosen.unlabelled
  return [fitted.draw(*asked) for fitted in both]


@pytest.mark.parametrize('kind', [types.Classes, types.Bits])
def test_mixtures_are_fitted_once_and_stored(tmp_path, monkeypatch, kind):
  chosen, _, read = make(tmp_path, monkeypatch, kind)
  y = chosen.bound.data.encodings.attributes
  asked = {'attributes': (y, np.ones_like(y))}, ROWS, jax.random.key(3)
  drawn = draw_all(chosen, asked)

  def refuse(*arguments):
    raise AssertionError('fitted again')

  with monkeypatch.context() as patch:
    patch.setattr(chosen_mixtures.baselines, 'fit', refuse)
    patch.setattr(chosen_mixtures.baselines, 'fit_unlabelled', refuse)
    again = fresh(chosen)
    np.testing.assert_array_equal(draw_all(again, asked), drawn)
    assert again.labelled.narrow.seconds == chosen.labelled.narrow.seconds
    read['version'] = 2
    with pytest.raises(AssertionError, match='fitted again'):
      _ = fresh(chosen).labelled
  # Of the requested labels: an attribute lifts its dimension.
  for column in range(2):
    has = y[:, column] > 0.5
    lifted = drawn[0][has, column].mean() - drawn[0][~has, column].mean()
    assert lifted > 1.5
  assert isinstance(chosen.labelled.plain.draw, starts.MixtureStart)


@pytest.mark.parametrize('kind', [types.Classes, types.Bits])
def test_the_spread_of_a_narrow_mixture_is_chosen(tmp_path, monkeypatch, kind):
  # Of latents with a spread of 1, which a judge sees 2 times as wide.
  for wide, chosen_factor in ((1.0, 1.0), (2.0, 0.5)):
    folder = tmp_path / f'{wide}'
    chosen, _, _ = make(folder, monkeypatch, kind)
    chosen.job.config.mixture.update(
      num_components=(1,), unlabelled_components=(1,), narrow=(1.0, 0.75, 0.5)
    )
    real = chosen.validation
    centre = real.data.images.mean(axis=0)

    def sees(z, wide=wide, centre=centre):
      z = centre + wide * (z - centre)
      return 10.0 * (z - 1.5), z

    object.__setattr__(
      chosen, 'validation', real._replace(predict_fn=sees, score=0.0)
    )
    plain, narrow = chosen.unlabelled
    factor = np.sqrt(
      narrow.draw.model.covariances / plain.draw.model.covariances
    )
    np.testing.assert_allclose(factor, chosen_factor, atol=1e-6)
    assert narrow.seconds > plain.seconds


def test_a_narrow_mixture_is_as_accurate_as_real_images(tmp_path, monkeypatch):
  # Draws as they are have the least distance, and cross the border of classes.
  chosen, _, _ = make(tmp_path, monkeypatch, score=0.99)
  chosen.job.config.mixture.update(num_components=(1,), narrow=(1.0, 0.4))
  plain, narrow = chosen.labelled
  factor = np.sqrt(narrow.draw.model.covariances / plain.draw.model.covariances)
  np.testing.assert_allclose(factor, 0.4, atol=1e-6)


def test_no_factors_no_narrow_mixture(tmp_path, monkeypatch):
  chosen, _, _ = make(tmp_path, monkeypatch)
  chosen.job.config.mixture.narrow = ()
  assert chosen.labelled.narrow is None
  assert fresh(chosen).labelled.narrow is None


@pytest.mark.parametrize('kind', [types.Classes, types.Bits])
def test_thresholds_are_quantiles_of_real_rows(tmp_path, monkeypatch, kind):
  chosen, _, _ = make(tmp_path, monkeypatch, kind)
  found = chosen.bound.data.encodings
  z = encodings.Encodings(
    found.mean, 0.1 * np.ones_like(found.mean), found.attributes
  ).sample(0)
  realism = 1.0 / (1.0 + np.exp(-z[:, 0]))
  above = (realism >= chosen.realism_above(0.3)).mean()
  assert above == pytest.approx(0.7, abs=0.02)
  p = chosen.bound.labels.probabilities(10.0 * (z - 1.5))
  errors = np.abs(found.attributes - p)
  if kind is types.Classes:
    errors = errors.max(axis=1)
  below = (errors <= chosen.tolerance(0.1)).mean()
  assert below == pytest.approx(0.9, abs=0.02)
  assert chosen.tolerance(0.1) > 0
