"""Actors that are learned in memory, on two clusters."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import lcjax
from lcjax import errors
from lcjax.constraints import base as constraints
from lcjax.training import fit
from tests.movers import clusters

KEY = jax.random.key(0)
ROWS = np.arange(200)
Y = np.eye(2, dtype=np.float32)[ROWS % 2]
learn = functools.partial(
  lcjax.learn_actor,
  hidden_sizes=(32, 32),
  num_steps=400,
  progress=False,
)


@pytest.fixture(scope='module')
def parts():
  model, data = clusters.make()
  options = {'hidden_sizes': (32,), 'num_steps': 300, 'progress': False}
  classes = lcjax.learn_attributes(data, KEY, **options)
  realism = lcjax.learn_realism(data, KEY, **options)
  start = lcjax.prior_start(model)({}, ROWS, KEY)
  return model, data, lcjax.all_of(realism, classes), start


def test_an_actor_moves_each_row_to_its_own_class(parts):
  _, data, want, start = parts
  actor = learn(want, data, KEY)
  moved = actor(start, {'attributes': Y})
  assert clusters.share_near(start, Y) < 0.3
  assert clusters.share_near(moved.z, Y) > 0.9
  swapped = actor(start, {'attributes': 1.0 - Y})
  assert clusters.share_near(swapped.z, 1.0 - Y) > 0.9
  np.testing.assert_array_equal(moved.start, start)


def test_without_an_adversary_it_meets_the_constraint_alone(parts):
  model, data, want, start = parts
  at_three = lcjax.on_sample(
    model,
    penalty=lambda x: jnp.square(x[1] - 3.0),
    name='height',
    tolerance=0.3,
  )
  both = lcjax.all_of(want.parts[1], at_three)
  moved = learn(both, data, KEY, adversary=None)(start, {'attributes': Y})
  found = lcjax.verdicts(both, moved.z, {'attributes': Y})
  assert found.met.mean() > 0.9
  assert lcjax.verdicts(both, start, {'attributes': Y}).met.mean() < 0.1


def test_two_classifiers_are_told_apart_by_their_names(parts):
  """Which side, by one; how high, by another."""
  model, data, want, start = parts
  z = data.encodings.mean
  high = (z[:, 1] > 0).astype(int)
  options = {'hidden_sizes': (32,), 'num_steps': 300, 'progress': False}
  levels = lcjax.learn_attributes(
    lcjax.encode(model, z, high), KEY, name='level', **options
  )
  both = lcjax.all_of(want.parts[1], levels)
  level = np.eye(2, dtype=np.float32)[high]
  targets = {'attributes': data.encodings.attributes, 'level': level}
  actor = learn(both, data, KEY, targets=targets, adversary=None)
  wanted = np.eye(2, dtype=np.float32)[ROWS // 2 % 2]
  moved = actor(start, {'attributes': Y, 'level': wanted})
  assert ((moved.z[:, 0] < 0) == Y[:, 1]).mean() > 0.95
  assert ((moved.z[:, 1] > 0) == wanted[:, 1]).mean() > 0.95
  with pytest.raises(errors.UserError, match="no 'level'"):
    actor(start, {'attributes': Y})


def test_told_masks_it_leaves_the_rest_to_the_start(parts):
  """Asked for nothing, each row may stay on its side."""
  _, data, want, start = parts
  y = data.encodings.attributes
  mask = np.repeat(np.arange(len(y))[:, None] % 2, 2, axis=1)
  targets = {'attributes': (y, mask.astype(np.float32))}
  near = lcjax.all_of(want.parts[1], lcjax.near(data), weights=(10.0, 0.01))
  actor = learn(near, data, KEY, targets=targets, adversary=None)
  assert actor.masked
  ones, zeros = np.ones_like(Y), np.zeros_like(Y)
  asked = actor(start, {'attributes': (Y, ones)})
  free = actor(start, {'attributes': (Y, zeros)})
  swapped = actor(start, {'attributes': (1.0 - Y, zeros)})
  np.testing.assert_array_equal(free.z, swapped.z)
  gaps = [np.linalg.norm(m.z - start, axis=1).mean() for m in (asked, free)]
  assert gaps[1] < 0.6 * gaps[0]


def test_a_second_actor_compiles_nothing_new(parts):
  _, data, want, _ = parts
  short = functools.partial(learn, num_steps=2)
  first = short(want, data, KEY)
  before = fit._compiled.cache_info()
  second = short(want, data, jax.random.key(1))
  after = fit._compiled.cache_info()
  assert (after.hits, after.misses) == (before.hits + 1, before.misses)
  assert jax.tree.structure(first) == jax.tree.structure(second)


@pytest.mark.parametrize(
  'change, text',
  [
    ({'targets': {}}, "no 'attributes'"),
    ({'targets': {'attributes': np.ones((3, 2))}}, 'its first axis must be'),
  ],
)
def test_a_mistake_is_one_line(parts, change, text):
  _, data, want, _ = parts
  with pytest.raises(lcjax.UserError) as caught:
    learn(want, data, KEY, **change)
  assert text in str(caught.value) and '\n' not in str(caught.value)


def test_without_a_target_it_meets_the_constraint_all_the_same(parts):
  """As a rule without labels: real rows that obey, and nothing to tell."""
  _, data, _, _ = parts
  right = lcjax.on_sample(
    parts[0],
    lambda x: jnp.maximum(0.0, 1.0 - x[0]),
    name='right',
    tolerance=0.5,
  )
  some = data.rows(data.encodings.mean[:, 0] > 0.5)
  actor = learn(right, some, KEY, num_steps=300)
  rows = np.arange(200)
  start = parts[0].draw_prior(rows, KEY)
  moved = actor(start, {})
  assert (start[:, 0] > 0.5).mean() < 0.4
  assert (moved.z[:, 0] > 0.5).mean() > 0.9
  assert moved.z.std(axis=0).max() > 0.1  # not a single point


def test_what_an_actor_is_told(parts):
  _, data, want, _ = parts
  both = lcjax.all_of(want, lcjax.near(data))
  y, mask = np.float32([[0, 1]]), np.float32([[1, 0]])
  target = {'attributes': (y, mask), 'near': np.ones((1, 2))}
  told = constraints.condition(both, target, True, 1)
  np.testing.assert_array_equal(told, [[0, 0, 1, 0]])
  told = constraints.condition(both, target, False, 1)
  np.testing.assert_array_equal(told, y)
  alone = constraints.condition(lcjax.near(data), target, False, 3)
  assert alone.shape == (3, 1)
