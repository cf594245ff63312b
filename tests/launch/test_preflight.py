"""What would fail hours later is said before the first training."""

import os

import numpy as np
import pytest
from etils import epath

from configs import celeba, digits
from lcjax import errors, types
from lcjax.data import dataset
from lcjax.experiment import build, jobs, preflight, stage
from tests.launch.test_pipeline import TINY, launch

NAMES = ('a', 'b', 'c')


def split_of(counts, labels=types.Classes):
  """A split with so many rows of every class."""
  y = np.repeat(np.eye(len(counts), dtype=np.float32), counts, axis=0)
  images = np.zeros((len(y), 8, 8, 1), np.uint8)
  return dataset.Dataset(images, y, labels(NAMES[: len(counts)]))


@pytest.fixture
def job(tmp_path, monkeypatch):
  """A run that is fine, of data that a test may change."""
  config = digits.get_config()
  config.compare.num_neighbours = 3
  found = {
    'train': split_of((5, 5, 5)),
    'validation': split_of((2, 2, 2)),
    'test': split_of((4, 4, 4)),
  }
  monkeypatch.setattr(build, 'load_data', lambda job, split: found[split])
  job = jobs.Job(config, epath.Path(tmp_path / 'run'))
  preflight.check_pipeline(job)
  return job, found


def refused(job):
  with pytest.raises(errors.UserError) as raised:
    preflight.check_pipeline(job)
  assert not job.workdir.exists() or not list(job.workdir.glob('*/*'))
  return str(raised.value)


@pytest.mark.parametrize(
  ('counts', 'said'),
  [
    ((5, 0, 5), "class 'b', and the train split no row"),
    ((5, 1, 5), "class 'b', and the train split a single row"),
  ],
)
def test_a_class_that_is_requested_and_not_trained(job, counts, said):
  job, found = job
  found['train'] = split_of(counts)
  assert said in refused(job)


def test_a_class_of_one_row_that_nobody_requests(job):
  job, found = job
  found['train'], found['test'] = split_of((5, 1, 5)), split_of((4, 0, 4))
  assert "train split has a single row of the class 'b'" in refused(job)
  found['train'] = split_of((5, 0, 5))  # it occurs nowhere
  preflight.check_pipeline(job)


def test_too_many_neighbours(job):
  job, _ = job
  job.config.compare.num_neighbours = 12
  assert 'num_neighbours=12 must be below 12' in refused(job)


def test_a_mixture_of_classes_without_classes(job):
  job, found = job
  for name in found:
    found[name] = split_of((4, 4, 4), types.Bits)
  job.config.compare.num_neighbours = 3
  assert 'mixture_above=0.4 needs classes' in refused(job)
  job.config.denoise.mixture_above = 1.0
  preflight.check_pipeline(job)


def test_celeba_is_known_to_have_no_classes_before_it_is_read(
  tmp_path, monkeypatch
):
  config = celeba.get_config()
  config.denoise.mixture_above = 0.4
  monkeypatch.setattr(build, 'load_data', lambda job, split: pytest.fail(split))
  job = jobs.Job(config, epath.Path(tmp_path / 'run'))
  assert 'mixture_above=0.4 needs classes' in refused(job)


def test_networks_beyond_the_memory(job):
  job, _ = job
  job.config.vae.hidden_sizes = (10_000_000, 10_000_000)
  said = refused(job)
  assert 'config.vae: parameters and optimiser take' in said and 'GiB' in said


def test_the_state_is_counted(job, monkeypatch):
  job, _ = job
  sizes = []
  real = preflight.state_bytes
  monkeypatch.setattr(
    preflight,
    'state_bytes',
    lambda make: sizes.append(real(make)) or sizes[-1],
  )
  preflight.check(job, [stage.DENOISER], judges=False)
  state = build_state(job.config)
  assert sizes == [sum(leaf.nbytes for leaf in state)]


def build_state(config):
  import jax

  from lcjax.experiment import train_denoiser

  networks = build.build_networks(config, split_of((5, 5, 5)))
  return jax.tree.leaves(train_denoiser.make_state(config, networks, 0)())


@pytest.mark.parametrize(
  'place', ['run', 'run/vae', 'run/seeds', 'run/compare']
)
def test_a_file_where_a_folder_is_to_be_made(job, place, tmp_path):
  job, _ = job
  path = tmp_path / place
  path.parent.mkdir(exist_ok=True)
  path.write_text('')
  if place == 'run/compare':  # not what launch.ablate leaves
    (tmp_path / 'run' / 'config.json').write_text('{}')
  assert f'{path} is a file' in refused(job)


@pytest.mark.parametrize('left', ['ablations.json', 'groups', 'compare'])
def test_a_workdir_of_ablate(job, left):
  job, _ = job
  (job.workdir / left).mkdir(parents=True)
  assert 'is one of launch.ablate' in refused(job)


@pytest.mark.parametrize('left', ['vae/checkpoints', 'compare/runs'])
def test_a_copy_of_a_run_without_its_config_is_a_run(tmp_path, left):
  (tmp_path / left).mkdir(parents=True)
  (tmp_path / 'compare').mkdir(exist_ok=True)
  preflight.check_workdir(epath.Path(tmp_path))
  with pytest.raises(errors.UserError, match='holds a run'):
    preflight.check_ablate_workdir(epath.Path(tmp_path))


@pytest.mark.parametrize('left', ['groups/vae', 'compare', 'cache'])
def test_ablations_go_on_in_their_workdir(tmp_path, left):
  (tmp_path / left).mkdir(parents=True)
  (tmp_path / 'default' / 'vae' / 'checkpoints').mkdir(parents=True)
  (tmp_path / 'default' / 'config.json').touch()
  preflight.check_ablate_workdir(epath.Path(tmp_path))
  preflight.check_workdir(epath.Path(tmp_path / 'default'))


def test_a_workdir_of_a_run_is_not_for_ablate(tmp_path):
  workdir = epath.Path(tmp_path)
  preflight.check_ablate_workdir(workdir)
  (workdir / 'config.json').write_text('{}')
  (workdir / 'compare').mkdir()
  preflight.check_workdir(workdir)
  with pytest.raises(errors.UserError, match='holds a run'):
    preflight.check_ablate_workdir(workdir)


@pytest.mark.parametrize('place', ['run\udc80', 'run\0'])
def test_paths_that_no_folder_can_have(place):
  with pytest.raises(errors.UserError, match=r'workdir.*: name another'):
    preflight.check_path(place)


def test_launchers_ask_before_they_train(tmp_path):
  """Each by itself: the first line is the last, and nothing is written."""
  workdir = tmp_path / 'run'
  workdir.mkdir()
  for name, key in (
    ('pipeline', '--config.compare.num_neighbours=5000'),
    ('train_vae', '--config.vae.hidden_sizes=(10_000_000, 10_000_000)'),
    ('compare', '--config.compare.num_neighbours=5000'),
  ):
    status, out, err = launch(name, workdir, *TINY, key)
    assert (status, len(err.splitlines())) == (2, 1), err
    assert key.partition('=')[0].rpartition('.')[2] in err or 'GiB' in err
    assert not [p for p in os.listdir(workdir) if p != '.lock'], out
