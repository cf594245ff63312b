"""`config.*.divergence`: by name or from a file, and where it goes."""

import dataclasses
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import digits
from lcjax import errors, types
from lcjax.data import dataset
from lcjax.experiment import build, train_actor_critic
from lcjax.latent import encodings
from lcjax.losses import divergences

OWN = """
import dataclasses
from lcjax.losses import divergences
MINE = dataclasses.replace(divergences.KL, name='mine')
NUMBER = 3
"""
LABELS = types.Classes(tuple('0123456789'))


def config_with(**divergence_of):
  config = digits.get_config()
  config.vae.latent_size = 2
  config.vae.hidden_sizes = config.classifier.hidden_sizes = (4,)
  for stage in ('actor_critic', 'latent_critics'):
    config[stage].train.batch_size = 4
    config[stage].divergence = divergence_of.get(stage, 'gan')
  return config


def networks_of(config):
  data = dataset.Dataset(
    np.zeros((8, 8, 8, 1), np.uint8), np.eye(10, dtype=np.float32)[:8], LABELS
  )
  return build.build_networks(config, data)


def test_a_divergence_of_a_users_own_file(tmp_path, monkeypatch):
  (tmp_path / 'own_divergences.py').write_text(OWN)
  monkeypatch.chdir(tmp_path)
  config = config_with(latent_critics='own_divergences:MINE')
  found = networks_of(config)
  assert found.realism_divergence == dataclasses.replace(
    divergences.KL, name='mine'
  )
  assert found.divergence == divergences.GAN
  config = config_with(actor_critic='own_divergences:NUMBER')
  with pytest.raises(errors.UserError) as raised:
    networks_of(config)
  assert str(raised.value) == (
    "config.actor_critic.divergence='own_divergences:NUMBER' is of type int: "
    'it must be a lcjax.losses.divergences.Divergence'
  )
  del sys.modules['own_divergences']


@pytest.mark.parametrize('stage', ['actor_critic', 'latent_critics'])
def test_an_unknown_name_is_one_line(stage):
  with pytest.raises(errors.UserError) as raised:
    networks_of(config_with(**{stage: 'reverse_kll'}))
  assert str(raised.value) == (
    f"config.{stage}.divergence='reverse_kll' is not a divergence: did you "
    'mean reverse_kl?'
  )


def encoded(seed):
  mean = np.random.default_rng(seed).normal(size=(8, 2)).astype(np.float32)
  y = np.eye(10, dtype=np.float32)[:8]
  return encodings.Encodings(mean, np.ones_like(mean), y)


@pytest.mark.parametrize(
  ('stage', 'make'),
  [
    ('actor_critic', train_actor_critic.make_actor_training),
    ('latent_critics', train_actor_critic.make_critics_training),
  ],
)
def test_a_stage_trains_and_is_scored_by_its_own_divergence(stage, make):
  other = {'actor_critic', 'latent_critics'} - {stage}

  def first_step(**divergence_of):
    config = config_with(**divergence_of)
    latents = train_actor_critic.LatentData(
      networks_of(config), encoded(0), encoded(1), LABELS, seed=0
    )
    parts = make(config, latents)
    step = parts.make_step(config, parts.constants, None)
    batch = jax.tree.map(lambda leaf: leaf[0], parts.make_batches(0, 1))
    state = parts.make_state()
    metrics = step(state, batch, jax.random.key(0))[1]
    return float(metrics['critic_loss']), parts.evaluate(state)

  loss, scores = first_step()
  assert first_step(**{name: 'kl' for name in other}) == (loss, scores)
  others = first_step(**{stage: 'kl'})
  assert others[0] != loss
  assert others[1] != scores


def test_optimizer_g_and_the_scores_in_tables_know_the_divergence():
  config = config_with(latent_critics='kl')
  networks = networks_of(config)
  with_params = build.make_constraint(
    config.optimize, networks, jnp.ones(2), LABELS
  )
  assert with_params(None, None).parts[0].divergence == divergences.KL
  z = encoded(0).mean
  params = networks.realism_critic.init(jax.random.key(0), z)
  odds = build.make_critic(
    networks.realism_critic, networks.realism_divergence
  )(params, z)
  outputs = networks.realism_critic.apply(params, z)
  np.testing.assert_allclose(odds, outputs - 1.0, rtol=1e-5)
