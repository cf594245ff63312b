"""A realism critic of every divergence, trained on a ring in two dimensions."""

import dataclasses

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import lcjax
from lcjax import errors, types
from lcjax.constraints import attributes, critics
from lcjax.generators import latent_model
from lcjax.latent import encodings
from lcjax.losses import divergences
from lcjax.training import latent_steps

KEY = jax.random.key(0)
PENALTIES = {
  'wasserstein': {'gradient_penalty': 10.0},
  'pairing': {'r1': 0.1, 'r2': 0.1},
}


def ring(seed, count=600):
  """Latents on a circle of radius 2, encoded with a scale of .1."""
  angle = np.random.default_rng(seed).uniform(0, 2 * np.pi, count)
  mean = 2 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
  mean = mean.astype(np.float32)
  scale = np.full_like(mean, 0.1)
  nothing = np.zeros((count, 0), np.float32)
  return latent_model.LatentData(
    encodings.Encodings(mean, scale, nothing), None
  )


def learn(name, **options):
  settings = {
    'threshold': 0.3,
    'hidden_sizes': (32, 32),
    'optimizer': lcjax.adam(3e-3),
    'inner_steps': 2,
    'num_steps': 200,
    'batch_size': 64,
    'held_out': ring(1),
    'progress': False,
  }
  return lcjax.learn_realism(
    ring(0),
    KEY,
    divergence=name,
    **settings | PENALTIES.get(name, {}) | options,
  )


@pytest.mark.parametrize('name', divergences.TABLE)
def test_a_critic_of_every_divergence_knows_the_ring(name):
  realism = learn(name)
  on = ring(2).encodings.sample(0)
  inside = 0.15 * on  # where moves from the prior begin
  ask = jax.jit(jax.vmap(lambda z: realism(z, {})))
  real, fake = ask(on), ask(inside)
  assert np.quantile(real.loss, 0.95) < np.quantile(fake.loss, 0.05) - 0.2
  assert real.loss.min() >= 0
  assert not fake.met.any()
  if realism.divergence.calibrated:  # all but the share that is asked for
    assert real.met.mean() == pytest.approx(0.7, abs=0.05)
    assert realism.quantiles.shape == (101,)
  else:
    assert real.met.mean() > 0.95
    assert realism.quantiles is None
  moved = lcjax.optimizer(realism, lcjax.adam(0.1), max_steps=100)(
    inside[::40], {}
  )
  assert moved.satisfied.all()
  assert np.linalg.norm(moved.z, axis=1).min() > 0.9


def test_jensen_shannon_has_the_gradients_of_gan():
  found = [learn(name, num_steps=50) for name in ('gan', 'jensen_shannon')]
  chex.assert_trees_all_close(*(one.params for one in found), rtol=1e-4)


def test_the_opposite_has_the_same_margin_on_the_other_side():
  divergence = divergences.HINGE
  critic = critics.Critic(
    None,
    0.9,
    lambda _, z: z[0],
    divergence=divergence,
    quantiles=divergence.calibrate(jnp.linspace(0.0, 1.0, 1001)),
  )
  opposite = lcjax.negate(critic)
  z = jnp.array([[0.05], [0.15], [0.85], [0.95]])
  met = jax.vmap(lambda row: critic(row, {}).met)(z)
  unmet = jax.vmap(lambda row: opposite(row, {}).met)(z)
  np.testing.assert_array_equal(met, [False, False, False, True])
  np.testing.assert_array_equal(unmet, [True, False, False, False])
  found = jax.vmap(lambda row: opposite(row, {}).loss)(z)
  # -log of the probability that the median wins the comparison.
  np.testing.assert_allclose(found, np.log1p(np.exp(z[:, 0] - 0.5)), rtol=1e-5)


def test_an_adversary_has_its_divergence_and_penalties(monkeypatch):
  given = {}

  class Stop(Exception):
    pass

  def make(*arguments, **options):
    given.update(enumerate(arguments), **options)
    raise Stop

  monkeypatch.setattr(latent_steps, 'make_actor_critic_step', make)
  own = lcjax.Adversary(1.0, 0.9, 0.2, 0.4, 0.5, 'pairing', r1=0.6, r2=0.7)
  data = ring(0)
  y = np.eye(2, dtype=np.float32)[np.arange(len(data.encodings.mean)) % 2]
  found = dataclasses.replace(data.encodings, attributes=y)
  data = latent_model.LatentData(found, types.Classes(('a', 'b')))
  want = attributes.Attributes(
    None, 0.1, lambda params, z: z, data.labels, 'attributes'
  )
  with pytest.raises(Stop):
    lcjax.learn_actor(want, data, KEY, adversary=own, progress=False)
  assert given[5] == latent_steps.CriticWeights(0.9, 0.2, 0.4, 0.5, 0.6, 0.7)
  assert given[6] == divergences.PAIRING
  assert given['spread'].shape == (2,)


def refused(function):
  with pytest.raises(errors.UserError) as raised:
    function()
  return str(raised.value)


def test_what_cannot_be_learned_is_one_line():
  said = "divergence='wasserstein' needs a gradient penalty, or nothing bounds"
  found = refused(lambda: learn('wasserstein', gradient_penalty=0.0))
  assert found.startswith(said)
  adversary = lcjax.Adversary(divergence='wasserstein')
  want = critics.Critic(None, 0.5, lambda _, z: z[0])
  found = refused(
    lambda: lcjax.learn_actor(want, ring(0), KEY, adversary=adversary)
  )
  assert found.startswith(f'adversary: {said}')
  adversary = lcjax.Adversary(divergence='hing')
  found = refused(
    lambda: lcjax.learn_actor(want, ring(0), KEY, adversary=adversary)
  )
  assert found.endswith('did you mean hinge?')
  unknown = critics.Critic(
    None, 0.5, lambda _, z: z[0], divergence=divergences.PAIRING
  )
  found = refused(lambda: unknown(jnp.ones(1), {}))
  assert found.startswith("divergence 'pairing' has no density ratio, so a")
