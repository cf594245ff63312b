"""Members of one program: each as it would be alone, however they are laid."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from lcjax.training import ensemble, steps
from tests.training import one_network

RATES = np.asarray([0.1, 0.2, 0.3], np.float32)


def make_step(rate):
  def loss_fn(params, batch, key):
    noise = jax.random.normal(key, (2,))
    error = batch['x'] @ (params['w'] + 0.1 * noise) - batch['y']
    loss = jnp.mean(error**2)
    return loss, {'loss': loss}

  return one_network.make_step(loss_fn, optax.sgd(rate), average_decay=0.9)


def make_state(start):
  params = {'w': jnp.asarray([start, -1.0])}
  return one_network.create(params, optax.sgd(0.1), average=True)


def make_batches(index, count):
  rng = np.random.default_rng(index)
  return {
    'x': rng.normal(size=(count, 4, 2)).astype(np.float32),
    'y': rng.normal(size=(count, 4)).astype(np.float32),
  }


@pytest.mark.parametrize(
  ('way', 'count'), [('vmap', 3), ('map', 3), ('unroll', 1)]
)
def test_every_member_is_as_it_would_be_alone(way, count):
  # Three on two devices: one of them holds a row that only fills up.
  keys = jnp.stack([jax.random.key(i) for i in range(3)])
  starts = [make_state(float(i)) for i in range(3)]
  compiled = ensemble.compile_ensemble(
    make_step, RATES, keys, jax.devices()[:2], way
  )
  own = [make_batches(i, count) for i in range(3)]
  batches = jax.tree.map(
    lambda *a: np.stack([a[row] for row in compiled.rows]), *own
  )
  packed = compiled.pack(ensemble.stack(starts))
  for _ in range(2):
    packed, metrics = compiled.step(packed, batches, keys[0])
  found = compiled.unpack(packed)
  assert int(found.step) == 2 * count
  for i in range(3):
    alone, step = starts[i], jax.jit(steps.scan_steps(make_step(RATES[i])))
    for _ in range(2):
      alone, expected = step(alone, own[i], keys[i])
    jax.tree.map(
      lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5),
      ensemble.member(found, i),
      alone,
    )
    for name, value in expected.items():
      np.testing.assert_allclose(metrics[name][i], value, rtol=1e-5)


def test_a_traced_weight_counts():
  assert steps.may_be_nonzero(0.5)
  assert not steps.may_be_nonzero(0.0)
  seen = []
  jax.jit(lambda weight: seen.append(steps.may_be_nonzero(weight)))(0.0)
  assert seen == [True]
