"""Optimizer-G on costs whose minimum and path are known."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from lcjax.latent import optimize

RNG = np.random.default_rng(0)
START = RNG.normal(size=(5, 3)).astype(np.float32)
GOAL = RNG.normal(size=(5, 3)).astype(np.float32)
CURVATURE = np.array([0.5, 1.0, 2.0], np.float32)


def quadratic(z, goal):
  return 0.5 * jnp.sum(CURVATURE * (z - goal) ** 2), jnp.bool_(False)


def within(radius):
  def cost_fn(z, goal):
    satisfied = jnp.max(jnp.abs(z - goal)) < radius
    return 0.5 * jnp.sum((z - goal) ** 2), satisfied

  return cost_fn


class OptimizeTest(chex.TestCase):
  @chex.variants(with_jit=True, without_jit=True)
  def test_gradient_descent_takes_its_exact_path(self):
    @self.variant
    def move(start, goal):
      return optimize.optimize_latents(
        quadratic, start, goal, optax.sgd(0.3), 7
      )

    found = move(START, GOAL)
    expected = GOAL + (1 - 0.3 * CURVATURE) ** 7 * (START - GOAL)
    np.testing.assert_allclose(found.z, expected, rtol=1e-5, atol=1e-6)
    cost = 0.5 * (CURVATURE * (expected - GOAL) ** 2).sum(axis=1)
    np.testing.assert_allclose(found.cost, cost, rtol=1e-4)
    np.testing.assert_array_equal(found.steps, np.full(5, 7))
    np.testing.assert_array_equal(found.satisfied, np.zeros(5, bool))

  def test_target_is_a_tree_given_row_by_row(self):
    weight = np.array([0.0, 0.1, 1.0, 3.0, 0.5], np.float32)

    def cost_fn(z, target):
      cost = 0.5 * jnp.sum((z - target['goal']) ** 2)
      near = 0.5 * jnp.sum((z - target['reference'][0]) ** 2)
      return cost + target['reference'][1] * near, False

    target = {'goal': GOAL, 'reference': (START, weight)}
    found = optimize.optimize_latents(
      cost_fn, 0 * START, target, optax.adam(0.1), 400
    )
    w = weight[:, None]
    np.testing.assert_allclose(found.z, (GOAL + w * START) / (1 + w), atol=1e-3)

  def test_a_row_has_no_gradient_to_another_ones_start(self):
    def moved(start):
      return optimize.optimize_latents(
        quadratic, start, GOAL, optax.sgd(0.3), 4
      ).z

    jacobian = jax.jacfwd(moved)(START)  # [B, Z, B, Z]
    expected = np.zeros((5, 3, 5, 3), np.float32)
    for row in range(5):
      expected[row, :, row] = np.diag((1 - 0.3 * CURVATURE) ** 4)
    np.testing.assert_allclose(jacobian, expected, rtol=1e-5)
    self.assertTrue(np.all((np.array(jacobian) != 0) == (expected != 0)))

  def test_a_satisfied_row_stays(self):
    # The distance halves in each step: 0, 1, 3 steps, and none in time.
    distance = np.array([0.05, 0.15, 0.75, 1e6], np.float32)
    start, goal = GOAL[:4] + distance[:, None], GOAL[:4]
    found = optimize.optimize_latents(
      within(0.1), start, goal, optax.sgd(0.5), 10
    )
    np.testing.assert_array_equal(found.steps, [0, 1, 3, 10])
    np.testing.assert_array_equal(found.satisfied, [True, True, True, False])
    np.testing.assert_array_equal(found.z[0], start[0])
    left = distance / 2.0 ** np.array([0, 1, 3, 10])
    np.testing.assert_allclose(
      found.z, goal + left[:, None], rtol=1e-5, atol=1e-6
    )
    np.testing.assert_allclose(found.cost, 1.5 * left**2, rtol=1e-4)
    # The rows that rested stayed where they are when alone.
    for row in range(3):
      one = slice(row, row + 1)
      alone = optimize.optimize_latents(
        within(0.1), start[one], goal[one], optax.sgd(0.5), 10
      )
      np.testing.assert_array_equal(alone.z[0], found.z[row])

  @chex.variants(with_jit=True, without_jit=True)
  def test_max_steps_may_be_traced(self):
    chex.clear_trace_counter()

    @self.variant
    @chex.assert_max_traces(n=1)
    def move(max_steps):
      return optimize.optimize_latents(
        quadratic, START, GOAL, optax.sgd(0.3), max_steps
      )

    for num_steps in (0, 1, 5):
      found = move(jnp.int32(num_steps))
      np.testing.assert_array_equal(found.steps, np.full(5, num_steps))
      expected = GOAL + (1 - 0.3 * CURVATURE) ** num_steps * (START - GOAL)
      np.testing.assert_allclose(found.z, expected, rtol=1e-5, atol=1e-6)

  def test_each_row_has_an_optimiser_of_its_own(self):
    # Adam's moments are per row: a result knows nothing of the batch.
    @jax.jit
    def move(start, goal):
      return optimize.optimize_latents(
        within(0.05), start, goal, optax.adam(0.1), 30
      )

    whole = move(START, GOAL)
    self.assertGreater(len(set(whole.steps.tolist())), 1)
    for rows in ([3], [4, 0], [2, 1, 3]):
      part = move(START[rows], GOAL[rows])
      expected = jax.tree.map(lambda leaf, r=rows: leaf[np.array(r)], whole)
      chex.assert_trees_all_close(part, expected, rtol=1e-6, atol=1e-6)


def rows_that_rest_early():
  """Of 40 rows, row i needs about 2 i steps; the last three never converge."""
  distance = np.arange(40, dtype=np.float32)
  start = np.stack([distance, np.zeros(40), -distance], axis=1)
  goal = np.zeros((40, 3), np.float32)
  goal[-3:] = np.inf
  return start.astype(np.float32), goal


def reach(z, goal):
  finite = jnp.where(jnp.isfinite(goal), goal, 1e3)
  return jnp.sum(jnp.abs(z - finite)), jnp.max(jnp.abs(z - goal)) < 0.6


@pytest.mark.parametrize('num_rows', [40, 13, 1])
def test_smaller_loops_change_nothing(num_rows):
  start, goal = (array[-num_rows:] for array in rows_that_rest_early())
  tx = optax.chain(optax.trace(0.0), optax.sgd(0.5))
  plain, compacted = (
    jax.jit(
      lambda start, goal, n=smallest: optimize.optimize_latents(
        reach, start, goal, tx, 100, n
      )
    )(start, goal)
    for smallest in (None, 4)
  )
  chex.assert_trees_all_equal(plain, compacted)
  assert plain.satisfied.sum() == num_rows - min(3, num_rows)
  assert (plain.steps[-min(3, num_rows) :] == 100).all()


def test_rows_that_rest_stop_costing():
  start, goal = rows_that_rest_early()

  def evaluations(smallest):
    count = 0

    def note(_):
      nonlocal count
      count += 1

    def cost_fn(z, goal):
      jax.debug.callback(note, z[0])
      return reach(z, goal)

    optimize.optimize_latents(
      cost_fn, start, goal, optax.sgd(0.5), 200, smallest
    )
    jax.effects_barrier()
    return count

  assert evaluations(None) == 40 * 201
  steps = np.asarray(
    optimize.optimize_latents(reach, start, goal, optax.sgd(0.5), 200).steps
  )
  # Never more than twice what moves, but for the smallest loop.
  assert evaluations(4) <= 40 + 2 * steps.sum() + 5 * 200
