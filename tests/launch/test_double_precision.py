"""Under JAX_ENABLE_X64 all arrays stay float32, as without it."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend import core

from configs import digits
from lcjax import types
from lcjax.constraints import attributes
from lcjax.constraints import critics as critics_lib
from lcjax.data import dataset
from lcjax.experiment import (
  build,
  loading,
  movers,
  stage,
  train_actor_critic,
  train_classifier,
  train_denoiser,
  train_vae,
  wants,
)
from lcjax.generators import latent_model
from lcjax.latent import encodings, mixtures
from lcjax.models import apply
from lcjax.movers import denoiser, optimizer

ROWS, LATENTS = 8, 4
LABELS = types.Classes(('a', 'b'))


@pytest.fixture
def double():
  """As JAX_ENABLE_X64=1 has it."""
  with jax.enable_x64(True):
    yield


def tiny():
  config = digits.get_config()
  config.vae.update(latent_size=LATENTS, hidden_sizes=(5,))
  config.classifier.hidden_sizes = (5,)
  config.second_classifier.update(
    conv_channels=(3,), conv_kernels=(3,), conv_strides=(2,), head_sizes=()
  )
  config.latent_critics.update(hidden_sizes=(5,))
  config.latent_critics.inner.max_steps = 1
  config.denoiser.update(width=5, attribute_width=5, num_blocks=1)
  config.denoise.update(
    num_steps=4, eta=0.3, distance_weight=0.1, mixture_above=0.4
  )
  for name in (
    'vae',
    'classifier',
    'second_classifier',
    'latent_critics',
    'actor_critic',
  ):
    config[name].train.batch_size = ROWS
  config.vae.optimizer.schedule = 'log_linear'
  # Adam counts a row's steps in float64.
  config.optimize.optimizer.name = 'sgd'
  config.latent_critics.inner.optimizer.name = 'sgd'
  config.denoiser.train.batch_size = ROWS
  return config


def data():
  rng = np.random.default_rng(0)
  return dataset.Dataset(
    rng.integers(0, 256, (20, 4, 4, 1), np.uint8),
    np.eye(2, dtype=np.float32)[np.arange(20) % 2],
    LABELS,
  )


def setting(config):
  z = np.random.default_rng(1).standard_normal((20, LATENTS), np.float32)
  encoded = encodings.Encodings(z, np.exp(z), data().attributes)
  networks = build.build_networks(config, data())
  return train_actor_critic.LatentData(networks, encoded, encoded, LABELS, 0)


def wide_arrays(fn, *args):
  """Arrays of float64 that a function computes; a lone number is none."""
  found = []

  def visit(jaxpr):
    for equation in jaxpr.eqns:
      found.extend(
        f'{equation.primitive} {v.aval.str_short()}'
        for v in equation.outvars
        if getattr(v.aval, 'dtype', None) == np.float64 and v.aval.shape
      )
      for value in jax.tree.leaves(
        list(equation.params.values()),
        is_leaf=lambda v: isinstance(v, core.Jaxpr | core.ClosedJaxpr),
      ):
        if isinstance(value, core.ClosedJaxpr):
          visit(value.jaxpr)
        elif isinstance(value, core.Jaxpr):
          visit(value)

  visit(jax.make_jaxpr(fn)(*args).jaxpr)
  return found


def test_float64_would_be_found(double):
  assert wide_arrays(jax.jit(lambda x: x * jnp.ones(2)), np.float32(1.0))
  assert not wide_arrays(jax.jit(lambda x: x * 2.0), np.ones(2, np.float32))


def make_training(name, config):
  if name == 'vae':
    return train_vae.make_training(config, data(), data(), 0)
  for which in stage.JUDGES:
    if name == which.name:
      return train_classifier.make_training(config, which, data(), data())
  if name == 'latent_critics':
    return train_actor_critic.make_critics_training(config, setting(config))
  if name == 'actor_critic':
    return train_actor_critic.make_actor_training(config, setting(config))
  return train_denoiser.make_training(config, setting(config))


@pytest.mark.parametrize(
  'which',
  [
    stage.VAE,
    *stage.JUDGES,
    stage.LATENT_CRITICS,
    stage.ACTOR_CRITIC,
    stage.DENOISER,
  ],
  ids=lambda which: which.name,
)
def test_a_step_computes_in_float32(double, which):
  config = stage.own_config(tiny(), which)
  parts = make_training(which.name, config)
  state = parts.make_state()
  assert not [v for v in jax.tree.leaves(state) if v.dtype == np.float64]
  batch = {k: v[0] for k, v in parts.make_batches(0, 1).items()}
  step = parts.make_step(config, parts.constants, None)
  assert not wide_arrays(step, state, batch, parts.key)
  new, _ = jax.eval_shape(step, state, batch, parts.key)
  same = jax.tree.map(lambda a, b: a.dtype == b.dtype, state, new)
  assert all(jax.tree.leaves(same))
  assert all(np.isfinite(v) for v in parts.evaluate(state).values())


def bound():
  """Untrained movers of the tiny config."""
  config = tiny()
  parts = setting(config)
  networks = parts.networks
  critics = make_training('latent_critics', config).make_state()
  denoised = make_training('denoiser', config).make_state()
  fitted = mixtures.fit_classes(parts.train.mean, data().attributes, 1, 0)
  unused = dict.fromkeys(
    f.name for f in dataclasses.fields(loading.BoundMovers)
  )
  attribute = attributes.Attributes(
    critics['attribute'].params,
    0.1,
    apply.Apply(networks.attribute_critic),
    LABELS,
    noised_params=denoised['attribute'].params,
    noised_fn=apply.Apply(networks.noised_attribute_critic),
  )
  given = {
    'model': latent_model.LatentModel({}, apply.Apply(networks.vae), 4, None),
    'attributes': attribute,
    'realism': critics_lib.Critic(
      critics['realism'].params, 0.9, apply.Apply(networks.realism_critic)
    ),
    'train': parts.train,
    'labels': LABELS,
    'batch_size': ROWS,
    'want': wants.ALL,
    'velocity': denoiser.Velocity(
      denoised['velocity'].params, apply.Apply(networks.denoiser)
    ),
    'mixture': mixtures.prepare(
      fitted, parts.train.aggregate_mean, parts.train.aggregate_std
    ),
  }
  return config, loading.BoundMovers(**unused | given)


@pytest.mark.parametrize('start_time', [None, 0.7])
def test_the_guided_sampler_is_float32(double, start_time):
  config, parts = bound()  # 0.7: the mixture's part and the networks'
  config.denoise.distance_weight = 0.1
  mover = movers.make_denoiser(parts, config.denoise, start_time)
  z, y = parts.train.mean[:ROWS], data().attributes[:ROWS]
  key = np.asarray(jax.random.key_data(jax.random.key(0)))
  target = {'attributes': (y, np.ones_like(y)), 'near': z}
  given = (mover, key), z, target, np.arange(ROWS)
  assert not wide_arrays(denoiser._denoise, *given)
  assert denoiser._denoise(*given).dtype == np.float32


def test_optimizer_g_is_float32(double):
  config, parts = bound()
  mover = movers.make_optimizer(parts, config.optimize, max_steps=3)
  z, y = parts.train.mean[:ROWS], data().attributes[:ROWS]
  found = movers.move(mover, z, y)
  assert found.z.dtype == found.cost.dtype == np.float32
  target = {'attributes': (y, np.ones_like(y)), 'near': z}
  assert not wide_arrays(optimizer._optimize, mover, z, target)
