"""Requests of some attributes alone, on points whose signs are attributes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import lcjax
from lcjax import types
from lcjax.constraints import attributes

KEY = jax.random.key(0)
ROWS = np.arange(200)
BRIEF = {'hidden_sizes': (32,), 'num_steps': 300, 'progress': False}


def decode(params, z):
  return params * z


def encode(params, x):
  return x / params, jnp.full_like(x, 0.05)


def bits(x):
  """Attribute i is whether coordinate i is above 0."""
  return (x[:, :3] > 0).astype(np.float32)


@pytest.fixture(scope='module')
def parts():
  """Model, data, D_attr, and samples to edit."""
  rng = np.random.default_rng(0)
  x = rng.standard_normal((1000, 4)).astype(np.float32)
  x += 0.5 * np.sign(x)  # a gap, so that few are in doubt
  model = lcjax.latent_model(np.float32(2.0), decode, 4, encode)
  data = lcjax.encode(model, 2.0 * x[200:], bits(x[200:]))
  return model, data, lcjax.learn_attributes(data, KEY, **BRIEF), 2.0 * x[:200]


def request(number, value):
  """A target of one attribute; the others are 0, and left out."""
  y, mask = np.zeros((200, 3), np.float32), np.zeros((200, 3), np.float32)
  y[:, number], mask[:, number] = value, 1.0
  return {'attributes': (y, mask)}


def kept(before, after, changed):
  """Share of rows whose other attributes are as they were."""
  others = [i for i in range(3) if i != changed]
  return (bits(before) == bits(after))[:, others].all(axis=1).mean()


def movers_of(parts):
  _, data, classes, _ = parts
  want = lcjax.all_of(lcjax.near(data), classes, weights=(0.001, 1.0))
  actor = lcjax.learn_actor(want, data, KEY, adversary=None, **BRIEF)
  assert not actor.masked
  edit = lcjax.optimizer(want, lcjax.adam(0.02), max_steps=200)
  return {'optimizer': edit, 'actor': actor}


def test_an_edit_keeps_what_is_not_named_and_earlier_edits(parts):
  """Encodings of edited samples are edited again, one attribute at a time."""
  model, _, _, first = parts
  for name, mover in movers_of(parts).items():
    x, done = first, {}
    for number, value in ((0, 1.0), (1, 0.0), (2, 1.0)):
      mean, _ = model.encode(x)
      edited = model.decode(mover(mean, request(number, value)).z)
      assert kept(x, edited, number) > 0.9, (name, number)
      x, done = edited, {**done, number: value}
      for earlier, wanted in done.items():
        right = (bits(x)[:, earlier] == wanted).mean()
        assert right > 0.95, (name, number, earlier)


def test_an_actor_that_does_not_complete_asks_for_all_of_y(parts):
  model, _, _, x = parts
  actor = movers_of(parts)['actor'].replace(completes=False)
  mean, _ = model.encode(x)
  edited = model.decode(actor(mean, request(0, 1.0)).z)
  assert kept(x, edited, 0) < 0.5  # all others are asked to be 0
  np.testing.assert_array_less(bits(edited).sum(axis=1), 2.0)


def test_a_complete_request_is_not_changed_by_the_start(parts):
  _, _, classes, x = parts
  y = bits(x[::-1])
  whole = classes.complete(x[0] / 2.0, {'attributes': (y[0], np.ones(3))})
  np.testing.assert_array_equal(whole['attributes'][0], y[0])
  some = classes.complete(
    x[0] / 2.0, {'attributes': (y[0], np.array([1.0, 0.0, 0.0]))}
  )
  np.testing.assert_array_equal(some['attributes'][0][1:], bits(x)[0, 1:])


def test_the_class_at_the_start_completes_a_request_of_none():
  classes = attributes.Attributes(
    None, 0.1, lambda params, z: z, types.Classes(('a', 'b', 'c'))
  )
  z, y = jnp.array([[0.0, 2.0, 1.0], [3.0, 2.0, 1.0]]), jnp.eye(3)[:2]
  target = {'attributes': (y, jnp.array([[0.0] * 3, [1.0] * 3]))}
  found, _ = jax.vmap(classes.complete)(z, target)['attributes']
  np.testing.assert_array_equal(found, [[0, 1, 0], [0, 1, 0]])


def test_a_mixture_draws_the_rest_as_the_data_have_it(parts):
  """Attributes 0 and 2 hold together there, and 1 in a quarter of the rows."""
  model, _, _, _ = parts
  rng = np.random.default_rng(1)
  x = rng.choice([-2.0, 2.0], (2000, 4), p=[0.75, 0.25])
  x += 0.1 * rng.standard_normal(x.shape)
  x[:, 0] = np.where(x[:, 2] > 0, np.abs(x[:, 0]), -np.abs(x[:, 0]))
  data = lcjax.encode(model, x.astype(np.float32), bits(x))
  start = lcjax.mixture_start(data, 1)
  drawn = bits(start(request(0, 1.0), ROWS, KEY))
  assert drawn[:, 0].mean() > 0.95
  assert drawn[:, 2].mean() > 0.95  # y says 0, its mask says nothing
  assert 0.15 < drawn[:, 1].mean() < 0.35
  whole = request(0, 1.0)['attributes'][0]
  exact = bits(start({'attributes': whole}, ROWS, KEY))
  assert exact[:, 1].mean() < 0.05
  # A row follows from its number and the key.
  half = {'attributes': tuple(a[:50] for a in request(0, 1.0)['attributes'])}
  np.testing.assert_array_equal(
    start(half, ROWS[:50], KEY), start(request(0, 1.0), ROWS, KEY)[:50]
  )
