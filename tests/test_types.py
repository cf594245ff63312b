"""Label losses and predictions, checked against optax and by hand."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from absl.testing import parameterized

from lcjax import types
from lcjax.types import Bits, Classes

NAMES = ('a', 'b', 'c')
CLASS_LABELS, BIT_LABELS = types.Classes(NAMES), types.Bits(NAMES)
LOGITS = np.array([[2.0, -1.0, 0.5], [-0.3, 0.0, 4.0]], np.float32)
BITS = np.array([[1.0, 1.0, 0.0], [0.0, 1.0, 1.0]], np.float32)
CLASSES = np.eye(3, dtype=np.float32)[[2, 0]]
ALL = np.ones((2, 3), np.float32)


class CrossEntropyTest(chex.TestCase):
  @chex.variants(with_jit=True, without_jit=True)
  def test_classes_agree_with_optax(self):
    loss = self.variant(CLASS_LABELS.cross_entropy)(LOGITS, CLASSES, ALL)
    expected = optax.softmax_cross_entropy(LOGITS, CLASSES)
    np.testing.assert_allclose(loss, expected, rtol=1e-5)

  @chex.variants(with_jit=True, without_jit=True)
  def test_bits_are_averaged_over_the_mask(self):
    mask = np.array([[1.0, 0.0, 1.0], [0.0, 0.0, 1.0]], np.float32)
    loss = self.variant(BIT_LABELS.cross_entropy)(LOGITS, BITS, mask)
    each = optax.sigmoid_binary_cross_entropy(LOGITS, BITS)
    expected = [(each[0, 0] + each[0, 2]) / 2, each[1, 2]]
    np.testing.assert_allclose(loss, expected, rtol=1e-5)

  def test_an_empty_mask_has_zero_loss(self):
    loss = BIT_LABELS.cross_entropy(LOGITS, BITS, 0 * ALL)
    np.testing.assert_array_equal(loss, [0.0, 0.0])

  @parameterized.parameters((CLASS_LABELS, CLASSES), (BIT_LABELS, BITS))
  def test_one_mask_is_broadcast_to_all_rows(self, labels, y):
    mask = jnp.array([1.0, 0.0, 1.0])
    np.testing.assert_allclose(
      labels.cross_entropy(LOGITS, y, mask),
      labels.cross_entropy(LOGITS, y, jnp.tile(mask, (2, 1))),
    )

  @parameterized.parameters(200.0, -200.0)
  def test_is_exact_at_extreme_logits(self, size):
    logits = jnp.array([[size, -size]])
    right, wrong = (jnp.array([[1.0, 0.0]]), jnp.array([[0.0, 1.0]]))
    if size < 0:
      right, wrong = wrong, right
    for labels, expected in ((CLASS_LABELS, 400.0), (BIT_LABELS, 200.0)):
      ones = jnp.ones_like(logits)
      loss = labels.cross_entropy(logits, wrong, ones)
      np.testing.assert_allclose(loss, [expected])
      loss = labels.cross_entropy(logits, right, ones)
      np.testing.assert_allclose(loss, [0.0], atol=1e-6)

  @parameterized.product(labels=(CLASS_LABELS, BIT_LABELS), right=(True, False))
  def test_a_small_loss_is_not_rounded_to_zero(self, labels, right):
    """Against float64, in which the naive formula does not cancel yet."""
    sizes = np.array([5.0, 12.0, 17.0, 30.0])
    y = np.array([1.0, 0.0])
    signs = np.array([1.0, -1.0]) * (1.0 if right else -1.0)
    signs /= 2 if labels is CLASS_LABELS else 1
    logits = sizes[:, None] * signs
    expected = np.logaddexp(0.0, -sizes if right else sizes)
    np.testing.assert_allclose(
      labels.cross_entropy(
        jnp.asarray(logits, jnp.float32),
        jnp.tile(jnp.asarray(y, jnp.float32), (4, 1)),
        jnp.ones((4, 2)),
      ),
      expected,
      rtol=1e-5,
    )

  def test_gradients_are_probabilities_minus_labels(self):
    for labels, y in ((CLASS_LABELS, CLASSES), (BIT_LABELS, BITS)):
      found = jax.grad(
        lambda v, y=y, labels=labels: labels.cross_entropy(
          v, y, jnp.ones(3)
        ).sum()
      )(jnp.asarray(LOGITS))
      expected = labels.probabilities(LOGITS) - y
      expected /= 1 if labels is CLASS_LABELS else 3
      np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)

  def test_a_single_class_has_zero_loss(self):
    loss, grad = jax.value_and_grad(
      lambda v: (
        types.Classes(('a',))
        .cross_entropy(v, jnp.ones((1, 1)), jnp.ones((1, 1)))
        .sum()
      )
    )(jnp.array([[3.0]]))
    np.testing.assert_array_equal(loss, 0.0)
    np.testing.assert_array_equal(grad, [[0.0]])

  def test_masked_bits_have_no_gradient(self):
    mask = np.array([[1.0, 0.0, 1.0], [0.0, 0.0, 1.0]], np.float32)
    grad = jax.grad(lambda v: BIT_LABELS.cross_entropy(v, BITS, mask).sum())(
      LOGITS
    )
    np.testing.assert_array_equal(np.array(grad) != 0, mask == 1)


class AnswersTest(parameterized.TestCase):
  def test_probabilities(self):
    found = CLASS_LABELS.probabilities(LOGITS)
    expected = np.exp(LOGITS) / np.exp(LOGITS).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    bits = BIT_LABELS.probabilities(LOGITS)
    np.testing.assert_allclose(bits, 1 / (1 + np.exp(-LOGITS)), rtol=1e-5)

  def test_accuracy(self):
    classes = np.eye(3, dtype=np.float32)[[0, 0]]
    found = CLASS_LABELS.accuracy(LOGITS, classes)
    np.testing.assert_array_equal(found, [1.0, 0.0])
    found = BIT_LABELS.accuracy(LOGITS, BITS)
    # Correct: 1, 0, 0 in the first row; 1, 0 (a logit of 0 predicts 0), 1 in
    # the second.
    np.testing.assert_allclose(found, [1 / 3, 2 / 3], rtol=1e-6)

  def test_all_within_by_bits(self):
    # D = .881, .269, .622; the errors are .119, .731, .622.
    logits, y = LOGITS[:1], BITS[:1]

    def within(tolerance, mask):
      mask = np.array([mask], np.float32)
      return BIT_LABELS.within(logits, y, mask, tolerance).item()

    self.assertTrue(within(0.74, [1, 1, 1]))
    self.assertFalse(within(0.73, [1, 1, 1]))
    self.assertTrue(within(0.63, [1, 0, 1]))
    self.assertFalse(within(0.62, [1, 0, 1]))
    self.assertTrue(within(0.12, [1, 0, 0]))
    self.assertFalse(within(0.11, [1, 0, 0]))
    self.assertTrue(within(1e-6, [0, 0, 0]))

  def test_all_within_by_classes(self):
    logits = np.log(np.array([[0.7, 0.2, 0.1], [0.3, 0.6, 0.1]], np.float32))
    y = np.eye(3, dtype=np.float32)[[0, 0]]
    for tolerance, expected in ((0.29, [0, 0]), (0.31, [1, 0]), (0.71, [1, 1])):
      found = CLASS_LABELS.within(logits, y, ALL, tolerance)
      np.testing.assert_array_equal(found, np.array(expected, bool))

  def test_all_within_takes_one_mask_for_all_rows(self):
    mask = jnp.array([1.0, 0.0, 0.0])
    found = BIT_LABELS.within(LOGITS, BITS, mask, 0.12)
    np.testing.assert_array_equal(found, [True, False])

  def test_predictions(self):
    found = CLASS_LABELS.predict(LOGITS)
    np.testing.assert_array_equal(found, [[1, 0, 0], [0, 0, 1]])
    found = BIT_LABELS.predict(LOGITS)
    np.testing.assert_array_equal(found, [[1, 0, 1], [0, 0, 1]])


class TypeTest(parameterized.TestCase):
  def test_equal_labels_are_one_static_argument(self):
    traces = []

    def loss(logits, labels):
      traces.append(labels)
      return labels.cross_entropy(logits, CLASSES, ALL)

    jitted = jax.jit(loss, static_argnums=1)
    for labels in (CLASS_LABELS, types.Classes(('a', 'b', 'c')), BIT_LABELS):
      jitted(LOGITS, labels)
    self.assertLen(traces, 2)
    self.assertNotEqual(CLASS_LABELS, BIT_LABELS)
    self.assertLen(CLASS_LABELS, 3)


@pytest.mark.parametrize('kind', [Classes, Bits])
def test_complement_is_the_rest_of_the_probability(kind):
  labels = kind(('a', 'b', 'c'))
  logits = jnp.asarray(np.random.default_rng(0).normal(size=(8, 3)) * 3)
  y = jnp.eye(3)[jnp.arange(8) % 3]
  p = labels.probabilities(logits)
  held = jnp.where(y > 0.5, p, 1.0 if kind is Classes else 1.0 - p)
  expected = -jnp.log(1.0 - jnp.prod(held, axis=-1))
  found = labels.complement_cross_entropy(logits, y, jnp.ones(3))
  np.testing.assert_allclose(found, expected, rtol=2e-5)


@pytest.mark.parametrize('kind', [Classes, Bits])
@pytest.mark.parametrize('size', [-200.0, -20.0, 0.0, 20.0, 200.0])
def test_complement_has_a_gradient_however_sure_the_logits(kind, size):
  labels = kind(('a', 'b'))
  y = jnp.array([1.0, 0.0])
  logits = size * (2.0 * y - 1.0)

  def loss(logits):
    return labels.complement_cross_entropy(logits, y, jnp.ones(2))

  value, grad = jax.value_and_grad(loss)(logits)
  assert np.isfinite(value) and value >= 0
  assert np.isfinite(grad).all()
  if size > 0:  # sure of y: pulled away from it with all force
    assert np.abs(grad).max() > 0.4


def test_complement_of_one_bit_is_the_bit_flipped():
  labels, mask = Bits(('a', 'b')), jnp.array([0.0, 1.0])
  logits, y = jnp.array([3.0, -2.0]), jnp.array([1.0, 0.0])
  found = labels.complement_cross_entropy(logits, y, mask)
  flipped = labels.cross_entropy(logits, y.at[1].set(1.0), mask)
  np.testing.assert_allclose(found, flipped, rtol=1e-6)
