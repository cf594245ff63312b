"""What would fail hours later is said before the first training."""

import json
import os

import jax
import numpy as np
import pytest
from etils import epath

from configs import celeba, digits
from lcjax import errors, types
from lcjax.data import archives, dataset
from lcjax.experiment import (
  ablate,
  build,
  jobs,
  memory,
  pipeline,
  preflight,
  stage,
)
from tests.data import test_folder
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
  monkeypatch.setattr(build, 'load_labels', lambda job: found['train'].labels)
  job = jobs.Job(config, epath.Path(tmp_path / 'run'))
  preflight.check_pipeline(job)
  return job, found


def refused(job):
  with pytest.raises(errors.UserError) as raised:
    preflight.check_pipeline(job, trains=True)
  assert not job.workdir.exists() or not list(job.workdir.glob('*/*'))
  return str(raised.value)


@pytest.mark.parametrize(
  ('counts', 'said'),
  [
    ((5, 0, 5), "class 'b', but the train split has no row"),
    ((5, 1, 5), "class 'b', but the train split has a single row"),
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


@pytest.mark.parametrize('section', ['actor_critic', 'latent_critics'])
def test_a_critic_that_nothing_bounds(job, section):
  config = job[0].config
  config.actor_critic.gradient_penalty_weight = 0.0
  config[section].divergence = 'wasserstein'
  assert refused(job[0]) == (
    f"config.{section}.divergence='wasserstein' needs a gradient penalty, or "
    f'nothing bounds the critic: set config.{section}.gradient_penalty_weight '
    'above 0, such as 10'
  )
  config[section].gradient_penalty_weight = 10.0
  preflight.check_pipeline(job[0], trains=True)


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


def test_a_folder_is_known_to_have_no_classes_before_it_is_decoded(
  tmp_path, monkeypatch
):
  test_folder.write(
    tmp_path / 'images',
    test_folder.TABLE.replace('validation,1,0', 'validation,1,1'),
  )
  config = celeba.get_config()
  config.data.update(name='folder', dir=str(tmp_path / 'images'), attributes=())
  config.denoise.mixture_above = 0.4
  monkeypatch.setattr(archives, 'decode', lambda *_: pytest.fail('decoded'))
  job = jobs.Job(config, epath.Path(tmp_path / 'run'))
  assert "mixture_above=0.4 needs classes, but the attributes of 'folder'" in (
    refused(job)
  )


def test_networks_beyond_the_memory(job):
  job, _ = job
  job.config.vae.hidden_sizes = (10_000_000, 10_000_000)
  said = refused(job)
  assert 'config.vae: parameters and optimiser take' in said and 'GiB' in said


def test_the_state_is_counted(job, monkeypatch):
  job, _ = job
  sizes = []
  real = memory.state_bytes
  monkeypatch.setattr(
    memory,
    'state_bytes',
    lambda make: sizes.append(real(make)) or sizes[-1],
  )
  preflight.check(job, [stage.DENOISER], judges=False)
  state = build_state(job.config)
  assert sizes == [sum(leaf.nbytes for leaf in state)]


def build_state(config):
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


@pytest.mark.parametrize('split', ['train', 'validation', 'test'])
def test_an_empty_split_is_named(job, split):
  job, found = job
  found[split] = split_of((0, 0, 0))
  assert f'no image in its {split} split' in refused(job)


def test_the_pipeline_generates_from_test_images(job):
  job, found = job
  job.config.compare.update(split='validation', num_neighbours=2)
  found['test'] = split_of((0, 0, 0))
  preflight.check_pipeline(job)  # of a comparison alone
  with pytest.raises(errors.UserError, match='no image in its test split'):
    pipeline.train_and_compare(job)


def test_training_images_have_neighbours_too(job):
  job, found = job
  job.config.compare.num_neighbours = 10
  preflight.check_pipeline(job)
  found['train'] = split_of((3, 3, 3))
  assert 'num_neighbours=10 must be below 9' in refused(job)


@pytest.mark.parametrize(
  ('key', 'value', 'said'),
  [
    ('vae.latent_size', 20_000_000_000, 'config.vae: parameters'),
    ('vae.train.batch_size', 10**10, 'config.vae.train.batch_size=10000000000'),
    (
      'denoiser.train.batch_size',
      8 * 10**9,
      'config.denoiser.train.batch_size',
    ),
    ('generate.batch_size', 10**10, 'config.generate.batch_size=10000000000'),
    ('compare.num_samples', 10**11, 'config.compare.num_samples=100000000000'),
  ],
)
def test_sizes_beyond_the_memory(job, key, value, said):
  job, _ = job
  job.config.update_from_flattened_dict({key: value})
  found = refused(job)
  assert said in found and 'GiB' in found


def test_images_beyond_the_memory_are_not_decoded(tmp_path, monkeypatch):
  config = celeba.get_config()
  config.data.image_size = 100_000
  monkeypatch.setattr(build, 'load_data', lambda job, split: pytest.fail(split))
  job = jobs.Job(config, epath.Path(tmp_path / 'run'))
  assert 'config.data.image_size=100000' in refused(job)


def test_batches_are_asked_of_those_who_train_alone(job, monkeypatch):
  job, _ = job
  monkeypatch.setattr(jax, 'device_count', lambda: 7)
  assert 'batch_size=64 does not divide over 7 devices' in refused(job)
  preflight.check_pipeline(job)  # a finished run is read anywhere
  job.config.denoiser.train.batch_size = 10**11
  preflight.check_pipeline(job)


def test_a_link_that_leads_nowhere_is_in_the_way(job, tmp_path):
  job, _ = job
  (tmp_path / 'run').mkdir()
  (tmp_path / 'run' / 'vae').symlink_to(tmp_path / 'gone')
  assert f'{tmp_path / "run" / "vae"} is a file' in refused(job)


def test_ablations_interrupted_before_there_was_a_marker(job, tmp_path):
  job, _ = job
  own = job.workdir / 'default' / 'config.json'
  own.parent.mkdir(parents=True)
  own.write_text(json.dumps({'data': {'cache_dir': ''}}))
  preflight.check_pipeline(job)  # runs in a folder of runs
  own.write_text(
    json.dumps({'data': {'cache_dir': str(job.workdir / 'cache')}})
  )
  with pytest.raises(errors.UserError, match='is one of launch'):
    preflight.check_pipeline(job)


def test_an_ensemble_is_counted_as_a_whole(job, monkeypatch, tmp_path):
  job, _ = job
  job.config.num_seeds = 4
  job.config.vae.hidden_sizes = (3000, 3000)
  most = ablate.Ablations(
    epath.Path(tmp_path / 'all'), None, {'default': job}, {}, ''
  )
  monkeypatch.setattr(memory, 'memory_bytes', lambda: 2**29)
  monkeypatch.setattr(ablate, 'train', lambda *_: pytest.fail('trains'))
  with pytest.raises(errors.UserError) as raised:
    ablate.train_and_compare(most, limit=4)
  assert '\n' not in str(raised.value)
  assert str(raised.value).startswith(
    '--max_ensemble=4: an ensemble of 4 trainings of config.vae takes 0.'
  )
  fits = int(str(raised.value).rpartition('at most ')[2])
  assert 1 <= fits < 4
  assert not (tmp_path / 'all').exists()
  ablate.check_memory({'default': job}, fits)  # raises nothing
  with pytest.raises(errors.UserError, match='at most'):
    ablate.check_memory({'default': job}, fits + 1)
