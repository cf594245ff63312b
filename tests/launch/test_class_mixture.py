"""The fitted mixture: kept, reused, fitted again when it has to be."""

import numpy as np
import pytest
from etils import epath

from configs import base
from lcjax.experiment import class_mixture, jobs
from lcjax.latent import encodings


@pytest.fixture
def train():
  rng = np.random.default_rng(0)
  labels = np.arange(60) % 2
  mean = (rng.normal(size=(60, 3)) + 5.0 * labels[:, None]).astype(np.float32)
  y = np.eye(2, dtype=np.float32)[labels]
  return encodings.Encodings(mean, np.full((60, 3), 0.1, np.float32), y)


def job_with(tmp_path, **changes):
  config = base.get_config()
  config.mixture.denoiser_components = 3
  config.update_from_flattened_dict(changes)
  return jobs.Job(config, epath.Path(tmp_path))


def test_a_fit_is_read_the_second_time(tmp_path, train, capsys):
  job = job_with(tmp_path)
  first = class_mixture.load_or_fit(job, 0, train)
  assert 'fitting 3 components' in capsys.readouterr().out
  again = class_mixture.load_or_fit(job, 0, train)
  assert not capsys.readouterr().out
  assert again.seconds == first.seconds > 0
  for one, other in zip(first.mixture, again.mixture, strict=True):
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
  'change',
  [{'mixture.denoiser_components': 2}, {'seed': 1}, {'vae.beta': 2.0}],
)
def test_another_config_is_fitted_anew(tmp_path, train, capsys, change):
  class_mixture.load_or_fit(job_with(tmp_path), 0, train)
  capsys.readouterr()
  found = class_mixture.load_or_fit(job_with(tmp_path, **change), 0, train)
  assert 'fitting' in capsys.readouterr().out
  count = change.get('mixture.denoiser_components', 3)
  assert len(found.mixture.weights) == 2 * count


@pytest.mark.parametrize(
  'damage',
  [
    lambda content: content[:20],
    lambda content: b'',
    lambda content: content[:90] + bytes(40) + content[130:],
  ],
)
def test_a_damaged_file_is_replaced(tmp_path, train, damage):
  job = job_with(tmp_path)
  first = class_mixture.load_or_fit(job, 0, train).mixture
  path = tmp_path / class_mixture.FOLDER / 'mixture.npz'
  path.write_bytes(damage(path.read_bytes()))
  again = class_mixture.load_or_fit(job, 0, train).mixture
  np.testing.assert_array_equal(first.means, again.means)


def test_a_replicate_has_its_own(tmp_path, train):
  class_mixture.load_or_fit(job_with(tmp_path), 1, train)
  assert (tmp_path / 'seeds' / '1' / class_mixture.FOLDER).is_dir()
  assert not (tmp_path / class_mixture.FOLDER).exists()


def test_the_denoiser_takes_none_unless_asked(tmp_path, train):
  job = job_with(tmp_path)
  assert class_mixture.for_denoiser(job, 0, train) is None
  job = job_with(tmp_path, **{'denoise.mixture_above': 0.4})
  assert class_mixture.for_denoiser(job, 0, train) is not None
