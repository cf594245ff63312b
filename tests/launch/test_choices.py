"""What is chosen on validation images: by which rule, and once."""

import json
import types as python_types
from typing import NamedTuple

import jax
import numpy as np
import pytest
from etils import epath

from configs import base
from lcjax import types
from lcjax.experiment import choices, jobs
from lcjax.generators import latent_model
from lcjax.latent import encodings
from lcjax.movers import starts
from lcjax.movers.base import Moved

ROWS = np.arange(60)
NAMES = 'a', 'b'


def candidate(steps, score, frechet, recall):
  scores = {'score': score, 'frechet': frechet, 'knn_recall': recall}
  return choices.Candidate(choices.Setting(steps, 0.5, 2.0), scores)


@pytest.mark.parametrize(
  ('name', 'chosen'),
  [('short_walk', 1), ('one_step', 3), ('varied_walk', 2), ('realism_walk', 1)],
)
def test_least_frechet_of_what_is_as_accurate_as_real_images(name, chosen):
  found = [
    candidate(6, 0.90, 0.001, 0.99),  # best, but not accurate
    candidate(6, 0.96, 0.003, 0.80),
    candidate(4, 0.945, 0.004, 0.90),  # less than a point below
    candidate(1, 0.97, 0.005, 0.70),
    candidate(1, 0.93, 0.002, 0.95),
  ]
  assert choices.best(found, 0.95, name) is found[chosen]


def test_without_an_accurate_candidate_the_most_accurate():
  found = [candidate(4, 0.5, 0.1, 0.1), candidate(6, 0.7, 0.2, 0.1)]
  assert choices.best(found, 0.95, 'short_walk') is found[1]
  assert choices.best(found, 0.95, 'one_step') is found[1]  # of none


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


def make(tmp_path, monkeypatch, kind=types.Classes, **walk):
  """Choices whose judge sees latents as they are, and what they ask."""
  config = base.get_config()
  config.walk.update(walk)
  config.mixture.num_components = config.mixture.unlabelled_components = (1, 2)
  config.compare.num_neighbours = 3
  data = data_of(kind)
  found = data.encodings

  def predict_fn(z):
    # Each attribute is there above 1.5.
    return 10.0 * (z - 1.5), z

  real = Real(found.mean, found.attributes, data.labels)
  monkeypatch.setattr(choices.build, 'load_data', lambda job, split: real)
  validation = choices.Validation(real, predict_fn, found.mean, 0.0)
  monkeypatch.setattr(choices, 'load_validation', lambda job, train: validation)
  read = {'version': 1}
  monkeypatch.setattr(
    choices.fingerprint, 'follows_from', lambda job, node, replicate: dict(read)
  )
  bound = python_types.SimpleNamespace(
    decode=lambda z: z, data=data, seed=0, labels=data.labels, train=found,
    encode=lambda x: (x, 0.1 * np.ones_like(x)),
    attribute_critic=lambda z: 10.0 * (z - 1.5),
    realism_critic=lambda z: z[:, 0],
  )  # fmt: skip
  walks = Walk()
  job = jobs.Job(config, epath.Path(tmp_path))
  return choices.Choices(job, 0, bound, real, walks), walks, read


def fresh(chosen):
  """The same, with nothing remembered."""
  return choices.Choices(
    chosen.job, 0, chosen.bound, chosen.train, chosen.make_walk
  )


def test_a_search_is_made_once_and_stored(tmp_path, monkeypatch):
  chosen, walks, read = make(
    tmp_path, monkeypatch, steps=(1, 2), start_times=(0.25, 0.75),
    attribute_weights=(2.0,),
  )  # fmt: skip
  settings = chosen.walks.settings
  assert set(settings) == {
    'short_walk', 'one_step', 'varied_walk', 'realism_walk',
  }  # fmt: skip
  # The judge sees latents: the walk that moves them least is the nearest.
  assert settings['short_walk'].start_time == 0.25
  assert settings['one_step'] == choices.Setting(1, 0.25, 2.0)
  assert settings['realism_walk'] == choices.Setting(1, 0.25, 0.0)
  assert len(walks.asked) == 4 + 4
  path = tmp_path / 'chosen/chosen.json'
  stored = json.loads(path.read_text())
  assert len(stored['guided']) == len(stored['unguided']) == 4
  assert fresh(chosen).walks == chosen.walks
  assert len(walks.asked) == 8
  read['version'] = 2
  assert fresh(chosen).walks.settings == settings
  assert len(walks.asked) == 16
  path.write_text('{')
  assert fresh(chosen).walks.settings == settings
  assert len(walks.asked) == 24


def test_a_single_value_of_each_pins_the_walk(tmp_path, monkeypatch):
  chosen, walks, _ = make(
    tmp_path, monkeypatch, steps=(3,), start_times=(0.5,),
    attribute_weights=(1.0,),
  )  # fmt: skip
  settings = chosen.walks.settings
  assert settings['varied_walk'] == choices.Setting(3, 0.5, 1.0)
  assert settings['realism_walk'] == choices.Setting(3, 0.5, 0.0)
  assert not walks.asked
  assert not (tmp_path / 'chosen/chosen.json').exists()


@pytest.mark.parametrize('kind', [types.Classes, types.Bits])
def test_mixtures_are_fitted_once_and_stored(tmp_path, monkeypatch, kind):
  chosen, _, read = make(tmp_path, monkeypatch, kind)
  y = chosen.bound.data.encodings.attributes
  asked = {'attributes': (y, np.ones_like(y))}, ROWS, jax.random.key(3)
  drawn = chosen.labelled.draw(*asked), chosen.unlabelled.draw(*asked)

  def refuse(*arguments):
    raise AssertionError('fitted again')

  with monkeypatch.context() as patch:
    patch.setattr(choices.baselines, 'fit', refuse)
    patch.setattr(choices.baselines, 'fit_unlabelled', refuse)
    again = fresh(chosen)
    np.testing.assert_array_equal(again.labelled.draw(*asked), drawn[0])
    np.testing.assert_array_equal(again.unlabelled.draw(*asked), drawn[1])
    assert again.labelled.seconds == chosen.labelled.seconds
    read['version'] = 2
    with pytest.raises(AssertionError, match='fitted again'):
      _ = fresh(chosen).labelled
  # Of the requested labels: an attribute lifts its dimension.
  for column in range(2):
    has = y[:, column] > 0.5
    lifted = drawn[0][has, column].mean() - drawn[0][~has, column].mean()
    assert lifted > 1.5
  assert isinstance(chosen.labelled.draw, starts.MixtureStart)


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
