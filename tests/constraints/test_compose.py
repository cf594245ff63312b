"""AND, OR and NOT on rules of a point in the plane, whose truth is known."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from lcjax import errors
from lcjax.constraints import attributes, compose, critics, near, on_sample
from lcjax.latent import optimize
from lcjax.losses import divergences
from lcjax.types import Bits, Classes

SHARP = 8.0  # of the critics' logits
POINTS = np.random.default_rng(0).normal(size=(200, 2)).astype(np.float32) * 2


def coordinate(params, z):
  """A critic of whether coordinate i is above c: exact but for its slope."""
  index, least = params
  return SHARP * (z[index] - least)


def above(index, least, name, threshold=0.5):
  return critics.Critic((index, least), threshold, coordinate, name)


RIGHT = above(0, 0.5, 'right')
UPPER = above(1, -0.5, 'upper')


def is_right(z):
  return z[:, 0] >= 0.5


def is_upper(z):
  return z[:, 1] >= -0.5


COMPOSED = {
  'right': (RIGHT, is_right),
  'and': (compose.all_of(RIGHT, UPPER), lambda z: is_right(z) & is_upper(z)),
  'or': (compose.any_of(RIGHT, UPPER), lambda z: is_right(z) | is_upper(z)),
  'not': (compose.negate(RIGHT), lambda z: ~is_right(z)),
  'not and': (
    compose.negate(compose.all_of(RIGHT, UPPER)),
    lambda z: ~(is_right(z) & is_upper(z)),
  ),
  'not or': (
    compose.negate(compose.any_of(RIGHT, UPPER)),
    lambda z: ~(is_right(z) | is_upper(z)),
  ),
  'right and not upper': (
    compose.all_of(RIGHT, compose.negate(UPPER)),
    lambda z: is_right(z) & ~is_upper(z),
  ),
  'not not': (compose.negate(compose.negate(RIGHT)), is_right),
}


@pytest.mark.parametrize('name', COMPOSED)
def test_met_is_the_truth_of_the_rule(name):
  constraint, rule = COMPOSED[name]
  met = jax.vmap(lambda z: constraint(z, {}).met)(POINTS)
  np.testing.assert_array_equal(met, rule(POINTS))


@pytest.mark.parametrize('name', COMPOSED)
def test_optimizer_g_makes_the_rule_true(name):
  constraint, rule = COMPOSED[name]
  moved = optimize.optimize_latents(
    constraint, POINTS, {}, optax.adam(0.1), 200
  )
  assert rule(POINTS).mean() < 0.9
  assert rule(np.asarray(moved.z)).all()
  np.testing.assert_array_equal(moved.satisfied, True)
  stayed = np.asarray(moved.steps) == 0
  np.testing.assert_array_equal(stayed, rule(POINTS))


@pytest.mark.parametrize('name', COMPOSED)
def test_losses_are_nats_and_finite_far_away(name):
  constraint, _ = COMPOSED[name]
  for z in itertools.product((-1e3, 0.5, 1e3), repeat=2):
    loss, grad = jax.value_and_grad(lambda z: constraint(z, {}).loss)(
      jnp.asarray(z)
    )
    assert loss >= 0
    assert np.isfinite(grad).all()


def test_all_of_is_the_weighted_sum_and_any_of_the_soft_minimum():
  z = jnp.array([0.1, -0.2])
  losses = np.array([RIGHT(z, {}).loss, UPPER(z, {}).loss])
  weights = np.array([2.0, 0.5])
  found = compose.all_of(RIGHT, UPPER, weights=weights)(z, {}).loss
  np.testing.assert_allclose(found, weights @ losses, rtol=1e-6)
  found = compose.any_of(RIGHT, UPPER, weights=weights)(z, {}).loss
  expected = -np.log(weights @ np.exp(-losses) / weights.sum())
  np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_any_of_pulls_to_the_nearest_part():
  z = jnp.array([0.4, -5.0])  # nearly right, far from upper
  either = compose.any_of(RIGHT, UPPER)
  grad = jax.grad(lambda z: either(z, {}).loss)(z)
  assert grad[0] < -1.0
  assert abs(grad[1]) < 1e-6


def test_not_keeps_the_margin_on_the_other_side():
  strict = above(0, 0.0, 'strict', threshold=0.9)
  neither = jnp.array([0.1, 0.0])  # D is between .1 and .9
  assert not strict(neither, {}).met
  assert not compose.negate(strict)(neither, {}).met


@pytest.mark.parametrize('name', divergences.WITH_RATIO)
def test_a_threshold_is_a_density_ratio_for_every_divergence(name):
  divergence = divergences.TABLE[name]
  strict = critics.Critic(
    None,
    0.9,
    lambda _, ratio: divergence.threshold(ratio),
    divergence=divergence,
  )
  ratios = np.array([0.01, 0.1, 0.12, 1.0, 8.0, 10.0, 99.0], np.float32)
  verdict = jax.vmap(lambda r: strict(r, {}))(ratios)
  opposite = jax.vmap(lambda r: compose.negate(strict)(r, {}))(ratios)
  np.testing.assert_array_equal(verdict.met, ratios > 9)
  np.testing.assert_array_equal(opposite.met, ratios < 1 / 9)
  d = ratios / (1 + ratios)
  np.testing.assert_allclose(verdict.loss, -np.log(d), rtol=1e-4)
  np.testing.assert_allclose(opposite.loss, -np.log1p(-d), rtol=1e-4)
  always = strict.replace(threshold=0.0)
  assert jax.vmap(lambda r: always(r, {}).met)(ratios).all()


def linear(params, z):
  return params * z


@pytest.mark.parametrize('kind', [Classes, Bits])
def test_two_attribute_constraints_read_their_own_targets(kind):
  labels = kind(('a', 'b'))
  first = attributes.Attributes(4.0, 0.1, linear, labels, 'first')
  second = attributes.Attributes(-4.0, 0.1, linear, labels, 'second')
  both = compose.all_of(first, second)
  assert both.targets() == ('first', 'second')
  y, other = jnp.array([1.0, 0.0]), jnp.array([0.0, 1.0])
  z = jnp.array([1.0, -1.0])
  assert both(z, {'first': y, 'second': other}).met
  assert not both(z, {'first': y, 'second': y}).met


@pytest.mark.parametrize('kind', [Classes, Bits])
def test_not_of_attributes_is_met_by_anything_else(kind):
  labels = kind(('a', 'b'))
  constraint = attributes.Attributes(4.0, 0.1, linear, labels)
  opposite = compose.negate(constraint)
  y, ones = jnp.array([1.0, 0.0]), jnp.ones(2)
  for z in ([2.0, -2.0], [-2.0, 2.0], [2.0, 2.0], [-2.0, -2.0], [0.1, 0.0]):
    z = jnp.asarray(z)
    p = labels.probabilities(4.0 * z)
    held = p[0] if kind is Classes else p[0] * (1 - p[1])
    found = opposite(z, {'attributes': (y, ones)})
    assert found.met == (held < 0.1)
    expected = -np.log(1 - held)
    np.testing.assert_allclose(found.loss, expected, rtol=0.01, atol=1e-6)


def test_a_mask_leaves_an_attribute_out():
  labels = Bits(('a', 'b'))
  constraint = attributes.Attributes(4.0, 0.1, linear, labels)
  z, y = jnp.array([2.0, 2.0]), jnp.array([1.0, 0.0])
  assert not constraint(z, {'attributes': y}).met
  assert constraint(z, {'attributes': (y, jnp.array([1.0, 0.0]))}).met


def half_mean(params, z):
  return params * z


def gap(x, known):
  return jnp.sum(jnp.square(x - known))


def test_on_sample_and_near_join_attributes_in_one_cost():
  labels = Bits(('a', 'b'))
  want = compose.all_of(
    attributes.Attributes(4.0, 0.3, linear, labels),
    on_sample.OnSample(0.5, 0.01, half_mean, gap, 'pixels', takes_target=True),
    near.Near(jnp.ones(2)),
    weights=(1.0, 5.0, 0.1),
  )
  assert want.targets() == ('attributes', 'pixels', 'near')
  count = 16
  start = POINTS[:count]
  target = {
    'attributes': jnp.tile(jnp.array([1.0, 0.0]), (count, 1)),
    'pixels': jnp.tile(jnp.array([0.4, -0.3]), (count, 1)),
    'near': start,
  }
  moved = optimize.optimize_latents(want, start, target, optax.adam(0.1), 300)
  np.testing.assert_array_equal(moved.satisfied, True)
  np.testing.assert_allclose(
    0.5 * np.asarray(moved.z), target['pixels'], atol=0.11
  )


def test_on_sample_needs_a_margin_to_be_negated():
  plain = on_sample.OnSample(0.5, 0.01, half_mean, jnp.sum, 'bright')
  with pytest.raises(errors.UserError, match=r"negate\('bright'\).*margin"):
    compose.negate(plain)
  opposite = compose.negate(plain.replace(margin=1.0))
  dim, bright = opposite(jnp.zeros(2), {}), opposite(jnp.ones(2) * 3, {})
  assert (dim.loss, dim.met) == (1.0, False)
  assert (bright.loss, bright.met) == (0.0, True)


def test_re_encoded_asks_the_inner_constraint_elsewhere():
  asked = on_sample.ReEncoded(2.0, RIGHT, half_mean)
  z = jnp.array([0.3, 0.0])
  assert not RIGHT(z, {}).met
  assert asked(z, {}).met
  assert not compose.negate(asked)(z, {}).met
  assert asked.names() == ('right',)


@pytest.mark.parametrize(
  ('make', 'said'),
  [
    (lambda: compose.all_of(RIGHT, RIGHT), "two constraints are named 'right'"),
    (
      lambda: compose.any_of(RIGHT, compose.all_of(UPPER, RIGHT)),
      "two constraints are named 'right'",
    ),
    (lambda: compose.all_of(), 'give at least one constraint'),
    (
      lambda: compose.all_of(RIGHT, UPPER, weights=(1.0,)),
      '1 weights for 2 constraints: give one for each',
    ),
    (
      lambda: compose.any_of(RIGHT, UPPER, weights=(1.0, 0.0)),
      'any_of: a weight is 0.0: it must be positive',
    ),
    (
      lambda: compose.negate(compose.all_of(RIGHT, near.Near(jnp.ones(2)))),
      r"negate\('near'\)",
    ),
  ],
)
def test_what_does_not_go_together_is_refused(make, said):
  with pytest.raises(errors.UserError, match=said):
    make()


def test_another_constraint_of_the_same_structure_compiles_nothing():
  traces = []

  @jax.jit
  def move(want, start):
    traces.append(1)
    return optimize.optimize_latents(want, start, {}, optax.adam(0.1), 5).z

  first = move(compose.all_of(RIGHT, UPPER), POINTS)
  other = above(0, 1.5, 'right', threshold=0.9)
  second = move(compose.all_of(other, UPPER, weights=(3.0, 1.0)), POINTS)
  assert len(traces) == 1
  assert not np.array_equal(first, second)


def test_two_critics_stack():
  many = [above(0, least, 'right') for least in (-1.0, 0.0, 1.0)]
  stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *many)
  z = jnp.array([0.5, 0.0])
  found = jax.vmap(lambda one: one(z, {}).met)(stacked)
  np.testing.assert_array_equal(found, [True, True, False])
