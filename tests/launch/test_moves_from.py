"""What trainings move: noise, or draws of the class mixture."""

import numpy as np
import pytest

from configs import base
from lcjax import types
from lcjax.data import dataset
from lcjax.experiment import build, train_actor_critic
from lcjax.latent import encodings

LABELS = types.Classes(('a', 'b'))
CENTERS = np.array([[3.0, 0.0], [-3.0, 0.0]], np.float32)


def encoded(seed, num_rows=200):
  y = np.eye(2, dtype=np.float32)[np.arange(num_rows) % 2]
  noise = np.random.default_rng(seed).normal(size=(num_rows, 2))
  mean = (y @ CENTERS + 0.3 * noise).astype(np.float32)
  return encodings.Encodings(mean, np.full_like(mean, 0.1), y)


@pytest.mark.parametrize(
  ('stage', 'make'),
  [
    ('actor_critic', train_actor_critic.make_actor_training),
    ('latent_critics', train_actor_critic.make_critics_training),
  ],
)
def test_a_row_starts_at_a_draw_of_its_own_class(stage, make):
  config = base.get_config()
  config.vae.latent_size = 2
  images = np.zeros((2, 8, 8, 1), np.uint8)
  data = dataset.Dataset(images, np.eye(2, dtype=np.float32), LABELS)
  latents = train_actor_critic.LatentData(
    build.build_networks(config, data), encoded(0), encoded(1), LABELS, seed=0
  )
  assert 'start' not in make(config, latents).make_batches(0, 1)
  config[stage].moves_from = 'class_mixture'
  batch = make(config, latents).make_batches(0, 3)
  assert batch['start'].shape == batch['mean'].shape
  centers = batch['attributes'] @ CENTERS
  assert np.linalg.norm(batch['start'] - centers, axis=-1).max() < 2.0
  # Draws, not the encodings themselves.
  assert (batch['start'] != batch['mean']).any(axis=-1).all()
