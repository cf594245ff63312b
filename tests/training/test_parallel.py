"""jit and pmap on eight devices against plain steps on one."""

import functools
import re

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
from absl.testing import parameterized

from lcjax import errors, types
from lcjax.latent import noise
from lcjax.losses import divergences
from lcjax.models import actor, critic, networks, vae
from lcjax.training import latent_steps, objectives, parallel, steps
from lcjax.training import state as state_lib
from tests.training import one_network

KEY = jax.random.key(0)
NUM_CALLS, STEPS_PER_CALL, BATCH_SIZE = 2, 2, 16
# Its steps grow with the gradient, unlike Adam's: a gradient that is summed
# over devices, not averaged, must show.
TX = optax.sgd(0.02, momentum=0.9)

VAE = vae.Vae(
  encoder=networks.MlpEncoder(hidden_sizes=(4,), activation='tanh'),
  decoder=networks.MlpDecoder(
    image_shape=(2, 2, 1), hidden_sizes=(4,), activation='tanh'
  ),
  latent_size=3,
)
LABELS = types.Classes(('0', '1'))
ACTOR = actor.Actor(
  latent_size=3, label_size=2, hidden_sizes=(4,), activation='silu'
)
CRITIC = critic.Critic(label_size=2, hidden_sizes=(4,), activation='silu')
ATTRIBUTE_CRITIC = critic.AttributeCritic(
  num_attributes=2, hidden_sizes=(4,), activation='silu'
)


def create(seed, module, *inputs):
  """A network with random parameters."""
  rng = np.random.default_rng(seed)
  params = jax.tree.map(
    lambda leaf: jnp.array(rng.normal(size=leaf.shape), leaf.dtype),
    jax.eval_shape(module.init, KEY, *inputs),
  )
  return state_lib.create_network(params, TX, average=True)


def make_batches(num_batches):
  """Batches with what every step reads."""
  rng = np.random.default_rng(0)
  shape = (num_batches, BATCH_SIZE)
  eye = np.eye(2, dtype=np.float32)
  return {
    'image': rng.integers(0, 256, (*shape, 2, 2, 1), dtype=np.uint8),
    'mean': rng.normal(size=(*shape, 3)).astype(np.float32),
    'scale': rng.uniform(0.1, 1.0, (*shape, 3)).astype(np.float32),
    'attributes': eye[rng.integers(0, 2, shape)],
    'other_attributes': eye[rng.integers(0, 2, shape)],
    'row': np.broadcast_to(np.arange(BATCH_SIZE), shape),
  }


def regression_case():
  """A small step with noise, for what does not depend on the loss."""

  def loss_fn(params, batch, key):
    eps = noise.normal(key, batch['row'], 3)
    error = (batch['mean'] + eps) @ params['w'] - batch['scale'][:, 0]
    return jnp.mean(error**2), {}

  return (
    lambda: one_network.create({'w': jnp.ones(3)}, TX, average=True),
    lambda axis_name: one_network.make_step(loss_fn, TX, 0.9, axis_name),
  )


def vae_case():
  loss_fn = objectives.make_vae_loss(
    functools.partial(VAE.apply, method='encode'),
    functools.partial(VAE.apply, method='decode'),
    sigma_x=0.5,
    beta=1.0,
  )
  return (
    lambda: state_lib.create(
      {one_network.NAME: create(0, VAE, jnp.zeros((1, 2, 2, 1)))}
    ),
    lambda axis_name: one_network.make_step(loss_fn, TX, 0.9, axis_name),
  )


def actor_critic_case(ratio, weights):
  z, y = jnp.zeros((1, 3)), jnp.zeros((1, 2))
  return (
    lambda: state_lib.create(
      {'actor': create(1, ACTOR, z, y), 'critic': create(2, CRITIC, z, y)}
    ),
    lambda axis_name: latent_steps.make_actor_critic_step(
      ACTOR.apply,
      CRITIC.apply,
      latent_steps.distance_to_start(jnp.array([0.3, 0.5, 0.9])),
      TX,
      TX,
      latent_steps.CriticWeights(*weights),
      divergences.GAN,
      distance_weight=0.1,
      actor_on_encodings=True,
      critic_steps_per_actor_step=ratio,
      average_decay=0.9,
      axis_name=axis_name,
    ),
  )


def latent_critics_case(divergence=divergences.GAN):
  z = jnp.zeros((1, 3))

  def make_constraint(attribute_params, realism_params, quantiles):
    median = divergence.reference(quantiles)

    def cost_fn(z, target):
      (y, mask), reference = target['attributes'], target['near']
      logits = ATTRIBUTE_CRITIC.apply(attribute_params, z)
      realism = CRITIC.apply(realism_params, z)
      cost = LABELS.cross_entropy(logits, y, mask)
      cost += divergence.mover_loss(realism, median)
      cost += 0.1 * jnp.sum((z - reference) ** 2)
      return cost, LABELS.within(logits, y, mask, 0.3)

    return cost_fn

  return (
    lambda: state_lib.create(
      {
        'attribute': create(1, ATTRIBUTE_CRITIC, z),
        'realism': create(2, CRITIC, z),
      }
    ),
    lambda axis_name: latent_steps.make_latent_critics_step(
      ATTRIBUTE_CRITIC.apply,
      CRITIC.apply,
      make_constraint,
      optax.sgd(0.1),
      TX,
      TX,
      latent_steps.CriticWeights(1.0, 0.1, 0.0, 0.0),
      divergence,
      labels=LABELS,
      inner_steps=2,
      average_decay=0.9,
      axis_name=axis_name,
    ),
  )


def collectives(program):
  """Names of the operations of compiled HLO in which devices meet."""
  names = (
    'all-reduce|all-gather|all-to-all|reduce-scatter|collective-permute'
    '|collective-broadcast|ragged-all-to-all'
  )
  return re.findall(rf'(?<= )({names})(?:-start)?\(', program)


def part(tree, index):
  return jax.tree.map(lambda leaf: leaf[index], tree)


class ParallelTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.assertEqual(jax.device_count(), 8)  # see conftest.py

  @parameterized.named_parameters(
    ('vae', vae_case),
    ('actor_critic', lambda: actor_critic_case(1, (1.0, 0.1, 1.0, 0.5))),
    (
      'actor_critic_one_in_three',
      lambda: actor_critic_case(3, (1.0, 0.0, 1.0, 0.0)),
    ),
    ('latent_critics', latent_critics_case),
    # The median is that of the rows of all devices.
    ('pairing', lambda: latent_critics_case(divergences.PAIRING)),
  )
  def test_modes_agree_with_plain_steps(self, case):
    make_state, make_step = case()
    batches = make_batches(NUM_CALLS * STEPS_PER_CALL)
    plain, plain_metrics = make_state(), []
    step = jax.jit(make_step(None))  # one device: it is given host arrays
    for number in range(NUM_CALLS * STEPS_PER_CALL):
      plain, metrics = step(plain, part(batches, number), KEY)
      plain_metrics.append(metrics)
    last = plain_metrics[-STEPS_PER_CALL:]
    plain_means = jax.tree.map(lambda *values: np.mean(values), *last)
    plain_means['nonfinite_gradients'] = 0

    for mode in parallel.MODES:
      with self.subTest(mode):
        step = parallel.compile_step(make_step, mode)
        state = parallel.on_all_devices(make_state())
        for call in range(NUM_CALLS):
          now = slice(call * STEPS_PER_CALL, (call + 1) * STEPS_PER_CALL)
          state, metrics = step(state, part(batches, now), KEY)
        chex.assert_trees_all_close(
          (state, metrics), (plain, plain_means), rtol=1e-5, atol=2e-6
        )

  @parameterized.parameters(*parallel.MODES)
  def test_steps_in_one_call_equal_calls_of_one_step(self, mode):
    make_state, make_step = regression_case()
    batches = make_batches(3)
    step = parallel.compile_step(make_step, mode)
    one_by_one = parallel.on_all_devices(make_state())
    for number in range(3):
      batch = part(batches, slice(number, number + 1))
      one_by_one, _ = step(one_by_one, batch, KEY)
    first = parallel.on_all_devices(make_state())
    together, _ = step(first, batches, KEY)
    chex.assert_trees_all_close(together, one_by_one, rtol=1e-5, atol=1e-6)

  @parameterized.named_parameters(
    # All gradients and metrics together.
    ('vae', vae_case, 1, 1),
    # One for each update: the actor's gradient needs the new critic.
    (
      'actor_critic',
      lambda: actor_critic_case(1, (1.0, 0.1, 1.0, 0.5)),
      2,
      2,
    ),
    # The two critics together; under jit the inner loop asks besides, one bit
    # a step, whether any row on any device still moves.
    ('latent_critics', latent_critics_case, 2, 1),
  )
  def test_devices_meet_once_an_update(self, case, by_jit, by_pmap):
    make_state, make_step = case()
    batches = make_batches(2)
    split = jax.tree.map(
      lambda a: a.reshape(a.shape[0], 8, -1, *a.shape[2:]), batches
    )
    jitted = parallel.jit_over_rows(steps.scan_steps(make_step(None)))
    lowered = jitted.lower(make_state(), batches, KEY)
    found = collectives(lowered.compile().as_text())
    self.assertEqual(found, ['all-reduce'] * by_jit)
    mapped = parallel.pmap_over_rows(steps.scan_steps(make_step('device')))
    lowered = mapped.lower(make_state(), split, KEY)
    found = collectives(lowered.compile().as_text())
    self.assertEqual(found, ['all-reduce'] * by_pmap)

  @parameterized.parameters(*parallel.MODES)
  def test_a_step_is_compiled_once(self, mode):
    chex.clear_trace_counter()
    make_state, make_step = regression_case()
    step = parallel.compile_step(
      lambda axis: chex.assert_max_traces(make_step(axis), n=1), mode
    )
    state = parallel.on_all_devices(make_state())
    for _ in range(3):
      state, _ = step(state, make_batches(2), KEY)
    fresh = parallel.on_all_devices(make_state())
    state, _ = step(fresh, make_batches(2), KEY)

  @parameterized.parameters(*parallel.MODES)
  def test_every_device_takes_its_share(self, mode):
    def make_step(axis_name):
      def step(state, batch, key):
        del key
        sums = {'rows': jnp.sum(batch['row'])}
        if axis_name is not None:
          chex.assert_shape(batch['row'], (2,))
          sums = jax.lax.psum(sums, axis_name)
        return state, sums

      return step

    rows = np.arange(2 * 16).reshape(2, 16)
    _, metrics = parallel.compile_step(make_step, mode)(
      jnp.int32(0), {'row': rows}, KEY
    )
    self.assertEqual(metrics['rows'], rows.sum() / 2)  # a mean over steps

  def test_what_does_not_fit_is_the_users_to_mend(self):
    parallel.check_batch_size(24, 'config.vae.train.batch_size')
    with self.assertRaisesRegex(
      errors.UserError, r'config\.vae\.train\.batch_size=12 .*multiple of 8'
    ):
      parallel.check_batch_size(12, 'config.vae.train.batch_size')
    with self.assertRaisesRegex(errors.UserError, "config.parallel='tpu'"):
      parallel.compile_step(vae_case()[1], 'tpu')
