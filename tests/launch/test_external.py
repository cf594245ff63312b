"""A user's own model in place of the VAE, through the real launchers."""

import json
import shutil

import numpy as np
import pytest

from lcjax.data import dataset
from tests.launch import launchers
from tests.launch.test_pipeline import ROWS, TINY

# Two functions: means of 2 x 2 pixels, and the pixels that repeat them.
TOY = """
import jax.numpy as jnp

import lcjax


def encode(params, x):
  blocks = x.reshape(-1, 4, 2, 4, 2).mean(axis=(2, 4)).reshape(-1, 16)
  mean = (blocks - params['mean']) / params['std']
  return mean, jnp.full_like(mean, 0.1)


def decode(params, z):
  blocks = (z * params['std'] + params['mean']).reshape(-1, 4, 4, 1)
  pixels = blocks.repeat(2, axis=1).repeat(2, axis=2)
  return jnp.clip(pixels, 0.0, 1.0)


def load(std=0.25, decoder_only=False):
  params = {'mean': jnp.float32(0.3), 'std': jnp.float32(std)}
  return lcjax.latent_model(params, decode, 16, encode)
"""
CONFIG = """
from configs import base, digits

ABLATIONS = {
  'default': {},
  'wide': {'generator.arguments': {'std': 0.4}},
}


def get_config(ablation='default'):
  config = digits.get_config()
  config.generator = {
    'kind': 'external', 'module': 'toy:load', 'arguments': {},
  }
  return base.ablate(config, ABLATIONS, ablation)
"""
FIGURES = [
  '--config.figures.num_samples=20',
  '--config.figures.contour_points=3',
  '--config.edit.num_images=10',
  '--config.edit.optimize.max_steps=2',
]


def launch(launcher, folder, *arguments, workdir='run'):
  return launchers.run(
    f'launch.{launcher}',
    '--config=config.py',
    f'--workdir={folder}/{workdir}',
    *TINY,
    *arguments,
    folder=folder,
    timeout=900,
  )


def write(folder, model=TOY, config=CONFIG):
  (folder / 'toy.py').write_text(model)
  (folder / 'config.py').write_text(config)


@pytest.fixture(scope='module')
def run(tmp_path_factory):
  """A folder with the two files, and the run that follows from them."""
  folder = tmp_path_factory.mktemp('external')
  write(folder)
  found = launch('pipeline', folder)
  assert found.returncode == 0, found.stderr
  return folder


def pooled(images):
  """What the toy makes of uint8 images: [N, 4, 4] block means, and pixels."""
  units = images[..., 0].astype(np.float64) / 255.0
  blocks = units.reshape(-1, 4, 2, 4, 2).mean(axis=(2, 4))
  return blocks, np.round(255.0 * blocks.repeat(2, 1).repeat(2, 2))


def test_every_row_is_there_without_a_vae(run):
  report = json.loads((run / 'run/compare/metrics.json').read_text())
  assert list(report['rows']) == ROWS
  assert not (run / 'run' / 'vae').exists()
  assert not (run / 'run' / 'labeller').exists()
  assert 'vae' not in report['seconds']
  assert 'trained elsewhere' in report['description']


def test_the_latents_are_those_of_the_model(run):
  test = dataset.load('digits', 'test')
  blocks, pixels = pooled(test.images)
  row = np.load(run / 'run/compare/samples/reconstruction.npz')
  # Pixels at half a step may round either way.
  assert (np.abs(row['images'][..., 0] - pixels[: len(row['images'])]) < 1.1
  ).all()  # fmt: skip
  found = np.load(run / 'run/generate/encodings_actor.npz')
  starts = found['starts'].reshape(8, 10, 16)[:, 0]
  np.testing.assert_allclose(
    starts, (blocks[:8].reshape(8, 16) - 0.3) / 0.25, atol=1e-4
  )
  prior = np.load(run / 'run/compare/samples/prior.npz')
  z = np.clip(0.3 + 0.25 * prior['latents'].reshape(-1, 4, 4), 0, 1)
  decoded = 255.0 * z.repeat(2, 1).repeat(2, 2)
  assert (np.abs(prior['images'][..., 0] - decoded) < 0.51).all()


def test_a_second_run_finds_everything_finished(run):
  found = launch('pipeline', run)
  assert found.returncode == 0, found.stderr
  assert found.stdout.count('finished before') == 7
  assert 'judged before' in found.stdout


def refused(found):
  """The one line of an error."""
  assert found.returncode == 2, found.stdout + found.stderr
  line = found.stderr.strip().splitlines()[-1]
  assert line.startswith('lcjax: ')
  return line


def test_a_changed_model_is_noticed(run, tmp_path):
  shutil.copytree(run, tmp_path, dirs_exist_ok=True)
  write(tmp_path, TOY.replace('jnp.float32(0.3)', 'jnp.float32(0.31)'))
  said = refused(launch('compare', tmp_path))
  assert 'with another toy.py: put the earlier file back' in said
  write(tmp_path, TOY)
  wide = "--config.generator.arguments={'std': 0.4}"
  said = refused(launch('train_denoiser', tmp_path, wide))
  assert 'config.generator.arguments.std' in said
  assert '--config.generator.arguments' in said and 'parameters' not in said
  write(tmp_path, TOY, CONFIG.replace(" 'arguments': {},", ''))
  said = refused(launch('train_denoiser', tmp_path, wide))
  assert "sets the key 'arguments', which its section lacks" in said
  said = refused(
    launch(
      'train_denoiser',
      tmp_path,
      '--config.generator.kind=vae',
      '--config.generator.module=',
    )
  )
  assert 'vae has not been trained in' in said


def test_there_is_no_vae_to_train(run):
  said = refused(launch('train_vae', run))
  assert said == (
    "lcjax: vae is not trained with config.generator.kind='external': leave "
    'out launch.train_vae'
  )


def test_figures_leave_out_what_needs_a_second_vae(run):
  found = launch('figures', run, *FIGURES)
  assert found.returncode == 0, found.stderr
  assert 'holes: skipped, it trains a second VAE, but the model' in found.stdout
  assert {path.name for path in (run / 'run/figures').glob('*.png')} == {
    f'{name}.png'
    for name in (
      'realism_contours', 'attribute_grid', 'optimizer_path',
      'identity_edits', 'identity_frontier', 'inpainting',
    )
  }  # fmt: skip
  numbers = json.loads((run / 'run/figures/identity_edits.json').read_text())
  test = dataset.load('digits', 'test')
  _, pixels = pooled(test.images)
  errors = np.square(pixels - test.images[..., 0]).mean() / 255.0**2
  unchanged = numbers['numbers']['scores']['unchanged']
  assert abs(unchanged['pixel_mse_original'] - errors) < 0.2 * errors


def test_ablations_of_the_model_have_latents_of_their_own(run, tmp_path):
  write(tmp_path)
  found = launch(
    'ablate', tmp_path, '--ablations=wide', '--num_seeds=1', workdir='ablations'
  )
  assert found.returncode == 0, found.stderr
  folders = run / 'run', tmp_path / 'ablations/wide'
  plain, wide = (
    np.load(folder / 'compare/samples/reconstruction.npz')['latents']
    for folder in folders
  )
  np.testing.assert_allclose(0.25 * plain, 0.4 * wide, atol=1e-4)
  metrics = [
    (folder / 'latent_critics/metrics.jsonl').read_text() for folder in folders
  ]
  assert metrics[0] != metrics[1]


@pytest.mark.parametrize(
  'old, new, said',
  [
    ('return lcjax.latent_model(params, decode, 16, encode)',
     'return 3', 'returns int, not a lcjax.LatentModel'),
    ('axis=1)', 'axis=1)[..., 0]', 'decode gives samples of shape (8, 8), but'),
    ('0.0, 1.0)', '0.0, 1.0)[:, :4]', 'shape (4, 8, 1), but images of the data '
     'have the shape (8, 8, 1)'),
    ('0.0, 1.0)', '0.0, 1.0) - 0.5', 'pixels must be in [0, 1]'),
    ('0.0, 1.0)', '0.0, 1.0) / 0.0', 'decode: the samples have a NaN or '),
    ('return mean, jnp.f', 'return mean[:, :3], jnp.f',
     'encode: 3 samples give shapes ((3, 3), (3, 16)), they must be a tuple'),
    ('std=0.25', 'stds', 'config.generator.arguments={}: missing a required'),
    ('  params =', "  open('none')\n  params =",
     "fails: FileNotFoundError: [Errno 2] No such file or directory: 'none'"),
    ('16, encode', '17, encode', 'decode of latents (3, 17) fails: TypeError'),
    ('16, encode', '1.5, encode', 'latent_size=1.5 must be a whole number'),
  ],
)  # fmt: skip
def test_what_does_not_fit_is_one_line_before_any_training(
  tmp_path, old, new, said
):
  assert old in TOY
  model = TOY.replace(old, new)
  # The class itself tries nothing, so that the launcher has to.
  write(tmp_path, model.replace('lcjax.latent_model(', 'lcjax.LatentModel('))
  line = refused(launch('train_classifier', tmp_path))
  assert said in line and 'config.generator' in line
  assert not (tmp_path / 'run' / 'classifier').exists()


def test_kind_and_module_go_together(tmp_path):
  write(tmp_path)
  module = '--config.generator.module='
  said = refused(launch('train_classifier', tmp_path, module))
  assert "kind='external': give 'my_file:load'" in said
  said = refused(
    launch('train_classifier', tmp_path, '--config.generator.kind=gann')
  )
  assert "config.generator.kind='gann' is no kind of model: did you" in said
