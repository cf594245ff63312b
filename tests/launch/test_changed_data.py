"""Data that change on disk after a training: refused by name, or no matter."""

import json
import pathlib
import shutil

import numpy as np
import pytest
from absl import logging
from etils import epath
from PIL import Image

from configs import base
from lcjax import errors
from lcjax.experiment import (
  build,
  compare,
  figures,
  generate,
  jobs,
  pipeline,
  trainers,
)
from lcjax.training import provenance

STAGES = (
  'vae', 'classifier', 'second_classifier', 'latent_critics', 'actor_critic',
  'denoiser',
)  # fmt: skip
# What reads labels, as a user starts it.
TRAININGS = (
  lambda job: trainers.train_all(job, 'classifier'),
  lambda job: trainers.train_all(job, 'second_classifier'),
  lambda job: trainers.train_all(job, 'latent_critics', 'actor_critic'),
  lambda job: trainers.train_all(job, 'denoiser'),
)
NUM_ROWS = 10  # of every split


def write_data(folder):
  rng = np.random.default_rng(0)
  lines = ['file,split,Smiling,Male']
  for split in ('train', 'validation', 'test'):
    for row in range(NUM_ROWS):
      name = f'{split}{row}.png'
      pixels = rng.integers(0, 256, (8, 8), np.uint8)
      Image.fromarray(pixels).save(folder / name)
      lines.append(f'{name},{split},{row % 2},{int(row < 3)}')
  (folder / 'attributes.csv').write_text('\n'.join(lines) + '\n')


def tiny(data):
  config = base.get_config()
  config.data.update(name='folder', dir=str(data), image_size=8, crop_size=0)
  for section in (config.vae, config.classifier, config.latent_critics):
    section.hidden_sizes = (8,)
  config.vae.latent_size = 4
  config.denoiser.update(width=8, attribute_width=8)
  for name in STAGES:
    config[name].train.update(num_steps=2, steps_per_call=1, batch_size=8)
  config.vae.train.checkpoint_every = 1
  config.latent_critics.inner.max_steps = 1
  config.optimize.max_steps = config.denoise.num_steps = 2
  config.mixture.num_components = (1,)
  config.mixture.unlabelled_components = (1,)
  config.mixture.denoiser_components = 1
  config.walk.update(steps=(1,), start_times=(0.5,), attribute_weights=(2.0,))
  config.compare.update(clock_seconds=0.0, feature_steps=1, cas_steps=1)
  config.compare.update(num_samples=10, num_neighbours=1, curve_steps=(0,))
  config.figures.update(num_rows=2, num_samples=4, path_steps=(0, 1))
  return config


def run_everything(job):
  """As `launch.pipeline`, and a figure."""
  trainers.train_all(job, 'classifier', 'second_classifier')
  trainers.train_all(job, 'vae')
  trainers.train_all(job, 'latent_critics', 'actor_critic')
  trainers.train_all(job, 'denoiser')
  pipeline.generate_once(job)
  compare.compare_all(job)
  figures.make(job, ['optimizer_path'])


@pytest.fixture(scope='module')
def finished(tmp_path_factory, one_device):
  """Folders of the data and of a run, all done."""
  data = tmp_path_factory.mktemp('data')
  write_data(data)
  workdir = tmp_path_factory.mktemp('run')
  run_everything(jobs.Job(tiny(data), epath.Path(workdir)))
  return data, workdir


@pytest.fixture
def moved(finished, tmp_path):
  """A copy of both elsewhere, and what to do, as a new process sees them."""
  for folder, name in zip(finished, ('data', 'run'), strict=True):
    shutil.copytree(folder, tmp_path / name, copy_function=shutil.copyfile)
  build._read_once.cache_clear()
  provenance.warn_unread.cache_clear()
  config = tiny(tmp_path / 'data')
  return tmp_path / 'data', jobs.Job(config, epath.Path(tmp_path / 'run'))


def edit(data, old, new, count=1):
  path = data / 'attributes.csv'
  text = path.read_text()
  assert old in text
  path.write_text(text.replace(old, new, count))


def content(job):
  """All that trainings and results have left."""
  folder = pathlib.Path(job.workdir)
  return {
    path: path.read_bytes()
    for path in folder.rglob('*')
    if path.is_file() and not path.is_relative_to(folder / 'cache')
  }


def refused(call, *arguments):
  with pytest.raises(errors.UserError) as raised:
    call(*arguments)
  return str(raised.value)


def test_the_same_data_elsewhere_are_no_others(moved, capsys):
  _, job = moved
  run_everything(job)
  out = capsys.readouterr().out
  assert out.count('finished before') == len(STAGES) + 1  # generate
  assert 'was judged before' in out
  assert 'optimizer_path: already up to date' in out


def test_other_labels_are_refused_where_labels_are_read(moved, capsys):
  data, job = moved
  edit(data, 'train4.png,train,0,0', 'train4.png,train,1,0')
  before = content(job)
  trainers.train_all(job, 'vae')
  assert 'vae: finished before' in capsys.readouterr().out
  for call in TRAININGS:
    said = refused(call, job)
    assert 'was trained on other labels of the train split' in said
    assert 'Smiling held in 5 rows, now in 6 (digest ' in said
    assert '--overwrite to train it again' in said
    assert 'take another --workdir' in said
  for call in (
    compare.compare_all,
    pipeline.generate_once,
    lambda job: figures.make(job, ['optimizer_path']),
  ):
    assert 'was made on other labels of the train split' in refused(call, job)
  said = refused(generate.generate, job, [('prior', 'actor')], [], [])
  assert 'latent_critics was trained on other labels' in said
  assert content(job) == before


def test_other_labels_are_trained_on_if_asked(moved, capsys):
  data, job = moved
  edit(data, 'train4.png,train,0,0', 'train4.png,train,1,0')
  trainers.train_all(job._replace(overwrite=True), 'classifier')
  assert 'finished before' not in capsys.readouterr().out
  trainers.train_all(job, 'classifier')
  assert 'finished before' in capsys.readouterr().out


def test_labels_that_trade_places_are_others(moved):
  data, job = moved
  edit(data, 'validation4.png,validation,0,', 'validation4.png,validation,1,')
  edit(data, 'validation5.png,validation,1,', 'validation5.png,validation,0,')
  said = refused(trainers.train_all, job, 'classifier')
  assert 'other labels of the validation split' in said
  assert 'Smiling held in 5 rows, now in 5 (digest ' in said


def test_other_images_are_refused_everywhere(moved):
  data, job = moved
  pixels = np.array(Image.open(data / 'train3.png'))
  pixels[2, 2] ^= 1
  Image.fromarray(pixels).save(data / 'train3.png')
  assert 'images of the train' in refused(trainers.train_all, job, 'vae')
  for call in (*TRAININGS, compare.compare_all):
    said = refused(call, job)
    assert 'on other images of the train split' in said
    assert 'digest ' in said


def test_more_images_are_others(moved):
  data, job = moved
  shutil.copy(data / 'train3.png', data / 'more.png')
  edit(data, 'train4.png', 'more.png,train,0,0\ntrain4.png')
  said = refused(trainers.train_all, job, 'vae')
  assert 'there were 10 of 8x8x1, now 11 of 8x8x1' in said


def test_other_names_are_refused(moved, capsys):
  data, job = moved
  edit(data, 'Smiling', 'Laughing')
  trainers.train_all(job, 'vae')
  assert 'vae: finished before' in capsys.readouterr().out
  for call in (*TRAININGS, compare.compare_all):
    said = refused(call, job)
    assert 'on other names of the train split' in said
    assert "attribute 1 was 'Smiling', now it is 'Laughing'" in said


def test_classes_that_were_attributes_are_refused(moved):
  data, job = moved
  lines = (data / 'attributes.csv').read_text().splitlines()
  rows = [line.rsplit(',', 2) for line in lines[1:]]
  rows = [f'{name},{first},{1 - int(first)}' for name, first, _ in rows]
  (data / 'attributes.csv').write_text('\n'.join([lines[0], *rows]) + '\n')
  said = refused(trainers.train_all, job, 'classifier')
  assert 'other labels and kind of labels of the train split' in said
  assert 'they were independent attributes, now classes' in said


def test_other_held_out_labels_concern_results_alone(moved, capsys):
  data, job = moved
  edit(data, 'test4.png,test,0,0', 'test4.png,test,1,0')
  for call in TRAININGS:
    call(job)
  assert 'judging' not in capsys.readouterr().out
  said = refused(compare.compare_all, job)
  assert 'was made on other labels of the test split' in said
  assert str(job.workdir / 'compare' / 'runs' / '0.json') in said
  assert '--overwrite to make it again' in said
  compare.compare_all(job._replace(overwrite=True))
  assert 'judging seed' in capsys.readouterr().out


def forget_digests(workdir):
  """What a run from before there were digests lacks."""
  for path in workdir.glob('*/checkpoints/*/meta/metadata'):
    meta = json.loads(path.read_text())
    del meta['config']['read']
    path.write_text(json.dumps(meta))
    (path.parent.parent / 'seal.json').unlink()
  for name in ('compare/runs/0', 'generate/pipeline', 'figures/optimizer_path'):
    path = workdir / f'{name}.json'
    found = json.loads(path.read_text())
    del found['read']
    path.write_text(json.dumps(found))


def test_a_run_without_digests_is_accepted_with_a_warning(
  moved, capsys, monkeypatch
):
  data, job = moved
  forget_digests(job.workdir)
  edit(data, 'train4.png,train,0,0', 'train4.png,train,1,0')
  said = []
  monkeypatch.setattr(
    logging, 'warning', lambda text, *values: said.append(text % values)
  )
  run_everything(job)
  out = capsys.readouterr().out
  assert out.count('finished before') == len(STAGES) + 1
  assert 'was judged before' in out
  assert [text for text in said if 'digests' in text] == [
    f'{job.workdir} holds results from before digests of the data were kept: '
    'whether the data have changed since then cannot be checked'
  ]


def test_a_training_that_began_without_digests_ends_without(moved):
  _, job = moved
  forget_digests(job.workdir)
  folder = job.workdir / 'vae' / 'checkpoints'
  shutil.rmtree(folder / '2')  # as if it had been interrupted at step 1
  trainers.train_all(job, 'vae')
  meta = json.loads((folder / '2' / 'meta' / 'metadata').read_text())
  assert 'read' not in meta['config']
