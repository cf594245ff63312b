"""The page on one's own model: its files, run as they stand there."""

import re
import subprocess
import sys

import numpy as np
import pytest
from sklearn import datasets, decomposition, linear_model

from tests.launch import launchers
from tests.launch.launchers import ROOT
from tests.launch.test_pipeline import TINY

PAGE = ROOT / 'docs' / 'own_model.md'
BLOCKS = re.findall(
  r'```python\n# (\w+\.py)\n(.*?)```', PAGE.read_text(), re.DOTALL
)


def launch(launcher, folder, *arguments):
  found = launchers.run(
    f'launch.{launcher}',
    '--config=my_config.py',
    f'--workdir={folder}/run',
    *TINY,
    '--config.latent_critics.train.num_steps=400',
    '--config.latent_critics.inner.max_steps=3',
    '--config.optimize.max_steps=60',
    *arguments,
    folder=folder,
    timeout=900,
  )
  assert found.returncode == 0, found.stderr
  return found.stdout


@pytest.fixture(scope='module')
def run(tmp_path_factory):
  folder = tmp_path_factory.mktemp('page')
  assert [name for name, _ in BLOCKS] == [
    'export.py', 'my_model.py', 'my_config.py',
  ]  # fmt: skip
  for name, text in BLOCKS:
    (folder / name).write_text(text)
  subprocess.run([sys.executable, 'export.py'], cwd=folder, check=True)
  launch('train_actor_critic', folder)
  launch('train_denoiser', folder)
  launch(
    'generate', folder, '--start=encodings', '--mover=optimizer',
    '--labels=0,1,2,3,4,5,6,7,8,9', '--config.generate.num_rows=20',
  )  # fmt: skip
  return folder


def test_weights_trained_elsewhere_make_what_they_made_there(run):
  found = np.load(run / 'run/generate/encodings_optimizer_own.npz')
  images = datasets.load_digits().data / 16.0
  there = decomposition.PCA(16).fit(images)
  std = np.sqrt(there.explained_variance_)
  decoded = there.inverse_transform(found['latents'] * std)
  pixels = 255.0 * np.clip(decoded, 0.0, 1.0).reshape(-1, 8, 8, 1)
  # PCA's signs are fixed, so that another fit is the same.
  np.testing.assert_allclose(found['images'], pixels, atol=1.0)
  starts = found['starts'].reshape(20, 10, 16)[:, 0]
  known = there.transform(images) / std
  nearest = np.abs(starts[:, None] - known[None]).max(axis=2).min(axis=1)
  assert (nearest < 0.05).all()


def test_edits_have_the_requested_class_for_a_judge_of_pixels(run):
  found = np.load(run / 'run/generate/encodings_optimizer_own.npz')
  digits = datasets.load_digits()
  judge = linear_model.LogisticRegression(max_iter=2000)
  judge.fit(digits.data / 16.0, digits.target)
  wanted = found['attributes'].argmax(axis=1)
  seen = judge.predict(found['images'].reshape(-1, 64) / 255.0)
  assert (seen == wanted).mean() > 0.8
  assert not (run / 'run' / 'vae').exists()
