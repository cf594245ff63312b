"""States, and the average of their parameters."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
from absl.testing import parameterized

from lcjax.training import state as state_lib
from lcjax.training import steps

PARAMS = {'w': jnp.array([1.0, -2.0]), 'b': jnp.float32(3.0)}


def drift(params, batch, key):
  """A loss whose gradient is the batch's own row."""
  del key
  return jnp.sum(params['w'] * batch['x'][0]) + params['b'], {}


class StateTest(parameterized.TestCase):
  def test_before_the_first_step(self):
    tx = optax.adam(0.1)
    state = state_lib.create_network(PARAMS, tx, average=True)
    self.assertEqual((state.step.dtype, state.step), (jnp.int32, 0))
    chex.assert_trees_all_equal(state.params, PARAMS)
    chex.assert_trees_all_equal(state.opt_state, tx.init(PARAMS))
    zeros = jax.tree.map(np.zeros_like, PARAMS)
    chex.assert_trees_all_equal(state.average, zeros)
    self.assertIsNone(
      state_lib.create_network(PARAMS, tx, average=False).average
    )

  def test_without_an_average_the_parameters_serve(self):
    state = state_lib.create_network(PARAMS, optax.sgd(0.1), average=False)
    chex.assert_trees_all_equal(state_lib.averaged(state, 0.9), PARAMS)

  @parameterized.parameters(0.0, 0.9, 0.998)
  def test_average_is_the_debiased_moving_average(self, decay):
    tx = optax.sgd(0.5)
    step = jax.jit(steps.make_update(drift, tx, decay))
    state = state_lib.create_network(PARAMS, tx, average=True)
    rng = np.random.default_rng(0)
    sums, weight = np.zeros(3), 0.0
    for number in range(6):
      x = rng.normal(size=(1, 2)).astype(np.float32)
      state, _ = step(state, {'x': x}, jax.random.key(0))
      now = np.append(state.params['w'], state.params['b'])
      sums = decay * sums + (1 - decay) * now
      weight = decay * weight + (1 - decay)
      found = state_lib.averaged(state, decay)
      found = np.append(found['w'], found['b'])
      np.testing.assert_allclose(found, sums / weight, rtol=3e-5)
      if number == 0:
        np.testing.assert_allclose(found, now, rtol=3e-5)

  @parameterized.parameters((0,), (3, 4), tuple(range(0, 1000, 2)))
  def test_skipped_steps_leave_no_trace_in_the_average(self, *skipped):
    """Parameters that never change are their own average."""
    tx, decay = optax.sgd(0.0), 0.998
    step = steps.make_update(drift, tx, decay, skip_nonfinite=True)
    gradients = np.ones((1000, 1, 2), np.float32)
    gradients[list(skipped)] = np.nan

    @jax.jit
    def run(state):
      def body(state, x):
        return step(state, {'x': x}, jax.random.key(0))[0], None

      return jax.lax.scan(body, state, gradients)[0]

    state = state_lib.create_network(PARAMS, tx, average=True)
    after_one, _ = step(state, {'x': gradients[0]}, jax.random.key(0))
    for one in (after_one, run(state)):
      found = state_lib.averaged(one, decay)
      chex.assert_trees_all_close(found, PARAMS, rtol=1e-4)
