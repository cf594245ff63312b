"""The maximum mean discrepancy against a double loop."""

import jax
import jax.numpy as jnp
import numpy as np

from lcjax.losses import mmd

SCALES = 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0


def naive(x, y, size):
  """Algorithm 2 of arXiv:1711.01558, pair by pair."""

  def kernel(a, b):
    squared = float(((a - b) ** 2).sum())
    return sum(s * size / (s * size + squared) for s in SCALES)

  n, total = len(x), 0.0
  for i in range(n):
    for j in range(n):
      if i != j:
        both = kernel(x[i], x[j]) + kernel(y[i], y[j])
        total += both / (n * (n - 1))
      total -= 2.0 * kernel(x[i], y[j]) / n**2
  return total


def test_it_is_that_of_a_double_loop():
  rng = np.random.default_rng(0)
  x, y = rng.normal(size=(2, 9, 3)).astype(np.float32)
  y += 0.7
  np.testing.assert_allclose(
    jax.jit(mmd.mmd)(x, y, 6.0), naive(x, y, 6.0), rtol=1e-4, atol=1e-5
  )


def test_it_is_about_zero_without_bias_for_one_distribution():
  rng = np.random.default_rng(1)
  same, other = [], []
  for _ in range(50):
    x, y = rng.normal(size=(2, 64, 4)).astype(np.float32)
    same.append(float(mmd.mmd(x, y, 8.0)))
    other.append(float(mmd.mmd(x, y + 0.5, 8.0)))
  error = np.std(same) / np.sqrt(len(same))
  assert abs(np.mean(same)) < 3 * error < 0.02
  assert np.mean(other) > 5 * np.std(same)


def test_its_gradient_moves_a_sample_to_the_other():
  rng = np.random.default_rng(2)
  x, y = jnp.asarray(rng.normal(size=(2, 128, 2)), jnp.float32)
  x = 0.3 * x + 2.0
  step = jax.jit(lambda x: x - 20.0 * jax.grad(mmd.mmd)(x, y, 4.0))
  for _ in range(600):
    x = step(x)
  np.testing.assert_allclose(x.mean(axis=0), y.mean(axis=0), atol=0.1)
  np.testing.assert_allclose(x.std(axis=0), y.std(axis=0), atol=0.2)
