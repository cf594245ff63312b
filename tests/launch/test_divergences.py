"""`config.*.divergence`: by name or from a file, and where it goes."""

import dataclasses
import sys
import types as types_of_rows

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from etils import epath

from configs import digits
from lcjax import errors, types
from lcjax.data import dataset
from lcjax.experiment import (
  build,
  jobs,
  loading,
  movers,
  rows,
  train_actor_critic,
  trainers,
)
from lcjax.latent import encodings
from lcjax.losses import divergences
from lcjax.training import latent_steps, metrics_log

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


@pytest.mark.parametrize(
  ('stage', 'make', 'step'),
  [
    ('actor_critic', 'make_actor_training', 'make_actor_critic_step'),
    ('latent_critics', 'make_critics_training', 'make_latent_critics_step'),
  ],
)
def test_penalties_reach_the_step(stage, make, step, monkeypatch):
  config = config_with()
  config[stage].update(r1_weight=0.3, r2_weight=0.7)
  config[stage].gradient_penalty_weight = 0.2
  latents = train_actor_critic.LatentData(
    networks_of(config), encoded(0), encoded(1), LABELS, seed=0
  )
  parts = getattr(train_actor_critic, make)(config, latents)
  monkeypatch.setattr(
    latent_steps, step, lambda *arguments, **options: arguments
  )
  given = parts.make_step(config, parts.constants, None)
  (weights,) = [w for w in given if isinstance(w, latent_steps.CriticWeights)]
  assert weights[-3:] == (0.2, 0.3, 0.7)
  std = np.sqrt(encoded(0).mean.var(axis=0) + 1)  # the encodings' scale is 1
  np.testing.assert_allclose(given[-1], std, rtol=1e-5)


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


@pytest.fixture(scope='module')
def trained(tmp_path_factory, one_device):
  """A run of two steps whose critics have no density ratio, with its parts."""
  config = config_with(latent_critics='wasserstein', actor_critic='pairing')
  config.latent_critics.gradient_penalty_weight = 10.0
  config.actor_critic.update(r1_weight=0.5, r2_weight=0.5)
  config.actor_critic.update(actor_hidden_sizes=(8,), critic_hidden_sizes=(8,))
  config.latent_critics.hidden_sizes = (8,)
  config.latent_critics.inner.max_steps = 2
  config.optimize.realism_threshold = 0.6
  for stage in ('vae', 'latent_critics', 'actor_critic', 'denoiser'):
    config[stage].train.update(
      num_steps=2, steps_per_call=1, batch_size=8, log_every=1
    )
  config.denoiser.update(width=8, num_blocks=1)
  config.denoiser.update(attribute_width=8, attribute_blocks=1)
  config.denoise.mixture_above = 1.0
  job = jobs.Job(config, epath.Path(tmp_path_factory.mktemp('calibrated')))
  trainers.train_all(job, 'vae')
  trainers.train_all(job, 'latent_critics', 'actor_critic')
  trainers.train_all(job, 'denoiser')
  data = build.load_data(job, 'train')
  return job, loading.load_movers(job, 0, data)


def test_realism_is_a_share_of_validation_encodings(trained):
  job, bound = trained
  held_out = bound.latents(build.load_data(job, 'validation'), 'validation')
  z = held_out.sample(0)
  critic = bound.realism
  v = np.asarray(critic.critic_fn(critic.params, z))
  np.testing.assert_allclose(
    critic.quantiles, np.quantile(v, np.linspace(0, 1, 101)), rtol=1e-4
  )
  d = jax.nn.sigmoid(bound.realism_critic(z))
  ranks = v.argsort().argsort() / len(v)
  np.testing.assert_allclose(d, ranks, atol=0.02)
  met = jax.vmap(
    lambda row: dataclasses.replace(critic, threshold=0.6)(row, {}).met
  )(z)
  assert np.mean(met) == pytest.approx(0.4, abs=0.02)
  # The condition of `optimize_from_mixture` is a quantile of these.
  train = build.load_data(job, 'train')
  chosen = movers.choices_of(job, 0, bound, train)
  assert chosen.realism_above(0.3) == pytest.approx(0.3, abs=0.02)
  resting = movers.make_resting_optimizer(job.config, bound, chosen)
  assert resting.want.parts[0].threshold == chosen.realism_above(0.3)


def test_scores_are_probabilities_that_a_row_scores_above_another(trained):
  _, bound = trained
  count = 50
  z = np.random.default_rng(0).normal(size=(count, 2)).astype(np.float32)
  y = np.eye(10, dtype=np.float32)[np.arange(count) % 10]
  row = types_of_rows.SimpleNamespace(latents=z, attributes=y)
  real = bound.train.sample(0)
  realism, actor = bound.realism, bound.actors['actor']
  for name, of_moved, of_real in (
    (
      'optimizer',
      realism.critic_fn(realism.params, z),
      realism.critic_fn(realism.params, real),
    ),
    ('actor', actor.critic(z, y), actor.critic(real, bound.train.attributes)),
  ):
    found = rows.critic_scores(bound, name, row)
    above = np.mean(np.asarray(of_real)[:, None] > np.asarray(of_moved)[None])
    assert found['discriminator_score'] == pytest.approx(above, abs=0.02)
    assert found['generator_score'] == pytest.approx(1 - above, abs=0.02)
  logged = metrics_log.read(trained[0].workdir / 'actor_critic')[0]
  both = logged['train/generator_score'] + logged['train/discriminator_score']
  assert both == pytest.approx(1.0)
