"""Decoders alone: the labeller labels draws, edits start from inversions."""

import json
import re

import jax
import numpy as np
import pytest
from etils import epath

from configs import digits
from launch import startup
from lcjax.data import dataset
from lcjax.experiment import (
  build,
  jobs,
  stage,
  train_vae,
  trainers,
)
from tests.launch import launchers
from tests.launch.test_external import FIGURES
from tests.launch.test_pipeline import TINY

MODEL = '''
import jax
import numpy as np

import lcjax


def decode(params, z):
  """The decoder of a VAE with one hidden layer."""
  hidden = jax.nn.relu(z @ params['w0'] + params['b0'][None])
  pixels = jax.nn.sigmoid(hidden @ params['w1'] + params['b1'][None])
  return pixels.reshape(-1, 8, 8, 1)


def load(path):
  params = dict(np.load(path))
  return lcjax.latent_model(params, decode, len(params['w0']))
'''
CONFIG = """
from configs import digits


def get_config():
  config = digits.get_config()
  config.generator = {
    'kind': 'external', 'module': 'half:load',
    'arguments': {'path': 'decoder.npz'},
  }
  config.labeller.architecture = 'mlp'
  config.labeller.hidden_sizes = (64,)
  config.labeller.num_samples = 3000
  config.labeller.train.update(num_steps=300, steps_per_call=50)
  config.invert.update(max_steps=150, tries=2)
  return config
"""
# Enough for movers to be judged by what they reach.
TRAINED = [
  # As few rows as the tests read.
  *(flag for flag in TINY if 'more_distance_weights' not in flag),
  '--config.retry.tries=1',
  '--config.walk.steps=()',
  '--config.classifier.hidden_sizes=(64,)',
  '--config.classifier.train.num_steps=800',
  '--config.latent_critics.train.num_steps=400',
  '--config.latent_critics.inner.max_steps=3',
  '--config.optimize.max_steps=60',
  '--config.optimize.attribute_tolerance=0.02',
  '--config.compare.num_samples=200',
]


def launch(launcher, folder, *arguments):
  return launchers.run(
    f'launch.{launcher}',
    '--config=config.py',
    f'--workdir={folder}/run',
    *TRAINED,
    *arguments,
    folder=folder,
    timeout=900,
  )


def train_decoder(folder):
  """A tiny VAE of digits is trained, and its encoder thrown away."""
  config = digits.get_config()
  config.vae.update(latent_size=8, hidden_sizes=(64,))
  config.vae.train.update(num_steps=1500, batch_size=64)
  job = jobs.Job(
    config, epath.Path(folder) / 'vae', defaults=startup.defaults()
  )
  trainers.train_all(job, 'vae')
  data = build.load_data(job, 'train')
  networks = build.build_networks(config, data)
  found = train_vae.load(job, networks, data, 0).state['vae'].params
  decoder = jax.device_get(found)['params']['decoder']
  first, last = decoder['mlp']['Dense_0'], decoder['pixels']
  np.savez(
    folder / 'decoder.npz',
    w0=first['kernel'],
    b0=first['bias'],
    w1=last['kernel'],
    b1=last['bias'],
  )


@pytest.fixture(scope='module')
def run(tmp_path_factory, one_device):
  folder = tmp_path_factory.mktemp('decoder')
  train_decoder(folder)
  (folder / 'half.py').write_text(MODEL)
  (folder / 'config.py').write_text(CONFIG)
  found = launch('pipeline', folder)
  assert found.returncode == 0, found.stderr
  return folder, found.stdout


def test_the_judge_sees_the_attributes_that_the_labeller_taught(run):
  folder, _ = run
  report = json.loads((folder / 'run/compare/metrics.json').read_text())
  # Without an encoder, there are no reconstructions of all images.
  assert 'reconstruction' not in report['rows']
  accuracy = {
    name: scores['accuracy']['mean']
    for name, scores in report['rows'].items()
    if 'accuracy' in scores
  }
  assert accuracy['real'] > 0.9
  assert accuracy['prior'] < 0.25
  assert accuracy['optimizer'] > 0.8
  assert accuracy['class_mixture'] > 0.6
  assert 'no encoder' in report['description']
  assert set(report['seconds']) > {'labeller', 'latent_critics'}


def test_the_labeller_is_no_judge(run):
  folder, _ = run
  job_config = json.loads((folder / 'run/config.json').read_text())
  assert job_config['labeller']['seed'] not in (
    job_config['classifier']['seed'],
    job_config['second_classifier']['seed'],
  )
  assert stage.LABELLER not in stage.JUDGES
  for split in ('validation', 'test'):
    config = digits.get_config()
    config.compare.split = split
    assert stage.judge_of(config) is not stage.LABELLER
  read = json.loads((folder / 'run/compare/runs/0.json').read_text())
  assert {'labeller', 'generator'} <= set(read['trainings'])
  assert 'vae' not in read['trainings']


def test_latents_are_draws_of_the_prior(run):
  folder, _ = run
  prior = np.load(folder / 'run/compare/samples/prior.npz')['latents']
  mixture = np.load(folder / 'run/compare/samples/mixture.npz')['latents']
  for z in (prior, mixture):
    assert abs(z.mean()) < 0.1 and abs(z.std() - 1.0) < 0.1
  report = json.loads((folder / 'run/compare/metrics.json').read_text())
  # In units of the prior: optimizer-G stays within a few of them.
  assert 0.1 < report['rows']['optimizer']['z_distance']['mean'] < 5.0


def test_edits_start_from_inversions_whose_error_is_said(run):
  folder, stdout = run
  assert 'inversion of 8 images: mean squared error 0.0' in stdout
  found = np.load(folder / 'run/generate/encodings_actor.npz')
  starts = found['starts'].reshape(8, 10, -1)
  assert (starts == starts[:, :1]).all()
  params = dict(np.load(folder / 'decoder.npz'))
  hidden = np.maximum(starts[:, 0] @ params['w0'] + params['b0'], 0)
  pixels = 1 / (1 + np.exp(-(hidden @ params['w1'] + params['b1'])))
  images = dataset.load('digits', 'test').images[:8].reshape(8, -1) / 255.0
  errors = np.square(pixels - images).mean(axis=1)
  spread = np.square(images - images.mean(axis=0)).mean()
  assert errors.mean() < 0.5 * spread
  assert f'{errors.mean():.4f}' in stdout


def test_another_decoder_in_the_same_file_is_noticed(run):
  folder, _ = run
  path = folder / 'decoder.npz'
  kept = path.read_bytes()
  params = dict(np.load(path))
  np.savez(path, **params | {'b1': params['b1'] + np.float32(0.01)})
  found = launch('compare', folder)
  path.write_bytes(kept)
  assert found.returncode == 2
  line = found.stderr.strip().splitlines()[-1]
  assert (
    'latent_critics was trained with other parameters of the model '
    '(config.generator): put the earlier ones back'
  ) in line


def test_a_class_that_is_never_drawn_is_named(run):
  folder, _ = run
  found = launch(
    'train_actor_critic', folder, '--config.labeller.num_samples=5',
    '--config.labeller.train.num_steps=20', f'--workdir={folder}/few',
  )  # fmt: skip
  assert found.returncode == 2
  assert 'run python -m launch.train_classifier' in found.stderr
  found = launch(
    'train_classifier', folder, '--config.labeller.num_samples=5',
    f'--workdir={folder}/few',
  )  # fmt: skip
  assert found.returncode == 0, found.stderr
  found = launch(
    'train_actor_critic', folder, '--config.labeller.num_samples=5',
    f'--workdir={folder}/few',
  )  # fmt: skip
  assert found.returncode == 2
  line = found.stderr.strip().splitlines()[-1]
  assert 'draws of the prior, so that it cannot be learned' in line


def test_figures_of_edits_start_from_inversions(run):
  folder, _ = run
  found = launch(
    'figures', folder, '--figure=identity_edits', *FIGURES,
    '--config.figures.num_rows=2',
  )  # fmt: skip
  assert found.returncode == 0, found.stderr
  text = (folder / 'run/figures/identity_edits.json').read_text()
  unchanged = json.loads(text)['numbers']['scores']['unchanged']
  (line,) = re.findall(
    r'inversion of 10 images: mean squared error ([\d.]+)', found.stdout
  )[:1]
  # Pixels are rounded to 8 bits for the figure.
  assert abs(unchanged['pixel_mse_original'] - float(line)) < 2e-4
  assert unchanged['z_distance'] == 0.0


def test_the_report_says_the_error_of_inversions(run):
  folder, _ = run
  read = json.loads((folder / 'run/compare/runs/0.json').read_text())
  error = read['inversion']['pixel_mse']
  assert 0.0 < error < 0.03
  text = (folder / 'run/compare/report.html').read_text()
  assert f'200 test images, with a mean squared error of {error:.4f}' in text
