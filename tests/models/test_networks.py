"""Every module: its shapes, what its outputs mean, and that it all learns."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import parameterized

from lcjax.models import actor, classifier, critic, networks, vae

RNG = np.random.default_rng(0)
IMAGES = RNG.uniform(size=(3, 4, 5, 2)).astype(np.float32)
Z = RNG.normal(size=(3, 6)).astype(np.float32)
Y = RNG.uniform(0.1, 1.0, size=(3, 4)).astype(np.float32)

VAE = vae.Vae(
  image_shape=(4, 5, 2), latent_size=6, hidden_sizes=(7, 8), activation='tanh'
)
ACTOR = actor.Actor(
  latent_size=6, label_size=5, hidden_sizes=(7, 8), activation='tanh'
)
CRITIC = critic.Critic(label_size=5, hidden_sizes=(7, 8), activation='tanh')
ATTRIBUTE_CRITIC = critic.AttributeCritic(
  num_attributes=4, hidden_sizes=(7, 8), activation='tanh'
)
CLASSIFIER = classifier.Classifier(
  num_attributes=4, hidden_sizes=(7, 8), activation='tanh'
)


def vae_outputs(params, images):
  """Everything that a VAE computes, as its training uses it."""
  mean, scale = VAE.apply(params, images, method='encode')
  return VAE.apply(params, mean + scale, method='decode'), mean, scale


def params_of(module, *arrays):
  """Random parameters: biases too, or much of a module would not show."""
  rng = np.random.default_rng(1)
  return jax.tree.map(
    lambda leaf: jnp.array(0.5 * rng.normal(size=leaf.shape), leaf.dtype),
    jax.eval_shape(module.init, jax.random.key(0), *arrays),
  )


class AllModulesTest(parameterized.TestCase):
  @parameterized.named_parameters(
    ('vae', VAE, (IMAGES,), vae_outputs),
    ('actor', ACTOR, (Z, Y), ACTOR.apply),
    ('critic', CRITIC, (Z, Y), CRITIC.apply),
    ('critic_without_y', CRITIC, (Z,), CRITIC.apply),
    ('attribute_critic', ATTRIBUTE_CRITIC, (Z,), ATTRIBUTE_CRITIC.apply),
    ('classifier', CLASSIFIER, (IMAGES,), CLASSIFIER.apply),
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
    self.params['params']['pixels'] = {
      'kernel': jnp.zeros((7, 40)),
      'bias': jnp.array(bias),
    }
    logits = VAE.apply(self.params, Z, method='decode')
    # Logits, not pictures; and pixels in the order that encode flattens them.
    np.testing.assert_array_equal(logits[2].ravel(), bias)

  def test_decoder_mirrors_encoder(self):
    shapes = jax.tree.map(lambda leaf: leaf.shape, self.params)['params']
    encoder, decoder = shapes['encoder'], shapes['decoder']
    self.assertEqual(encoder['Dense_0']['kernel'], (40, 7))
    self.assertEqual(encoder['Dense_1']['kernel'], (7, 8))
    self.assertEqual(decoder['Dense_0']['kernel'], (6, 8))
    self.assertEqual(decoder['Dense_1']['kernel'], (8, 7))

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
