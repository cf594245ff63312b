"""The sizes of the paper, built and trained for a moment."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from lcjax.models import networks, vae
from lcjax.training import objectives, steps
from lcjax.training import state as state_lib


def apply(module, params, *arrays, method=None):
  return module.apply(params, *arrays, method=method)


@pytest.mark.slow
def test_celeba_vae_trains():
  """The CelebA VAE of arXiv:1711.05772: its size, and two steps."""
  channels, kernels = (256, 512, 1024, 2048), (5, 5, 3, 3)
  shape = (64, 64, 3)
  module = vae.Vae(
    encoder=networks.ConvEncoder(channels, kernels, (2, 2, 2, 2), 'relu'),
    decoder=networks.ConvDecoder(shape, channels[::-1], kernels[::-1], 'relu'),
    latent_size=1024,
  )
  params = module.init(jax.random.key(0), jnp.zeros((1, *shape)))
  assert sum(leaf.size for leaf in jax.tree.leaves(params)) == 154_481_667
  loss_fn = objectives.make_vae_loss(
    lambda p, x: apply(module, p, x, method='encode'),
    lambda p, z: apply(module, p, z, method='decode'),
    sigma_x=0.1,
    beta=1.0,
  )
  tx = optax.adam(3e-4)
  step = jax.jit(
    steps.scan_steps(steps.make_train_step(loss_fn, tx)), donate_argnums=0
  )
  state = state_lib.create(params, tx, average=False)
  rng = np.random.default_rng(0)
  batch = {
    'image': rng.integers(0, 255, (1, 2, *shape), np.uint8),
    'row': np.arange(2)[None],
  }
  losses = []
  for _ in range(2):
    state, metrics = step(state, batch, jax.random.key(1))
    losses.append(float(metrics['loss']))
  assert losses[1] < losses[0]
