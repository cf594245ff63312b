"""Learning rates follow the updates of their own network."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from configs import base
from lcjax.experiment import build, train_actor_critic
from lcjax.losses import divergences
from lcjax.training import latent_steps
from lcjax.training import state as state_lib

NUM_STEPS = 40


def config_of(schedule, ratio, distance_weight):
  config = base.get_config()
  section = config.actor_critic
  section.train.num_steps = NUM_STEPS
  section.critic_steps_per_actor_step = ratio
  section.distance_weight = distance_weight
  for name in ('actor_optimizer', 'critic_optimizer'):
    section[name].name = 'sgd'
    section[name].schedule = schedule
    section[name].learning_rate = 1e-3
    section[name].final_learning_rate = 1e-5
  return config


def count_updates(config, actor_tx, critic_tx):
  """Updates of actor and critic in a whole training, as optax counts them."""
  section = config.actor_critic
  params = {'shift': jnp.zeros(2)}
  step = latent_steps.make_actor_critic_step(
    lambda params, z, y: z + params['shift'][None],
    lambda params, z, y: (z + params['shift'][None]).sum(axis=-1),
    latent_steps.distance_to_start(jnp.ones(2)),
    actor_tx,
    critic_tx,
    train_actor_critic.critic_weights(section),
    divergences.GAN,
    section.distance_weight,
    section.actor_on_encodings,
    section.critic_steps_per_actor_step,
    section.average_decay,
  )
  state = state_lib.create(
    {
      'actor': state_lib.create_network(params, actor_tx, True),
      'critic': state_lib.create_network(params, critic_tx, False),
    }
  )
  y = jnp.eye(2)
  batch = {
    'mean': jnp.ones((2, 2)),
    'scale': jnp.ones((2, 2)),
    'attributes': y,
    'other_attributes': y[::-1],
    'row': jnp.arange(2),
  }
  for _ in range(NUM_STEPS):
    state, _ = jax.jit(step)(state, batch, jax.random.key(0))
  return (
    int(optax.tree_utils.tree_get(one.opt_state, 'count'))
    for one in (state['actor'], state['critic'])
  )


def rates(tx, num_updates):
  """The learning rate of every update of plain SGD."""
  state, found = tx.init(jnp.zeros(())), []
  for _ in range(num_updates):
    update, state = tx.update(jnp.ones(()), state)
    found.append(-float(update))
  return np.array(found)


@pytest.mark.parametrize('schedule', ['cosine', 'log_linear'])
@pytest.mark.parametrize('ratio', [1, 10])
@pytest.mark.parametrize('distance_weight', [0.0, 0.1])
def test_every_rate_ends_at_its_last_update(schedule, ratio, distance_weight):
  config = config_of(schedule, ratio, distance_weight)
  txs = train_actor_critic.make_actor_optimizers(config)
  # A distance penalty adds no updates: ablations of it compare equal numbers.
  assert [*count_updates(config, *txs)] == [NUM_STEPS // ratio, NUM_STEPS]
  for tx, num_updates in zip(txs, count_updates(config, *txs), strict=True):
    found = rates(tx, num_updates + 5)
    np.testing.assert_allclose(found[0], 1e-3, rtol=1e-5)
    np.testing.assert_allclose(found[num_updates - 1 :], 1e-5, rtol=1e-4)
    assert np.all(np.diff(found[:num_updates]) < 0)


def test_middle_of_the_way():
  section = base.get_config().vae.optimizer
  section.learning_rate, section.final_learning_rate = 1e-3, 1e-5
  for name, middle in (('cosine', 5.05e-4), ('log_linear', 1e-4)):
    section.schedule = name
    schedule = build.make_schedule(section, 101)
    np.testing.assert_allclose(schedule(50), middle, rtol=1e-5)
