"""One train step by hand, its noise, and several steps in one call."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
from absl.testing import parameterized

from lcjax.training import state as state_lib
from lcjax.training import steps
from tests.training import one_network

KEY = jax.random.key(3)
TX = optax.sgd(0.1)


def least_squares(params, batch, key):
  del key
  error = batch['x'] @ params['w'] - batch['y']
  loss = jnp.mean(error**2)
  return loss, {'loss': loss}


def noisy(params, batch, key):
  """A loss whose gradient is the noise itself."""
  del batch
  noise = jax.random.normal(key, (2,))
  return jnp.sum(params['w'] * noise), {'noise': noise[0]}


def make_network(average=False):
  return state_lib.create_network({'w': jnp.array([1.0, -1.0])}, TX, average)


def make_state(average=False):
  return state_lib.create({one_network.NAME: make_network(average)})


def make_batches(num_batches):
  rng = np.random.default_rng(0)
  return {
    'x': rng.normal(size=(num_batches, 4, 2)).astype(np.float32),
    'y': rng.normal(size=(num_batches, 4)).astype(np.float32),
  }


class UpdateTest(chex.TestCase):
  @chex.variants(with_jit=True, without_jit=True)
  def test_is_gradient_descent(self):
    step = self.variant(steps.make_update(least_squares, TX))
    batch = jax.tree.map(lambda leaf: leaf[0], make_batches(1))
    state = make_network()
    new, metrics = step(state, batch, KEY)
    w = np.array(state.params['w'])
    error = batch['x'] @ w - batch['y']
    grad = 2 * error @ batch['x'] / 4
    np.testing.assert_allclose(new.params['w'], w - 0.1 * grad, rtol=1e-5)
    np.testing.assert_allclose(metrics['loss'], np.mean(error**2), rtol=1e-5)
    self.assertEqual((new.step, new.step.dtype), (1, jnp.int32))
    self.assertIsNone(new.average)
    chex.assert_trees_all_equal_shapes_and_dtypes(new, state)

  def test_optimiser_carries_its_state_and_sees_the_parameters(self):
    tx = optax.adamw(0.1, weight_decay=0.5)
    step = jax.jit(steps.make_update(least_squares, tx))
    batches = make_batches(3)
    params = {'w': jnp.array([1.0, -1.0])}
    state = state_lib.create_network(params, tx, average=False)
    opt_state = tx.init(params)
    for number in range(3):
      batch = jax.tree.map(lambda leaf, n=number: leaf[n], batches)
      state, _ = step(state, batch, KEY)
      grad = jax.grad(lambda p, b=batch: least_squares(p, b, KEY)[0])(params)
      updates, opt_state = tx.update(grad, opt_state, params)
      params = optax.apply_updates(params, updates)
    chex.assert_trees_all_close(state.params, params, rtol=1e-5)
    chex.assert_trees_all_close(state.opt_state, opt_state, rtol=1e-5)
    self.assertEqual(state.step, 3)

  def test_noise_follows_from_key_and_step(self):
    step = jax.jit(steps.make_update(noisy, TX))
    first, second = make_network(), make_network().replace(step=jnp.int32(1))
    found = {
      (seed, int(state.step)): step(state, {}, jax.random.key(seed))[1]['noise']
      for seed in (0, 1)
      for state in (first, second)
    }
    self.assertLen(set(map(float, found.values())), 4)
    after_first, _ = step(first, {}, jax.random.key(0))
    again = step(after_first, {}, jax.random.key(0))[1]['noise']
    self.assertEqual(again, found[0, 1])  # whatever the parameters are


class NonFiniteTest(parameterized.TestCase):
  @parameterized.parameters(np.nan, np.inf, -np.inf)
  def test_a_skipped_step_changes_nothing_but_the_counts(self, value):
    tx = optax.adam(0.1)
    step = jax.jit(
      steps.make_update(least_squares, tx, 0.9, skip_nonfinite=True)
    )
    good = jax.tree.map(lambda leaf: leaf[0], make_batches(1))
    bad = good | {'x': good['x'].copy()}
    bad['x'][1, 0] = value
    params = {'w': jnp.array([1.0, -1.0])}
    first, _ = step(
      state_lib.create_network(params, tx, average=True), good, KEY
    )
    second, _ = step(first, bad, KEY)
    self.assertEqual((second.step, second.nonfinite), (2, 1))
    chex.assert_trees_all_equal(
      second.replace(step=first.step, nonfinite=first.nonfinite), first
    )
    third, _ = step(second, good, KEY)
    self.assertEqual((third.step, third.nonfinite), (3, 1))
    self.assertTrue(np.any(third.params['w'] != first.params['w']))

  def test_without_skipping_it_is_counted_and_taken(self):
    step = jax.jit(steps.make_update(least_squares, TX))
    bad = jax.tree.map(lambda leaf: leaf[0] * np.nan, make_batches(1))
    state, _ = step(make_network(), bad, KEY)
    self.assertEqual(state.nonfinite, 1)
    self.assertTrue(np.all(np.isnan(state.params['w'])))

  def test_the_count_of_all_networks_is_a_metric(self):
    batches = make_batches(3)
    batches['y'][1, 2] = np.nan
    update = steps.make_update(least_squares, TX, skip_nonfinite=True)
    both = steps.make_train_step({'first': update, 'second': update})
    state = state_lib.create(
      {'first': make_network(), 'second': make_network()}
    )
    _, metrics = jax.jit(steps.scan_steps(both, skip_nonfinite=True))(
      state, batches, KEY
    )
    self.assertEqual(metrics['nonfinite_gradients'], 2)
    # The loss is a mean over the other two steps.
    kept = jax.tree.map(lambda leaf: leaf[np.array([0, 2])], batches)
    one = one_network.make_step(least_squares, TX, skip_nonfinite=True)
    _, expected = jax.jit(steps.scan_steps(one))(make_state(), kept, KEY)
    np.testing.assert_allclose(metrics['loss'], expected['loss'], rtol=1e-5)


class ScanStepsTest(parameterized.TestCase):
  @parameterized.parameters(1, 3)
  def test_equals_single_steps_and_averages_their_metrics(self, count):
    step = one_network.make_step(least_squares, TX, 0.9)
    batches = make_batches(count)
    state, losses = make_state(average=True), []
    for number in range(count):
      batch = jax.tree.map(lambda leaf, n=number: leaf[n], batches)
      state, metrics = jax.jit(step)(state, batch, KEY)
      losses.append(metrics['loss'])
    many, metrics = jax.jit(steps.scan_steps(step))(
      make_state(average=True), batches, KEY
    )
    chex.assert_trees_all_close(many, state, rtol=1e-5)
    np.testing.assert_allclose(metrics['loss'], np.mean(losses), rtol=1e-5)

  def test_one_step_is_no_loop(self):
    many = steps.scan_steps(one_network.make_step(least_squares, TX))
    for count, loops in ((1, 0), (2, 1)):
      program = jax.make_jaxpr(many)(make_state(), make_batches(count), KEY)
      self.assertEqual(str(program).count('scan['), loops)

  def test_a_nan_is_not_lost(self):
    batches = make_batches(3)
    batches['y'][0, 2] = np.nan
    step = one_network.make_step(least_squares, optax.sgd(0.0))
    _, metrics = jax.jit(steps.scan_steps(step))(make_state(), batches, KEY)
    self.assertTrue(np.isnan(metrics['loss']))
