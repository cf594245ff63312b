"""Movers made of movers, on functions whose answers are known."""

import flax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lcjax import errors
from lcjax.constraints import base as constraints
from lcjax.constraints import compose, near
from lcjax.movers import base, optimizer, wrappers

KEY = jax.random.key(0)
START = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)


@flax.struct.dataclass
class Above(constraints.Constraint):
  """The first coordinate exceeds a value, that of the target if there is."""

  least: float
  name: str = flax.struct.field(pytree_node=False, default='above')

  def __call__(self, z, target):
    short = self.least + target.get('offset', 0.0) - z[0]
    return constraints.Verdict(jnp.maximum(short, 0.0), short <= 0)

  def negated(self):
    raise errors.UserError('no')

  def names(self):
    return (self.name,)

  def targets(self):
    return ()


def draw(target, rows, key):
  """Noise whose first coordinate is above 0 in one row of two."""
  keys = jax.vmap(jax.random.fold_in, (None, 0))(key, rows)
  return np.asarray(jax.vmap(lambda k: jax.random.normal(k, (3,)))(keys))


def shift(amount):
  """A mover along the first coordinate, in three steps."""

  def mover(start, target, rows=None, key=None):
    z = start + np.float32([amount, 0, 0])
    return base.Moved(
      z, start, np.full(len(z), 3), z[:, 0] > 0, np.abs(z[:, 0])
    )

  return mover


def test_rejected_rows_are_redrawn_and_no_others():
  move = wrappers.retry(wrappers.stay(), draw, Above(0.0), tries=20)
  moved = move(START, {}, key=KEY)
  good = START[:, 0] >= 0
  assert 0 < good.sum() < 40
  np.testing.assert_array_equal(moved.z[good], START[good])
  np.testing.assert_array_equal(moved.tries[good], 1)
  assert (moved.tries[~good] > 1).all()
  assert moved.satisfied.all() and (moved.z[:, 0] >= 0).all()
  np.testing.assert_array_equal(moved.start, moved.z)
  np.testing.assert_array_equal(moved.z, move(START, {}, key=KEY).z)
  assert moved.steps is None


def test_a_row_keeps_its_noise_whichever_others_are_tried():
  move = wrappers.retry(wrappers.stay(), draw, Above(0.5), tries=9)
  whole = move(START, {}, key=KEY)
  rows = np.array([5, 7, 30])
  some = move(START[rows], {}, rows, KEY)
  np.testing.assert_array_equal(some.z, whole.z[rows])
  np.testing.assert_array_equal(some.tries, whole.tries[rows])


def test_every_round_has_noise_and_targets_of_its_own():
  seen = []

  def mover(start, target, rows, key):
    seen.append((tuple(jax.random.key_data(key).tolist()), rows, target['y']))
    return base.Moved(start, start)

  wrappers.retry(mover, draw, Above(0.0), tries=3)(
    START, {'y': np.arange(40)}, key=KEY
  )
  keys, rows, targets = zip(*seen, strict=True)
  assert len(set(keys)) == len(keys) == 3
  np.testing.assert_array_equal(rows[0], np.arange(40))
  np.testing.assert_array_equal(rows[1], np.flatnonzero(START[:, 0] < 0))
  np.testing.assert_array_equal(targets[1], rows[1])


def test_of_rejected_tries_the_least_cost_is_kept():
  never = wrappers.retry(wrappers.stay(), draw, Above(9.0), tries=5)
  moved = never(START, {}, key=KEY)
  assert not moved.satisfied.any()
  np.testing.assert_allclose(moved.cost, 9.0 - moved.z[:, 0], rtol=1e-6)
  assert (moved.z[:, 0] >= START[:, 0]).all()
  assert (moved.z[:, 0] > START[:, 0]).sum() > 20


def test_without_costs_the_last_try_is_kept():
  rounds = []

  def refuse(z, target):
    rounds.append(z)
    return np.zeros(len(z), bool)

  moved = wrappers.retry(wrappers.stay(), draw, refuse, tries=3)(
    START, {}, key=KEY
  )
  np.testing.assert_array_equal(moved.z, rounds[2])
  assert moved.cost is None


def test_a_mover_is_its_own_judge_and_steps_are_summed():
  mover = shift(0.1)
  once = mover(START, {}, key=KEY)
  assert wrappers.retry(mover, draw, tries=1) is mover
  np.testing.assert_array_equal(once.steps, 3)
  assert once.tries is None
  four = wrappers.retry(shift(0.1), draw, tries=4, always=True)(
    START, {}, key=KEY
  )
  np.testing.assert_array_equal(four.steps, 12)
  assert four.satisfied.mean() > once.satisfied.mean() + 0.3
  both = four.satisfied & once.satisfied
  assert (four.cost[both] <= once.cost[both]).all()
  assert (four.cost[both] < once.cost[both]).any()


@pytest.mark.parametrize(
  'make, text',
  [
    (lambda: wrappers.retry(wrappers.stay(), draw, tries=0), 'tries=0'),
    (
      lambda: wrappers.retry(wrappers.stay(), draw)(START, {}, key=KEY),
      'give accept',
    ),
    (lambda: wrappers.retry(shift(1), draw)(START, {}), 'key:'),
    (
      lambda: wrappers.retry(shift(1), draw, lambda z, y: np.ones(3))(
        START, {}, key=KEY
      ),
      '40 rows give an array of shape (3,)',
    ),
    (lambda: wrappers.backtrack(shift(1), Above(0.0), 0), 'num_points=0'),
    (lambda: base.verdicts(Above(0.0), START[0], {}), 'start: the shape'),
  ],
)
def test_a_mistake_is_one_line(make, text):
  with pytest.raises(errors.UserError) as caught:
    make()
  assert text in str(caught.value) and '\n' not in str(caught.value)


def test_then_goes_on_from_the_end_and_keeps_the_first_start():
  seen = {}

  def second(start, target, rows=None, key=None):
    seen.update(start=start, target=target)
    return shift(1.0)(start, target)

  moved = wrappers.Then(shift(2.0), second, ('near',))(START, {'y': 1})
  np.testing.assert_allclose(moved.z[:, 0], START[:, 0] + 3.0, rtol=1e-5)
  np.testing.assert_array_equal(moved.start, START)
  np.testing.assert_array_equal(seen['target']['near'], START)
  assert seen['target']['y'] == 1


def test_references_are_found_in_whatever_wraps_a_mover():
  close = near.Near(jnp.ones(3))
  inner = optimizer.optimizer(compose.all_of(Above(0.0), close))
  for second in (inner, wrappers.retry(inner, draw, tries=2)):
    assert wrappers.then(shift(1.0), second).references == ('near',)
  assert wrappers.then(inner, shift(1.0)).references == ()


def test_backtracking_goes_back_while_the_constraint_is_met():
  start = np.zeros((4, 3), np.float32)
  # Met from 0.5 on; the last row never is and stays where it was moved to.
  target = {'offset': np.float32([0, 0, 0, 100])}
  with pytest.raises(errors.UserError):  # nothing is moved
    wrappers.backtrack(wrappers.stay(), Above(0.5), 0)
  move = wrappers.backtrack(shift(1.0), Above(0.5), num_points=10)

  @flax.struct.dataclass
  class Offset(Above):
    def targets(self):
      return ('offset',)

  move = wrappers.backtrack(shift(1.0), Offset(0.5), num_points=10)
  moved = move(start, target)
  np.testing.assert_allclose(moved.z[:, 0], [0.5, 0.5, 0.5, 1.0], rtol=1e-6)
  np.testing.assert_array_equal(moved.satisfied, [True, True, True, False])
