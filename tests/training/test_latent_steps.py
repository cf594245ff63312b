"""Critic losses row by row, and whole steps of small networks by hand."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
from absl.testing import parameterized

from lcjax import types
from lcjax.losses import divergences
from lcjax.training import latent_steps
from lcjax.training import state as state_lib

KEY = jax.random.key(0)
NONE = latent_steps.CriticWeights(0.0, 0.0, 0.0, 0.0)
CLASSES = np.eye(2, dtype=np.float32)


def softplus(v):
  return np.log1p(np.exp(v))


def sigmoid(v):
  return 1 / (1 + np.exp(-v))


class DrawLatentsTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    rows = np.arange(3000)
    self.batch = {
      'mean': np.tile(np.array([[2.0, -3.0]], np.float32), (3000, 1)),
      'scale': np.tile(np.array([[0.1, 2.0]], np.float32), (3000, 1)),
      'row': rows,
    }

  def test_moments(self):
    real, prior = latent_steps.draw_latents(self.batch, KEY)
    np.testing.assert_allclose(real.mean(axis=0), [2.0, -3.0], atol=0.15)
    np.testing.assert_allclose(real.std(axis=0), [0.1, 2.0], rtol=0.05)
    np.testing.assert_allclose(prior.mean(axis=0), [0.0, 0.0], atol=0.1)
    np.testing.assert_allclose(prior.std(axis=0), [1.0, 1.0], rtol=0.05)
    # The noise of one is not the noise of the other.
    correlation = np.corrcoef(np.array(real[:, 1]), np.array(prior[:, 1]))
    self.assertLess(np.abs(correlation[0, 1]), 0.1)

  def test_a_start_is_moved_instead_of_noise(self):
    start = np.float32(7.0) + self.batch['mean']
    real, prior = latent_steps.draw_latents(self.batch | {'start': start}, KEY)
    np.testing.assert_array_equal(prior, start)
    same, _ = latent_steps.draw_latents(self.batch, KEY)
    np.testing.assert_array_equal(real, same)


class CriticLossTest(parameterized.TestCase):
  """D(z, y) = z[0] + 10 y[0] - y[1]; three rows with different others."""

  def setUp(self):
    super().setUp()
    self.rows = {
      'real': np.array([[0.5], [-1.0], [2.0]], np.float32),
      'moved': np.array([[0.1], [0.2], [-0.7]], np.float32),
      'prior': np.array([[1.1], [-2.2], [0.3]], np.float32),
      'mix': np.array([0.0, 1.0, 0.5], np.float32),
      'attributes': np.array([[1, 0], [0, 1], [0, 1]], np.float32),
      # Of the last row: its own. Of the second: one attribute is the same.
      'other_attributes': np.array([[0, 1], [1, 1], [0, 1]], np.float32),
    }
    # Logits by hand, with own attributes and with those of other rows.
    self.real = np.array([10.5, -2.0, 1.0])
    self.mismatched = np.array([-0.5, 8.0])
    self.moved = np.array([10.1, -0.8, -1.7])
    self.prior = np.array([11.1, -3.2, -0.7])

  def critic(self, z, y):
    return z[:, 0] + 10 * y[:, 0] - y[:, 1]

  def loss(self, **weights):
    weights = NONE._replace(**weights)
    return latent_steps.critic_loss(
      self.critic, self.rows, weights, divergences.GAN
    )

  def test_real_rows_count_one(self):
    loss, metrics = self.loss()
    np.testing.assert_allclose(loss, softplus(-self.real).mean(), rtol=1e-5)
    np.testing.assert_allclose(metrics['critic_loss'], loss)

  @parameterized.parameters('moved', 'prior')
  def test_fakes(self, kind):
    loss, metrics = self.loss(**{kind: 0.3})
    expected = softplus(-self.real).mean()
    expected += 0.3 * softplus(getattr(self, kind)).mean()
    np.testing.assert_allclose(loss, expected, rtol=1e-5)
    np.testing.assert_allclose(metrics['critic_loss'], loss)

  def test_mismatched_rows_leave_out_equal_attributes(self):
    loss, _ = self.loss(mismatched=0.5)
    # Divided by all three rows, although only two are mismatched.
    expected = softplus(-self.real).mean()
    expected += 0.5 * softplus(self.mismatched).sum() / 3
    np.testing.assert_allclose(loss, expected, rtol=1e-5)

  @parameterized.parameters(0.0, 1.0)
  def test_mismatched_rows_are_fakes(self, weight):
    def loss(shift):
      def critic(z, y):
        # Raises the logit of the pairs that do not belong together.
        own = jnp.all(y == self.rows['attributes'], axis=-1)
        return self.critic(z, y) + jnp.where(own, 0.0, shift)

      weights = NONE._replace(mismatched=weight)
      return latent_steps.critic_loss(
        critic, self.rows, weights, divergences.GAN
      )[0]

    slope = jax.grad(loss)(0.0)
    expected = weight * sigmoid(self.mismatched).sum() / 3
    np.testing.assert_allclose(slope, expected, rtol=1e-5)

  def test_gradient_penalty_has_its_weight_and_the_own_attributes(self):
    def critic(z, y):
      return z[:, 0] * (1 + y[:, 0] + 3 * y[:, 1])  # slopes 2, 4, 4

    weights = NONE._replace(gradient_penalty=10.0)
    without, _ = latent_steps.critic_loss(
      critic, self.rows, NONE, divergences.GAN
    )
    loss, _ = latent_steps.critic_loss(
      critic, self.rows, weights, divergences.GAN
    )
    np.testing.assert_allclose(loss - without, 10 * (1 + 9 + 9) / 3, rtol=1e-4)

  def test_gradient_penalty_lies_between_real_and_moved(self):
    def critic(z, y):
      return 0.5 * z[:, 0] ** 2 + 0 * y[:, 0]

    weights = NONE._replace(gradient_penalty=1.0)
    without, _ = latent_steps.critic_loss(
      critic, self.rows, NONE, divergences.GAN
    )
    loss, _ = latent_steps.critic_loss(
      critic, self.rows, weights, divergences.GAN
    )
    points = np.array([0.1, -1.0, 0.65])  # moved, real, half way
    expected = np.mean((np.abs(points) - 1) ** 2)
    np.testing.assert_allclose(loss - without, expected, rtol=1e-4)

  @parameterized.named_parameters(('r1', 'real'), ('r2', 'moved'))
  def test_zero_centred_penalties(self, kind):
    def critic(z, y):
      return z[:, 0] ** 2 * (1 + y[:, 0])

    def loss(**weights):
      return latent_steps.critic_loss(
        critic,
        self.rows,
        NONE._replace(**weights),
        divergences.GAN,
        spread=jnp.array([3.0]),
      )[0]

    weight = {'real': {'r1': 0.2}, 'moved': {'r2': 0.2}}[kind]
    slopes = 2 * self.rows[kind][:, 0] * (1 + self.rows['attributes'][:, 0])
    expected = 0.2 * np.mean((3 * slopes) ** 2) / 2
    np.testing.assert_allclose(loss(**weight) - loss(), expected, rtol=1e-4)

  def test_pairs_are_of_a_fake_and_the_real_row_beside_it(self):
    loss, metrics = latent_steps.critic_loss(
      self.critic,
      self.rows,
      latent_steps.CriticWeights(0.5, 0.2, 0.3, 0.0),
      divergences.PAIRING,
    )
    expected = 0.5 * softplus(self.moved - self.real).mean()
    expected += 0.2 * softplus(self.prior - self.real).mean()
    # Of the third row, the other attributes are its own.
    expected += 0.3 * softplus(self.mismatched - self.real[:2]).sum() / 3
    np.testing.assert_allclose(loss, expected, rtol=1e-5)
    won = sigmoid(self.moved - self.real).mean()
    np.testing.assert_allclose(metrics['generator_score'], won, rtol=1e-5)
    np.testing.assert_allclose(
      metrics['discriminator_score'], 1 - won, rtol=1e-5
    )

  def test_an_output_without_a_zero_does_not_drift(self):
    """Whatever the weights of the fakes, a constant changes nothing."""
    weights = latent_steps.CriticWeights(0.5, 0.2, 0.7, 0.0)
    for name in ('wasserstein', 'pairing'):
      slope = jax.grad(
        lambda shift, row=divergences.TABLE[name]: latent_steps.critic_loss(
          lambda z, y: self.critic(z, y) + shift, self.rows, weights, row
        )[0]
      )(0.0)
      np.testing.assert_allclose(slope, 0.0, atol=1e-6)

  def test_scores(self):
    _, metrics = self.loss()
    fake, real = sigmoid(self.moved).mean(), sigmoid(self.real).mean()
    np.testing.assert_allclose(metrics['generator_score'], fake, rtol=1e-5)
    np.testing.assert_allclose(
      metrics['discriminator_score'], (real + 1 - fake) / 2, rtol=1e-5
    )

  def test_another_divergence_has_its_own_losses_and_probability(self):
    weights = latent_steps.CriticWeights(0.5, 0.2, 0.3, 0.0)
    loss, metrics = latent_steps.critic_loss(
      self.critic, self.rows, weights, divergences.KL
    )
    # At 5 above 1, the exponential goes on as its tangent.
    tangent = np.exp(5.0) * (1 + 4.1)  # of moved, 10.1
    moved = np.append(np.exp(self.moved[1:] - 1), tangent).mean()
    tangent = np.exp(5.0) * (1 + 5.1)  # of prior, 11.1
    prior = np.append(np.exp(self.prior[1:] - 1), tangent).mean()
    tangent = np.exp(5.0) * (1 + 2.0)  # of a mismatched row, 8
    other = (np.exp(self.mismatched[0] - 1) + tangent) / 3
    expected = -self.real.mean() + 0.5 * moved + 0.2 * prior + 0.3 * other
    np.testing.assert_allclose(loss, expected, rtol=1e-5)
    fake = sigmoid(self.moved - 1).mean()
    np.testing.assert_allclose(metrics['generator_score'], fake, rtol=1e-5)
    real = sigmoid(self.real - 1).mean()
    np.testing.assert_allclose(
      metrics['discriminator_score'], (real + 1 - fake) / 2, rtol=1e-5
    )


def make_batch(size=1, num_rows=4, mean=0.5):
  y = CLASSES[np.arange(num_rows) % 2]
  return {
    'mean': np.full((num_rows, size), mean, np.float32),
    'scale': np.zeros((num_rows, size), np.float32),
    'attributes': y,
    'other_attributes': y[::-1].copy(),
    'row': np.arange(num_rows),
  }


def shift_actor(params, z, y):
  """z + w, more for the second class."""
  return z + params['w'] * (1 + y[:, 1:])


def linear_critic(params, z, y):
  return params['v'] * z[:, 0] + params['u'] * y[:, 1]


class ActorCriticStepTest(parameterized.TestCase):
  def make(self, actor_fn=shift_actor, critic_fn=linear_critic, **arguments):
    arguments = {
      'distance_fn': latent_steps.distance_to_start(jnp.array([0.5])),
      'actor_tx': optax.sgd(0.1),
      'critic_tx': optax.sgd(0.1),
      'critic_weights': latent_steps.CriticWeights(1.0, 0.1, 1.0, 0.0),
      'divergence': divergences.GAN,
      'distance_weight': 0.0,
      'actor_on_encodings': True,
      'critic_steps_per_actor_step': 1,
      'average_decay': 0.9,
    } | arguments
    step = latent_steps.make_actor_critic_step(actor_fn, critic_fn, **arguments)
    actor_tx, critic_tx = arguments['actor_tx'], arguments['critic_tx']
    actor, critic = {'w': 0.3}, {'v': 0.7, 'u': -0.2}
    state = state_lib.create(
      {
        name: state_lib.create_network(
          jax.tree.map(jnp.float32, params), tx, average
        )
        for name, params, tx, average in (
          ('actor', actor, actor_tx, True),
          ('critic', critic, critic_tx, False),
        )
      }
    )
    return jax.jit(step), state

  def test_the_actor_minimises_the_mover_loss_of_the_divergence(self):
    step, state = self.make(
      actor_fn=lambda params, z, y: jnp.full_like(z, params['w']),
      critic_fn=lambda params, z, y: params['v'] * z[:, 0],
      divergence=divergences.KL,
    )
    new, metrics = step(state, make_batch(), KEY)
    v = new['critic'].params['v']
    np.testing.assert_allclose(
      metrics['actor_loss'], softplus(1 - v * 0.3), rtol=1e-5
    )

  def test_the_actor_is_compared_with_the_real_row_of_its_place(self):
    step, state = self.make(
      actor_fn=lambda params, z, y: jnp.full_like(z, params['w']),
      critic_fn=lambda params, z, y: params['v'] * z[:, 0],
      divergence=divergences.PAIRING,
      critic_weights=latent_steps.CriticWeights(1.0, 0.0, 0.0, 0.0),
    )
    batch = make_batch() | {
      'mean': np.array([[1.5], [-2], [0], [4]], np.float32)
    }
    new, metrics = step(state, batch, KEY)
    real, w = batch['mean'][:, 0], 0.3
    v = 0.7 - 0.1 * np.mean(sigmoid(0.7 * (w - real)) * (w - real))
    np.testing.assert_allclose(new['critic'].params['v'], v, rtol=1e-5)
    losses = softplus(v * (real - w))
    np.testing.assert_allclose(metrics['actor_loss'], losses.mean(), rtol=1e-5)
    w += 0.1 * np.mean(sigmoid(v * (real - w)) * v)
    np.testing.assert_allclose(new['actor'].params['w'], w, rtol=1e-5)

  def test_one_step_by_hand(self):
    # Moved rows stand at w, real rows at r: nothing is drawn that matters.
    step, state = self.make(
      actor_fn=lambda params, z, y: jnp.full_like(z, params['w']),
      critic_fn=lambda params, z, y: params['v'] * z[:, 0],
      critic_weights=latent_steps.CriticWeights(2.0, 0.0, 0.0, 0.0),
    )
    new, metrics = step(state, make_batch(mean=1.5), KEY)
    v, w, r = 0.7, 0.3, 1.5
    loss = softplus(-v * r) + 2 * softplus(v * w)
    np.testing.assert_allclose(metrics['critic_loss'], loss, rtol=1e-5)
    v -= 0.1 * (-sigmoid(-v * r) * r + 2 * sigmoid(v * w) * w)
    np.testing.assert_allclose(new['critic'].params['v'], v, rtol=1e-5)
    # The actor is judged by the critic that has just been updated.
    np.testing.assert_allclose(
      metrics['actor_loss'], softplus(-v * w), rtol=1e-5
    )
    w += 0.1 * sigmoid(-v * w) * v
    np.testing.assert_allclose(new['actor'].params['w'], w, rtol=1e-5)

  def test_every_kind_of_row_has_its_latents_and_attributes(self):
    # Real latents, and no others, are beyond 50; rows are of the first class,
    # the rows they are mismatched with of the second.
    step, state = self.make(
      actor_fn=lambda params, z, y: z,
      critic_fn=lambda params, z, y: 0.7 * (z[:, 0] > 50) - 2 * y[:, 1],
      critic_weights=latent_steps.CriticWeights(2.0, 0.5, 3.0, 0.0),
    )
    batch = make_batch(mean=100.0) | {
      'attributes': CLASSES[[0] * 4],
      'other_attributes': CLASSES[[1] * 4],
    }
    _, metrics = step(state, batch, KEY)
    loss = softplus(-0.7) + 2.5 * softplus(0.0) + 3 * softplus(0.7 - 2)
    np.testing.assert_allclose(metrics['critic_loss'], loss, rtol=1e-5)

  def test_actor_moves_the_prior_at_its_own_distance(self):
    step, state = self.make(
      critic_fn=lambda params, z, y: 0.0 * z[:, 0],
      distance_weight=0.4,
      actor_on_encodings=False,
    )
    new, metrics = step(state, make_batch(), KEY)
    moves = 0.3 * np.array([1, 2, 1, 2])  # shift_actor's, wherever z starts
    distance = np.mean(np.log1p(moves**2) / 0.25)
    np.testing.assert_allclose(metrics['distance'], distance, rtol=1e-4)
    np.testing.assert_allclose(
      metrics['actor_loss'], np.log(2) + 0.4 * distance, rtol=1e-5
    )
    slopes = 2 * moves / (1 + moves**2) / 0.25 * np.array([1, 2, 1, 2])
    w = 0.3 - 0.1 * 0.4 * slopes.mean()
    np.testing.assert_allclose(new['actor'].params['w'], w, rtol=1e-4)

  @parameterized.parameters(1, 3)
  def test_critic_every_step_actor_one_in_n(self, ratio):
    step, state = self.make(critic_steps_per_actor_step=ratio)
    for number in range(1, 7):
      before = state
      state, metrics = step(state, make_batch(), KEY)
      self.assertEqual(state.step, number)
      self.assertEqual(state['critic'].step, number)
      self.assertNotEqual(
        state['critic'].params['v'],
        before['critic'].params['v'],
      )
      self.assertEqual(state['actor'].step, number // ratio)
      if number % ratio:
        chex.assert_trees_all_equal(state['actor'], before['actor'])
      else:
        self.assertNotEqual(
          state['actor'].params['w'],
          before['actor'].params['w'],
        )
      # Before an update, with the critic after its own, on every step alike.
      _, one = self.make(critic_steps_per_actor_step=1)[0](
        before, make_batch(), KEY
      )
      norm = metrics.pop('mover_grad_norm')
      expected = one.pop('mover_grad_norm')
      np.testing.assert_allclose(norm, 0.0 if number % ratio else expected)
      self.assertGreater(expected, 0.0)
      chex.assert_trees_all_close(metrics, one)

  @parameterized.parameters(2, 3)
  def test_actor_every_step_critic_one_in_n(self, ratio):
    step, state = self.make(actor_steps_per_critic_step=ratio)
    for number in range(1, 7):
      before = state
      state, metrics = step(state, make_batch(), KEY)
      self.assertEqual(state['actor'].step, number)
      self.assertEqual(state['critic'].step, number // ratio)
      self.assertNotEqual(
        state['actor'].params['w'], before['actor'].params['w']
      )
      _, one = self.make()[0](before, make_batch(), KEY)
      norm, expected = metrics['critic_grad_norm'], one['critic_grad_norm']
      if number % ratio:
        chex.assert_trees_all_equal(state['critic'], before['critic'])
        self.assertEqual(norm, 0.0)
      else:
        np.testing.assert_allclose(norm, expected)
      np.testing.assert_allclose(metrics['critic_loss'], one['critic_loss'])

  def test_norms_of_the_gradients(self):
    step, state = self.make(
      actor_fn=lambda params, z, y: jnp.full_like(z, params['w']),
      critic_weights=latent_steps.CriticWeights(2.0, 0.0, 0.0, 0.0),
    )
    new, metrics = step(state, make_batch(mean=1.5), KEY)
    # SGD with a learning rate of .1 shows them.
    for norm, name in (('mover', 'actor'), ('critic', 'critic')):
      moves = [
        (after - then) / 0.1
        for after, then in zip(
          new[name].params.values(), state[name].params.values(), strict=True
        )
      ]
      np.testing.assert_allclose(
        metrics[f'{norm}_grad_norm'], np.linalg.norm(moves), rtol=1e-4
      )

  @parameterized.product(
    weight=(0.0, 0.1), on_encodings=(True, False), ratio=(1, 2)
  )
  def test_no_setting_adds_updates_of_the_actor(
    self, weight, on_encodings, ratio
  ):
    step, state = self.make(
      distance_weight=weight,
      actor_on_encodings=on_encodings,
      critic_steps_per_actor_step=ratio,
    )
    for _ in range(2):
      state, _ = step(state, make_batch(), KEY)
    self.assertEqual(state['actor'].step, 2 // ratio)
    self.assertEqual(state['critic'].step, 2)

  def test_a_traced_weight_counts_as_its_value(self):
    """Members of an ensemble may differ in whether encodings are learned."""
    arguments = {'critic_tx': optax.sgd(0.0)}

    def moved(weight):
      step, state = self.make(distance_weight=weight, **arguments)
      return step(state, make_batch(mean=100.0), KEY)[0]['actor'].params['w']

    found = jax.vmap(moved)(jnp.array([0.0, 0.4]))
    expected = [moved(weight) for weight in (0.0, 0.4)]
    np.testing.assert_allclose(found, expected, rtol=1e-5)

  @parameterized.parameters(True, False)
  def test_half_the_loss_is_of_encodings_with_their_own_labels(
    self, on_encodings
  ):
    # Rows are moved far out only, by their class: prior rows never are.
    step, state = self.make(
      actor_fn=lambda params, z, y: (
        z + params['w'] * (z > 50) * (1 + 2 * y[:, 1:])
      ),
      critic_fn=lambda params, z, y: 0.0 * z[:, 0],
      distance_weight=0.4,
      actor_on_encodings=on_encodings,
    )
    new, metrics = step(state, make_batch(mean=100.0), KEY)
    moves = 0.3 * np.array([1, 3, 1, 3])
    slopes = 2 * moves / (1 + moves**2) / 0.25 * np.array([1, 3, 1, 3])
    w = 0.3 - 0.1 * 0.4 * slopes.mean() / 2 * on_encodings
    np.testing.assert_allclose(new['actor'].params['w'], w, rtol=1e-4)
    self.assertEqual(metrics['distance'], 0.0)  # of the prior rows

  def test_each_loss_reaches_its_own_network_only(self):
    batch = make_batch()
    base, state = self.make(distance_weight=0.2)
    reference, _ = base(state, batch, KEY)
    idle, state = self.make(distance_weight=5.0, actor_tx=optax.sgd(0.0))
    new, _ = idle(state, batch, KEY)
    chex.assert_trees_all_equal(new['critic'], reference['critic'])
    chex.assert_trees_all_equal(new['actor'].params, state['actor'].params)

    results = []
    for weights in ((1.0, 0.1, 1.0, 0.0), (9.0, 3.0, 0.0, 0.0)):
      idle, state = self.make(
        distance_weight=0.2,
        critic_tx=optax.sgd(0.0),
        critic_weights=latent_steps.CriticWeights(*weights),
      )
      new, _ = idle(state, batch, KEY)
      chex.assert_trees_all_equal(new['critic'].params, state['critic'].params)
      results.append(new['actor'])
    chex.assert_trees_all_close(*results, rtol=1e-6)

  def test_noise_follows_from_key_and_step(self):
    step, state = self.make()
    later = state.replace(step=jnp.int32(1))
    losses = [
      step(now, make_batch(), key)[1]['critic_loss'].item()
      for now in (state, later)
      for key in (KEY, jax.random.key(1))
    ]
    self.assertLen(set(losses), 4)
    again = step(state, make_batch(), KEY)[1]['critic_loss']
    self.assertEqual(again, losses[0])


class LatentCriticsStepTest(parameterized.TestCase):
  def make(
    self, inner_steps=1, weights=(2.0, 0.0, 0.0, 0.0), kind=types.Classes
  ):
    def make_constraint(attribute_params, realism_params, quantiles):
      self.assertIsNone(quantiles)  # a density ratio is known

      def cost_fn(z, target):
        (y, mask), reference = target['attributes'], target['near']
        chex.assert_trees_all_equal_shapes(y, mask)
        chex.assert_equal_shape([z, reference])
        # One step of rate 1 ends where the critics' parameters say.
        goal = attribute_params['a'][0] + 10 * realism_params['v'] + y[1]
        return 0.5 * jnp.sum((z - goal * mask[0]) ** 2), False

      return cost_fn

    step = latent_steps.make_latent_critics_step(
      attribute_fn=lambda params, z: z * params['a'][None],
      realism_fn=lambda params, z: params['v'] * z[:, 0],
      make_constraint=make_constraint,
      move_tx=optax.sgd(1.0),
      attribute_tx=optax.sgd(0.1),
      realism_tx=optax.sgd(0.1),
      realism_weights=latent_steps.CriticWeights(*weights),
      divergence=divergences.GAN,
      labels=kind(('a', 'b')),
      inner_steps=inner_steps,
      average_decay=0.9,
    )
    tx = optax.sgd(0.1)
    attribute, realism = {'a': jnp.array([0.4, -0.6])}, {'v': jnp.float32(0.05)}
    state = state_lib.create(
      {
        'attribute': state_lib.create_network(attribute, tx, True),
        'realism': state_lib.create_network(realism, tx, True),
      }
    )
    return jax.jit(step), state

  def test_realism_sees_rows_moved_against_the_critics_as_they_stand(self):
    step, state = self.make()
    new, metrics = step(state, make_batch(size=1, mean=1.5), KEY)
    v, r = 0.05, 1.5
    moved = 0.4 + 0.5 + np.array([0, 1, 0, 1])
    loss = softplus(-v * r) + 2 * softplus(v * moved).mean()
    np.testing.assert_allclose(metrics['critic_loss'], loss, rtol=1e-5)
    slope = -sigmoid(-v * r) * r + 2 * np.mean(sigmoid(v * moved) * moved)
    np.testing.assert_allclose(
      new['realism'].params['v'], v - 0.1 * slope, rtol=1e-4
    )
    self.assertEqual((new.step, new['realism'].step), (1, 1))

  def test_without_inner_steps_the_fakes_are_the_prior(self):
    step, state = self.make(inner_steps=0, weights=(1.0, 0.0, 0.0, 0.0))
    moved, _ = step(state, make_batch(), KEY)
    step, _ = self.make(inner_steps=0, weights=(0.0, 1.0, 0.0, 0.0))
    prior, _ = step(state, make_batch(), KEY)
    chex.assert_trees_all_close(moved, prior, rtol=1e-6)
    step, _ = self.make(inner_steps=1, weights=(1.0, 0.0, 0.0, 0.0))
    inner, _ = step(state, make_batch(), KEY)
    self.assertNotEqual(
      inner['realism'].params['v'],
      moved['realism'].params['v'],
    )

  @parameterized.parameters(types.Classes, types.Bits)
  def test_attributes_are_learnt_on_encodings(self, kind):
    step, state = self.make(kind=kind)
    batch = make_batch(size=2, mean=1.5)
    new, metrics = step(state, batch, KEY)

    def expected_loss(a):
      logits = 1.5 * jnp.tile(a, (4, 1))
      loss_fn = (
        optax.softmax_cross_entropy
        if kind is types.Classes
        else optax.sigmoid_binary_cross_entropy
      )
      return jnp.mean(loss_fn(logits, batch['attributes']))

    a = state['attribute'].params['a']
    loss, grad = jax.value_and_grad(expected_loss)(a)
    np.testing.assert_allclose(metrics['attribute_loss'], loss, rtol=1e-5)
    np.testing.assert_allclose(
      new['attribute'].params['a'], a - 0.1 * grad, rtol=1e-5
    )
    self.assertEqual(metrics['attribute_accuracy'], 0.5)
    self.assertEqual(new['attribute'].step, 1)
