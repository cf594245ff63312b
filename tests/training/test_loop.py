"""The rhythm of calls, and a resumed run that equals an uninterrupted one."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from absl.testing import parameterized

from lcjax import errors
from lcjax.data import batches
from lcjax.latent import noise
from lcjax.training import checkpoints, loop, parallel
from lcjax.training import state as state_lib
from tests.training import one_network


class RhythmTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.calls, self.hooked = [], []

  def train(self, first, num_steps, steps_per_call, should_stop=None):
    def step_fn(state, batch, key):
      self.assertEqual(key, 'key')
      self.calls.append(batch)
      new = state.replace(step=state.step + batch[1])
      return new, {'loss': new.step}

    def hook(name):
      return lambda step, state, metrics: self.hooked.append(
        (name, step, state.step, metrics['loss'])
      )

    state = state_lib.TrainState(np.int32(first), {})
    stop = {} if should_stop is None else {'should_stop': should_stop}
    return loop.train(
      step_fn,
      state,
      lambda step, count: (step, count),
      'key',
      num_steps,
      steps_per_call,
      [hook('a'), hook('b')],
      **stop,
    )

  @parameterized.named_parameters(
    ('divides', 0, 8, 4, [(0, 4), (4, 4)]),
    ('remainder', 0, 10, 4, [(0, 4), (4, 4), (8, 2)]),
    ('fewer_than_a_call', 0, 3, 4, [(0, 3)]),
    ('one_by_one', 0, 2, 1, [(0, 1), (1, 1)]),
    ('resumed', 4, 10, 4, [(4, 4), (8, 2)]),
    ('resumed_out_of_rhythm', 3, 10, 4, [(3, 1), (4, 4), (8, 2)]),
    ('finished', 10, 10, 4, []),
    ('beyond', 11, 10, 4, []),
  )
  def test_calls(self, first, num_steps, steps_per_call, calls):
    state = self.train(first, num_steps, steps_per_call)
    self.assertEqual(self.calls, calls)
    self.assertEqual(state.step, max(first, num_steps))
    ends = [step + count for step, count in calls]
    self.assertEqual(
      self.hooked, [(name, end, end, end) for end in ends for name in 'ab']
    )

  def test_should_stop_ends_it_between_calls(self):
    state = self.train(0, 100, 4, lambda: len(self.calls) == 2)
    self.assertEqual(self.calls, [(0, 4), (4, 4)])
    self.assertEqual(state.step, 8)
    self.calls = []
    self.assertEqual(self.train(0, 100, 4, lambda: True).step, 0)
    self.assertEmpty(self.calls)


@pytest.mark.parametrize(
  'step, count, period, expected',
  [
    (10, 1, 10, True),
    (9, 9, 10, False),
    (12, 4, 10, True),  # 9, 10, 11, 12
    (14, 4, 10, False),  # 11 to 14
    (14, 5, 10, True),
    (40, 40, 10, True),
    (3, 1, 1, True),
  ],
)
def test_crossed(step, count, period, expected):
  assert loop.crossed(step, count, period) == expected


def test_every_period_is_crossed_once_by_calls_that_do_not_divide_it():
  hits = [step for step in range(4, 101, 4) if loop.crossed(step, 4, 10)]
  assert hits == [12, 20, 32, 40, 52, 60, 72, 80, 92, 100]


def test_check_finite():
  loop.check_finite('vae', 3, {'loss': 1e30, 'kl': -1.0})
  for value in (np.nan, np.inf, -np.inf):
    with pytest.raises(errors.UserError, match=f'vae: kl is {value} at step 3'):
      loop.check_finite('vae', 3, {'loss': 1.0, 'kl': value})


# A training with all that must come back: moments, average, noise, batches.
TX = optax.adam(0.05)
CONFIG = {'seed': 5}
X = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)


def make_state():
  params = {'w': jnp.ones((3, 2)), 'b': jnp.zeros((1, 2))}
  return one_network.create(params, TX, average=True)


def loss_fn(params, batch, key):
  z = batch['x'] @ params['w'] + params['b']
  z += 0.5 * noise.normal(key, batch['row'], 2)
  loss = jnp.mean(jnp.square(z - batch['x'][:, :2]))
  return loss, {'loss': loss}


def make_batches(step, count):
  rows = batches.stacked_indices((5, 0), step, count, 8, len(X))
  return {
    'x': X[rows],
    'row': np.broadcast_to(np.arange(8), rows.shape),
  }


def train(folder, mode, num_calls=None):
  """Trains to step 10, or stops after `num_calls`; a checkpoint each call."""
  found = checkpoints.check_same_config(folder, CONFIG)
  state = make_state()
  if found is not None:
    template = jax.eval_shape(make_state)
    state = checkpoints.restore(folder, template, *found)
  saved, losses = [], []
  with checkpoints.open_manager(folder, keep=3) as manager:

    def hook(step, state, metrics):
      checkpoints.save(manager, step, state, CONFIG, 0.0)
      saved.append(step)
      losses.append(metrics['loss'].item())

    make_step = functools.partial(one_network.make_step, loss_fn, TX, 0.9)
    state = loop.train(
      parallel.compile_step(lambda axis: make_step(axis_name=axis), mode),
      state,
      make_batches,
      jax.random.key(5),
      num_steps=10,
      steps_per_call=4,
      hooks=[hook],
      should_stop=lambda: len(saved) == num_calls,
    )
  return jax.device_get(state), saved, losses


@pytest.mark.parametrize('mode', parallel.MODES)
def test_resumed_equals_uninterrupted(tmp_path, mode):
  whole, saved, losses = train(tmp_path / 'whole', mode)
  assert saved == [4, 8, 10]
  assert losses[-1] < losses[0]
  _, first_saved, first = train(tmp_path / 'parts', mode, num_calls=1)
  resumed, then_saved, then = train(tmp_path / 'parts', mode)
  assert (first_saved, then_saved) == ([4], [8, 10])
  assert first + then == losses
  chex.assert_trees_all_equal(resumed, whole)
  assert whole.step == 10
