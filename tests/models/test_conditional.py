"""Networks that see labels: what their outputs depend on, and how."""

import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import parameterized

from lcjax.models import conditional, networks

RNG = np.random.default_rng(0)
SHAPE = (4, 4, 2)
IMAGES = RNG.uniform(size=(3, *SHAPE)).astype(np.float32)
Z = RNG.normal(size=(3, 6)).astype(np.float32)
Y = np.eye(5, dtype=np.float32)[:3]
OTHER = np.eye(5, dtype=np.float32)[2:]

BODIES = {
  'mlp': (
    networks.MlpEncoder(hidden_sizes=(8,), activation='tanh'),
    networks.MlpDecoder(
      image_shape=SHAPE, hidden_sizes=(8,), activation='tanh'
    ),
  ),
  'conv': (
    networks.ConvEncoder(
      channels=(5,), kernels=(3,), strides=(2,), activation='tanh'
    ),
    networks.ConvDecoder(
      image_shape=SHAPE, channels=(5,), kernels=(3,), activation='tanh'
    ),
  ),
}


def learns(loss_fn, params):
  """Whether every parameter has a gradient somewhere."""
  grads = jax.grad(loss_fn)(params)
  return all(bool(jnp.any(leaf != 0)) for leaf in jax.tree.leaves(grads))


class VaeTest(parameterized.TestCase):
  @parameterized.parameters(*BODIES)
  def test_encoder_and_decoder_see_the_label(self, body):
    module = conditional.ConditionalVae(*BODIES[body], 6, label_size=3)
    params = module.init(jax.random.key(0), IMAGES, Y)
    mean, scale = module.apply(params, IMAGES, Y, method='encode')
    assert mean.shape == scale.shape == (3, 6)
    assert (scale > 0).all()
    other, other_scale = module.apply(params, IMAGES, OTHER, method='encode')
    assert np.abs(mean - other).max(axis=1).min() > 1e-2
    assert np.abs(scale - other_scale).max(axis=1).min() > 1e-3
    logits = module.apply(params, Z, Y, method='decode')
    assert logits.shape == IMAGES.shape
    other = module.apply(params, Z, OTHER, method='decode')
    assert np.abs(logits - other).max(axis=(1, 2, 3)).min() > 1e-2

    def loss_fn(params):
      mean, scale = module.apply(params, IMAGES, Y, method='encode')
      return jnp.sum(
        jnp.sin(module.apply(params, mean + scale, Y, method='decode'))
      )

    # All biases, too, so that no linear layer is left out.
    assert learns(loss_fn, params)


class GanTest(parameterized.TestCase):
  @parameterized.parameters(*BODIES)
  def test_the_generator_sees_the_label(self, body):
    module = conditional.ConditionalGenerator(BODIES[body][1], label_size=3)
    params = module.init(jax.random.key(0), Z, Y)
    made = module.apply(params, Z, Y)
    assert made.shape == IMAGES.shape
    assert (made > 0).all() and (made < 1).all()
    other = module.apply(params, Z, OTHER)
    assert np.abs(made - other).max(axis=(1, 2, 3)).min() > 1e-3
    assert learns(lambda p: jnp.sum(jnp.sin(module.apply(p, Z, Y))), params)

  @parameterized.parameters(*BODIES)
  def test_the_discriminator_is_a_projection(self, body):
    encoder = BODIES[body][0]
    module = conditional.ConditionalDiscriminator(encoder)
    params = module.init(jax.random.key(0), IMAGES, Y)
    layers = params['params']
    hidden = encoder.apply({'params': layers['encoder']}, IMAGES)
    hidden = np.array(hidden).reshape(3, -1)
    expected = (hidden @ layers['output']['kernel'])[:, 0]
    expected += layers['output']['bias'] + 0.0
    expected += (hidden * (Y @ layers['labels']['kernel'])).sum(axis=1)
    found = module.apply(params, IMAGES, Y)
    assert found.shape == (3,)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    assert np.abs(found - module.apply(params, IMAGES, OTHER)).min() > 1e-3
