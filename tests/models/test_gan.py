"""The networks of a GAN."""

import jax
import numpy as np
import pytest

from configs import base
from lcjax import errors
from lcjax.experiment import architectures
from lcjax.generators import gan as generators


def section_of(architecture):
  section = base.get_config().gan
  section.update(
    latent_size=3,
    architecture=architecture,
    hidden_sizes=(8, 6),
    conv_channels=(4, 8),
    conv_kernels=(3, 3),
  )
  return section


@pytest.mark.parametrize('architecture', ['mlp', 'conv'])
def test_images_of_latents_and_outputs_of_images(architecture):
  generator, discriminator = architectures.build_gan(
    section_of(architecture), (8, 4, 2)
  )
  z = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
  params = generator.init(jax.random.key(0), z)
  images = generator.apply(params, z)
  assert images.shape == (5, 8, 4, 2) and images.dtype == np.float32
  assert images.min() > 0.0 and images.max() < 1.0
  scores = discriminator.init(jax.random.key(1), images)
  v = discriminator.apply(scores, images)
  assert v.shape == (5,)
  # Rows are independent: there is no batch normalisation.
  np.testing.assert_allclose(generator.apply(params, z[:1]), images[:1], 1e-5)
  np.testing.assert_allclose(
    discriminator.apply(scores, images[2:3]), v[2:3], 1e-4, 1e-6
  )
  sizes = {
    'mlp': [(3, 6), (6, 8), (8, 64)],
    'conv': [(3, 2 * 1 * 8), (3, 3, 4, 8), (3, 3, 2, 4)],
  }
  kernels = [leaf.shape for leaf in jax.tree.leaves(params) if leaf.ndim > 1]
  assert {tuple(sorted(one)) for one in kernels} == {
    tuple(sorted(one)) for one in sizes[architecture]
  }


def test_a_model_that_cannot_encode():
  generator, _ = architectures.build_gan(section_of('mlp'), (8, 4, 2))
  z = np.zeros((2, 3), np.float32)
  params = generator.init(jax.random.key(0), z)
  model = generators.of_gan(generator, params, 3)
  np.testing.assert_allclose(
    model.decode(z), generator.apply(params, z), rtol=1e-6
  )
  with pytest.raises(errors.UserError, match='no encoder'):
    model.encode(np.zeros((2, 8, 4, 2), np.float32))


def test_layers_that_do_not_fit_are_named():
  with pytest.raises(errors.UserError, match=r'config\.gan has 2 layers'):
    architectures.build_gan(section_of('conv'), (8, 6, 1))
