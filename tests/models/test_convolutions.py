"""Convolutions of stride 2 equal flax's: outputs, gradients, parameters."""

import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import parameterized
from flax import linen as nn

from lcjax.models import convolutions

PAIRS = {
  'strided': (convolutions.StridedConv, nn.Conv),
  'transposed': (convolutions.TransposedConv, nn.ConvTranspose),
}


def apply(module, params, *arrays, method=None):
  return module.apply(params, *arrays, method=method)


def flax_layer(kind, features, size):
  return PAIRS[kind][1](features, (size, size), (2, 2), padding='SAME')


class EqualsFlaxTest(parameterized.TestCase):
  @parameterized.product(
    kind=('strided', 'transposed'),
    # The smallest image, an uneven half, and one that is not square.
    size_and_shape=(
      *((size, shape) for size in (3, 4, 5) for shape in ((2, 2), (6, 6))),
      *((size, (4, 10)) for size in range(1, 9)),
    ),
  )
  def test_outputs_and_gradients(self, kind, size_and_shape):
    size, shape = size_and_shape
    rng = np.random.default_rng(size)
    x = rng.normal(size=(2, *shape, 3)).astype(np.float32)
    ours, theirs = PAIRS[kind][0](5, size), flax_layer(kind, 5, size)
    params = jax.tree.map(
      lambda leaf: jnp.array(rng.normal(size=leaf.shape), jnp.float32),
      theirs.init(jax.random.key(0), x),
    )
    y = rng.normal(size=jax.eval_shape(theirs.apply, params, x).shape).astype(
      np.float32
    )
    found, expected = (
      (output, *transpose(y))
      for output, transpose in (
        jax.vjp(jax.jit(ours.apply), params, x),
        jax.vjp(jax.jit(theirs.apply), params, x),
      )
    )
    for one, other in zip(
      jax.tree.leaves(found), jax.tree.leaves(expected), strict=True
    ):
      np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)

  @parameterized.product(kind=('strided', 'transposed'), size=(3, 4, 5))
  def test_initial_parameters_are_the_same(self, kind, size):
    x = jnp.zeros((1, 4, 4, 3))
    ours = PAIRS[kind][0](5, size).init(jax.random.key(7), x)
    theirs = flax_layer(kind, 5, size).init(jax.random.key(7), x)
    jax.tree.map(np.testing.assert_array_equal, ours, theirs)
    shapes = jax.tree.map(lambda leaf: leaf.shape, ours)['params']
    self.assertEqual(shapes, {'kernel': (size, size, 3, 5), 'bias': (5,)})

  def test_published_stack(self):
    """Encoder kernels 5, 5, 3, 3, their mirror in the decoder; few channels."""
    rng = np.random.default_rng(0)
    images = rng.uniform(size=(2, 32, 32, 3)).astype(np.float32)
    kernels = {'strided': (5, 5, 3, 3), 'transposed': (3, 3, 5, 5)}

    def run(params, x, flax):
      for kind, sizes in kernels.items():
        for number, size in enumerate(sizes):
          layer = flax_layer(kind, 4, size) if flax else PAIRS[kind][0](4, size)
          x = jnp.tanh(apply(layer, params[f'{kind}_{number}'], x))
      return jnp.sum(x**2)

    params, features = {}, 3
    for kind, sizes in kernels.items():
      for number, size in enumerate(sizes):
        params[f'{kind}_{number}'] = flax_layer(kind, 4, size).init(
          jax.random.key(number), jnp.zeros((1, 4, 4, features))
        )
        features = 4
    found, expected = (
      jax.jit(jax.grad(lambda p, flax=flax: run(p, images, flax)))(params)
      for flax in (False, True)
    )
    for one, other in zip(
      jax.tree.leaves(found), jax.tree.leaves(expected), strict=True
    ):
      scale = np.max(np.abs(other))
      np.testing.assert_allclose(one / scale, other / scale, atol=1e-5)


class LinearMapsTest(parameterized.TestCase):
  @parameterized.parameters(3, 4, 5)
  def test_mirrored_kernel_gives_the_transpose(self, size):
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(1, 6, 8, 2)), rng.normal(size=(1, 3, 4, 5))
    x, y = jnp.float32(x), jnp.float32(y)
    kernel = jnp.float32(rng.normal(size=(size, size, 2, 5)))
    turned = convolutions.mirrored(kernel)
    np.testing.assert_array_equal(convolutions.mirrored(turned), kernel)
    np.testing.assert_allclose(
      jnp.sum(convolutions.strided(x, kernel) * y),
      jnp.sum(convolutions.transposed(y, turned) * x),
      rtol=1e-4,
      atol=1e-4,
    )

  @parameterized.parameters(3, 4)
  def test_second_derivatives(self, size):
    """A gradient penalty through a convolution has them."""
    rng = np.random.default_rng(2)
    x = jnp.float32(rng.normal(size=(2, 4, 4, 3)))
    for kind, (ours, _) in PAIRS.items():
      layers = ours(4, size), flax_layer(kind, 4, size)
      params = layers[1].init(jax.random.key(0), x)

      def penalty(params, layer, x=x):
        grad = jax.grad(lambda x: jnp.sum(jnp.sin(layer.apply(params, x))))(x)
        return jnp.sum(grad**2)

      found, expected = (jax.grad(penalty)(params, layer) for layer in layers)
      jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4),
        found,
        expected,
      )

  def test_odd_images_are_refused(self):
    with self.assertRaisesRegex(ValueError, r'must be even, not \(5, 4\)'):
      convolutions.strided(jnp.zeros((1, 5, 4, 2)), jnp.zeros((3, 3, 2, 2)))
