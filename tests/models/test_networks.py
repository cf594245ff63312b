"""Every module: its shapes, what its outputs mean, and that it all learns."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import parameterized
from flax import linen as nn

from lcjax.models import actor, classifier, critic, networks, vae

RNG = np.random.default_rng(0)
IMAGES = RNG.uniform(size=(3, 4, 5, 2)).astype(np.float32)
Z = RNG.normal(size=(3, 6)).astype(np.float32)
Y = RNG.uniform(0.1, 1.0, size=(3, 4)).astype(np.float32)

SHAPE = (4, 5, 2)
VAE = vae.Vae(
  encoder=networks.MlpEncoder(hidden_sizes=(7, 8), activation='tanh'),
  decoder=networks.MlpDecoder(
    image_shape=SHAPE, hidden_sizes=(8, 7), activation='tanh'
  ),
  latent_size=6,
)
CONV_IMAGES = RNG.uniform(size=(3, 8, 12, 2)).astype(np.float32)
CONV_VAE = vae.Vae(
  encoder=networks.ConvEncoder(
    channels=(5, 7), kernels=(5, 4), strides=(2, 2), activation='tanh'
  ),
  decoder=networks.ConvDecoder(
    image_shape=(8, 12, 2), channels=(7, 5), kernels=(4, 5), activation='tanh'
  ),
  latent_size=6,
)
ACTOR = actor.Actor(
  latent_size=6, label_size=5, hidden_sizes=(7, 8), activation='tanh'
)
CRITIC = critic.Critic(label_size=5, hidden_sizes=(7, 8), activation='tanh')
ATTRIBUTE_CRITIC = critic.AttributeCritic(
  num_attributes=4, hidden_sizes=(7, 8), activation='tanh'
)
CLASSIFIER = classifier.Classifier(num_attributes=4, body=VAE.encoder)
CONV_CLASSIFIER = classifier.Classifier(
  num_attributes=4,
  body=networks.ConvEncoder(
    channels=(5, 7, 8), kernels=(5, 3, 3), strides=(2, 1, 2), activation='tanh'
  ),
)


def apply(module, params, *arrays, method=None):
  return module.apply(params, *arrays, method=method)


def vae_outputs(module, params, images):
  """Everything that a VAE computes, as its training uses it."""
  mean, scale = module.apply(params, images, method='encode')
  return module.apply(params, mean + scale, method='decode'), mean, scale


def params_of(module, *arrays):
  """Random parameters: biases too, or much of a module would not show."""
  rng = np.random.default_rng(1)
  return jax.tree.map(
    lambda leaf: jnp.array(0.3 * rng.normal(size=leaf.shape), leaf.dtype),
    jax.eval_shape(module.init, jax.random.key(0), *arrays),
  )


class AllModulesTest(parameterized.TestCase):
  @parameterized.named_parameters(
    ('vae', VAE, (IMAGES,), functools.partial(vae_outputs, VAE)),
    (
      'conv_vae',
      CONV_VAE,
      (CONV_IMAGES,),
      functools.partial(vae_outputs, CONV_VAE),
    ),
    ('actor', ACTOR, (Z, Y), ACTOR.apply),
    ('critic', CRITIC, (Z, Y), CRITIC.apply),
    ('critic_without_y', CRITIC, (Z,), CRITIC.apply),
    ('attribute_critic', ATTRIBUTE_CRITIC, (Z,), ATTRIBUTE_CRITIC.apply),
    ('classifier', CLASSIFIER, (IMAGES,), CLASSIFIER.apply),
    (
      'conv_classifier',
      CONV_CLASSIFIER,
      (CONV_IMAGES,),
      CONV_CLASSIFIER.apply,
    ),
  )
  def test_every_parameter_and_row(self, module, arrays, outputs_fn):
    params = params_of(module, *arrays)

    @jax.jit
    @functools.partial(jax.grad, has_aux=True)
    def grad_and_outputs(params, *arrays):
      outputs = outputs_fn(params, *arrays)
      return sum(jnp.sum(jnp.sin(a)) for a in jax.tree.leaves(outputs)), outputs

    grads, whole = grad_and_outputs(params, *arrays)
    for path, leaf in jax.tree_util.tree_leaves_with_path(grads):
      self.assertTrue(np.all(leaf != 0), f'{path} is not trained')
    # A row alone gives what it gives among others.
    _, alone = grad_and_outputs(params, *(array[1:2] for array in arrays))
    for one, many in zip(
      jax.tree.leaves(alone), jax.tree.leaves(whole), strict=True
    ):
      np.testing.assert_allclose(one[0], many[1], rtol=1e-5, atol=1e-6)
      self.assertEqual(many.dtype, jnp.float32)


class MlpTest(parameterized.TestCase):
  @parameterized.parameters('relu', 'silu', 'gelu', 'tanh')
  def test_by_hand(self, activation):
    module = networks.Mlp((7, 8), activation)
    params = params_of(module, Z)
    act = networks.ACTIVATIONS[activation]
    first, second = params['params']['Dense_0'], params['params']['Dense_1']
    hidden = act(Z @ first['kernel'] + first['bias'][None])
    expected = act(hidden @ second['kernel'] + second['bias'][None])
    np.testing.assert_allclose(module.apply(params, Z), expected, atol=1e-6)
    self.assertIs(act, getattr(jax.nn, activation))


class VaeTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.params = params_of(VAE, IMAGES)

  def encode(self, params):
    return VAE.apply(params, IMAGES, method='encode')

  def test_mean_and_scale_are_the_halves_of_one_layer(self):
    raw = np.linspace(-9.0, 9.0, 12, dtype=np.float32)
    self.params['params']['posterior'] = {
      'kernel': jnp.zeros((8, 12)),
      'bias': jnp.array(raw),
    }
    mean, scale = self.encode(self.params)
    np.testing.assert_allclose(mean, np.tile(raw[:6], (3, 1)))
    deviation = np.log1p(np.exp(raw[6:]))
    np.testing.assert_allclose(scale, np.tile(deviation, (3, 1)), rtol=1e-6)

  def test_scale_is_positive_far_out(self):
    posterior = self.params['params']['posterior']
    posterior['bias'] = posterior['bias'] - 30.0
    self.assertTrue(np.all(self.encode(self.params)[1] > 0))

  def test_decode(self):
    logits = VAE.apply(self.params, 30 * Z, method='decode')
    self.assertEqual(logits.shape, (3, 4, 5, 2))
    bias = np.linspace(-5.0, 5.0, 40, dtype=np.float32)
    self.params['params']['decoder']['pixels'] = {
      'kernel': jnp.zeros((7, 40)),
      'bias': jnp.array(bias),
    }
    logits = VAE.apply(self.params, Z, method='decode')
    # Logits, not pictures; and pixels in the order that encode flattens them.
    np.testing.assert_array_equal(logits[2].ravel(), bias)

  def test_call_reconstructs_the_mean(self):
    mean, _ = self.encode(self.params)
    expected = VAE.apply(self.params, mean, method='decode')
    np.testing.assert_allclose(
      VAE.apply(self.params, IMAGES), expected, rtol=1e-6
    )


class ActorTest(parameterized.TestCase):
  def test_gate_at_its_ends_and_between(self):
    target = Z + 5.0
    shut = actor.gate(Z, target, jnp.full(Z.shape, -jnp.inf))
    wide = actor.gate(Z, target, jnp.full(Z.shape, jnp.inf))
    np.testing.assert_array_equal(shut, Z)
    np.testing.assert_array_equal(wide, target)
    logits = jnp.full(Z.shape, jnp.log(0.25))  # opens by a fifth
    np.testing.assert_allclose(
      actor.gate(Z, target, logits), Z + 1.0, rtol=1e-5, atol=1e-5
    )

  def test_last_layer_is_target_then_gate(self):
    params = params_of(ACTOR, Z, Y)
    target = np.linspace(-2, 2, 6, dtype=np.float32)
    for logit, expected in ((-40.0, Z), (40.0, np.tile(target, (3, 1)))):
      params['params']['Dense_1'] = {  # Dense_0 maps the labels
        'kernel': jnp.zeros((8, 12)),
        'bias': jnp.concatenate([target, jnp.full(6, logit)]),
      }
      moved = ACTOR.apply(params, Z, Y)
      self.assertEqual(moved.shape, (3, 6))
      np.testing.assert_allclose(moved, expected, atol=1e-6)


class CriticTest(parameterized.TestCase):
  def test_shapes(self):
    for arrays in ((Z, Y), (Z,)):
      params = params_of(CRITIC, *arrays)
      self.assertEqual(CRITIC.apply(params, *arrays).shape, (3,))
    params = params_of(CRITIC, Z)
    self.assertEqual(CRITIC.apply(params, Z[0]).shape, ())
    params = params_of(ATTRIBUTE_CRITIC, Z)
    self.assertEqual(ATTRIBUTE_CRITIC.apply(params, Z).shape, (3, 4))
    self.assertEqual(ATTRIBUTE_CRITIC.apply(params, Z[0]).shape, (4,))

  def test_judges_attributes_too(self):
    params = params_of(CRITIC, Z, Y)
    change = CRITIC.apply(params, Z, Y) - CRITIC.apply(params, Z, Y[::-1])
    self.assertTrue(np.all(np.abs(np.array(change)[[0, 2]]) > 1e-4))


class ClassifierTest(parameterized.TestCase):
  def test_features_are_what_the_logits_come_from(self):
    params = params_of(CLASSIFIER, IMAGES)
    logits, features = CLASSIFIER.apply(params, IMAGES)
    self.assertEqual(logits.shape, (3, 4))
    self.assertEqual(features.shape, (3, 8))
    last = params['params']['Dense_0']
    np.testing.assert_allclose(
      logits, features @ last['kernel'] + last['bias'][None], rtol=1e-5
    )

  def test_features_of_convolutions_are_averages_over_space(self):
    params = params_of(CONV_CLASSIFIER, CONV_IMAGES)
    logits, features = apply(CONV_CLASSIFIER, params, CONV_IMAGES)
    self.assertEqual(logits.shape, (3, 4))
    maps = apply(
      CONV_CLASSIFIER.body, {'params': params['params']['body']}, CONV_IMAGES
    )
    self.assertEqual(maps.shape, (3, 2, 3, 8))
    np.testing.assert_allclose(
      features, np.mean(maps, axis=(1, 2)), rtol=1e-5, atol=1e-6
    )


class ConvBodiesTest(parameterized.TestCase):
  def test_encoder_by_flax(self):
    body = CONV_CLASSIFIER.body
    params = params_of(body, CONV_IMAGES)
    x = jnp.array(CONV_IMAGES)
    for number, stride in enumerate((2, 1, 2)):
      layer = params['params'][f'conv_{number}']
      size, _, _, features = layer['kernel'].shape
      conv = nn.Conv(features, (size, size), stride, padding='SAME')
      x = jnp.tanh(apply(conv, {'params': layer}, x))
    np.testing.assert_allclose(
      apply(body, params, CONV_IMAGES), x, rtol=1e-4, atol=1e-5
    )

  def test_decoder_by_flax(self):
    body = CONV_VAE.decoder
    params = params_of(body, Z)
    layers = params['params']
    x = Z @ layers['dense']['kernel'] + layers['dense']['bias'][None]
    x = x.reshape(3, 2, 3, 7)
    for number, (features, size) in enumerate(((5, 4), (2, 5))):
      conv = nn.ConvTranspose(features, (size, size), (2, 2), padding='SAME')
      x = apply(conv, {'params': layers[f'conv_{number}']}, jnp.tanh(x))
    np.testing.assert_allclose(  # logits: nothing after the last layer
      apply(body, params, Z), x, rtol=1e-4, atol=1e-4
    )

  def test_wrong_lengths_are_an_error(self):
    body = networks.ConvEncoder((5, 7), (3,), (2, 2), 'relu')
    with self.assertRaises(ValueError):
      body.init(jax.random.key(0), CONV_IMAGES)


class DtypeTest(parameterized.TestCase):
  @parameterized.named_parameters(
    ('vae', VAE, IMAGES, ('encoder', 'decoder')),
    ('conv_vae', CONV_VAE, CONV_IMAGES, ('encoder', 'decoder')),
    ('classifier', CLASSIFIER, IMAGES, ('body',)),
    ('conv_classifier', CONV_CLASSIFIER, CONV_IMAGES, ('body',)),
  )
  def test_bfloat16_computes_nearly_the_same(self, module, images, bodies):
    parts = {
      name: getattr(module, name).clone(dtype='bfloat16') for name in bodies
    }
    half = module.clone(dtype='bfloat16', **parts)
    params = params_of(half, images)
    for leaf in jax.tree.leaves(params):
      self.assertEqual(leaf.dtype, jnp.float32)

    def outputs(module, params):
      if isinstance(module, vae.Vae):
        return vae_outputs(module, params, images)
      return apply(module, params, images)

    run = jax.jit(outputs, static_argnums=0)
    for low, full in zip(run(half, params), run(module, params), strict=True):
      self.assertEqual(low.dtype, jnp.float32)
      difference = np.max(np.abs(low - full)) / np.max(np.abs(full))
      self.assertLess(difference, 0.03)
      self.assertGreater(difference, 1e-5)  # it is not float32 after all
    grads = jax.eval_shape(
      jax.grad(lambda p: jnp.sum(outputs(half, p)[0])), params
    )
    for leaf in jax.tree.leaves(grads):
      self.assertEqual(leaf.dtype, jnp.float32)

  def test_products_are_of_bfloat16(self):
    """Every matrix product and convolution, and of their gradients."""
    for module, images in (
      (VAE, IMAGES),
      (CONV_VAE, CONV_IMAGES),
    ):
      half = module.clone(
        dtype='bfloat16',
        encoder=module.encoder.clone(dtype='bfloat16'),
        decoder=module.decoder.clone(dtype='bfloat16'),
      )
      params = params_of(half, images)
      program = jax.make_jaxpr(
        jax.grad(lambda p, h=half, x=images: jnp.sum(apply(h, p, x)))
      )(params)
      products = [
        line
        for line in str(program).splitlines()
        if ' = dot_general[' in line or ' = conv_general_dilated[' in line
      ]
      self.assertNotEmpty(products)
      for line in products:
        self.assertIn(':bf16[', line)
