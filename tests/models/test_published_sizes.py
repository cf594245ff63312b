"""The sizes of the paper, as the ablations `paper` have them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import celeba, mnist
from lcjax import types
from lcjax.data import dataset
from lcjax.experiment import build, stage, train_actor_critic
from lcjax.losses import divergences
from lcjax.models import apply
from lcjax.training import latent_steps, objectives, steps
from lcjax.training import state as state_lib
from tests.training import one_network

EXPERIMENTS = {
  'celeba': (celeba, (64, 64, 3), 10),
  'mnist': (mnist, (28, 28, 1), 10),
}


def paper(name):
  module, image_shape, num_attributes = EXPERIMENTS[name]
  data = dataset.Dataset(
    np.zeros((1, *image_shape), np.uint8),
    np.zeros((1, num_attributes), np.float32),
    (types.Classes if name == 'mnist' else types.Bits)(
      tuple(f'attribute_{i}' for i in range(num_attributes))
    ),
  )
  config = module.get_config('paper')
  return config, build.build_networks(config, data), data


def count(module, *inputs):
  shapes = jax.eval_shape(module.init, jax.random.key(0), *inputs)
  return sum(leaf.size for leaf in jax.tree.leaves(shapes))


@pytest.mark.parametrize(
  ('name', 'vae', 'classifier', 'actor', 'critic', 'attribute_critic'),
  [
    (
      'celeba',
      154_481_667,
      29_863_178,
      23_101_440,
      18_907_137,
      14_708_746,
    ),
    ('mnist', 6_003_600, 14_217_226, 17_201_280, 16_941_057, 12_742_666),
  ],
)
def test_sizes(name, vae, classifier, actor, critic, attribute_critic):
  config, networks, data = paper(name)
  image = jnp.zeros((1, *data.image_shape))
  z, y = jnp.zeros((1, config.vae.latent_size)), jnp.zeros((1, 10))
  assert count(networks.vae, image) == vae
  judges = [
    build.build_classifier(config, one.section, data) for one in stage.JUDGES
  ]
  assert count(judges[0], image) == classifier
  assert 2 * count(judges[1], image) < classifier
  assert count(networks.actor, z, y) == actor
  assert count(networks.critic, z, y) == critic
  assert count(networks.attribute_critic, z) == attribute_critic


def take_two_steps(step, state, batch):
  """The metrics of each of two compiled steps of a stacked batch."""
  run = jax.jit(steps.scan_steps(step), donate_argnums=0)
  found = []
  for _ in range(2):
    state, metrics = run(state, batch, jax.random.key(1))
    found.append(jax.device_get(metrics))
  return found


@pytest.mark.slow
@pytest.mark.parametrize('name', EXPERIMENTS)
def test_vae_trains(name):
  config, networks, data = paper(name)
  loss_fn = objectives.make_vae_loss(
    apply.Apply(networks.vae, 'encode'),
    apply.Apply(networks.vae, 'decode'),
    config.vae.sigma_x,
    config.vae.beta,
  )
  tx = build.make_optimizer(
    config.vae.optimizer, config.vae.train.num_steps, 'vae.optimizer'
  )
  params = networks.vae.init(jax.random.key(0), jnp.zeros(data.images.shape))
  rng = np.random.default_rng(0)
  batch = {
    'image': rng.integers(0, 255, (1, 2, *data.image_shape), np.uint8),
    'row': np.arange(2)[None],
  }
  first, second = take_two_steps(
    one_network.make_step(loss_fn, tx),
    one_network.create(params, tx, average=False),
    batch,
  )
  assert second['loss'] < first['loss']


@pytest.mark.slow
@pytest.mark.parametrize('name', EXPERIMENTS)
def test_actor_and_critic_train(name):
  config, networks, _ = paper(name)
  section = config.actor_critic
  actor_tx, critic_tx = train_actor_critic.make_actor_optimizers(config)
  z, y = jnp.zeros((1, config.vae.latent_size)), jnp.zeros((1, 10))
  actor, critic = networks.actor, networks.critic
  actor_params = actor.init(jax.random.key(0), z, y)
  critic_params = critic.init(jax.random.key(1), z, y)
  state = state_lib.create(
    {
      'actor': state_lib.create_network(actor_params, actor_tx, False),
      'critic': state_lib.create_network(critic_params, critic_tx, False),
    }
  )
  step = latent_steps.make_actor_critic_step(
    apply.Apply(actor),
    apply.Apply(critic),
    latent_steps.distance_to_start(jnp.ones(config.vae.latent_size)),
    actor_tx,
    critic_tx,
    latent_steps.CriticWeights(
      section.moved_weight,
      section.prior_weight,
      section.mismatched_weight,
      section.gradient_penalty_weight,
    ),
    divergences.GAN,
    section.distance_weight,
    section.actor_on_encodings,
    section.critic_steps_per_actor_step,
    section.average_decay,
  )
  rng = np.random.default_rng(0)
  mean = rng.normal(size=(1, 2, z.shape[1])).astype(np.float32)
  batch = {
    'mean': mean,
    'scale': np.full_like(mean, 0.1),
    'attributes': np.eye(10, dtype=np.float32)[None, :2],
    'other_attributes': np.eye(10, dtype=np.float32)[None, 1:3],
    'row': np.arange(2)[None],
  }
  first, second = take_two_steps(step, state, batch)
  assert second['critic_loss'] < first['critic_loss']
