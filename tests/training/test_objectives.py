"""The VAE's and the classifier's losses with models done by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import scipy.stats
from absl.testing import parameterized

from lcjax import types
from lcjax.latent import noise
from lcjax.losses import elbo
from lcjax.training import objectives

KEY = jax.random.key(0)
IMAGES = np.random.default_rng(0).integers(0, 256, (3, 2, 1, 1), dtype=np.uint8)
ROW = np.array([4, 0, 9])

CLASSES = types.Classes(('a', 'b'))


def test_to_unit():
  units = objectives.to_unit(jnp.array([0, 51, 255], jnp.uint8))
  np.testing.assert_allclose(units, [0.0, 0.2, 1.0], rtol=1e-6)
  assert units.dtype == jnp.float32


class VaeLossTest(parameterized.TestCase):
  def encode(self, params, images):
    flat = images.reshape(-1, 2)
    return flat * params['mean'], jnp.full(flat.shape, params['scale'])

  def decode(self, params, z):
    return (params['gain'] * z).reshape(-1, 2, 1, 1)

  @parameterized.parameters((0.1, 1.0), (1.0, 0.25))
  def test_by_hand(self, sigma_x, beta):
    params = {'mean': 1.5, 'scale': 0.7, 'gain': 2.0}
    loss_fn = objectives.make_vae_loss(self.encode, self.decode, sigma_x, beta)
    loss, metrics = loss_fn(params, {'image': IMAGES, 'row': ROW}, KEY)

    units = IMAGES.reshape(3, 2) / 255
    mean = 1.5 * units
    z = mean + 0.7 * np.array(noise.normal(KEY, ROW, 2))
    pixels = 1 / (1 + np.exp(-2.0 * z))
    log_likelihood = scipy.stats.norm.logpdf(units, pixels, sigma_x).sum(1)
    kl = (0.5 * (mean**2 + 0.49 - 1) - np.log(0.7)).sum(1)
    expected = {
      'loss': np.mean(beta * kl - log_likelihood),
      'elbo_nats': np.mean(log_likelihood - kl),
      'reconstruction_nats': np.mean(log_likelihood),
      'kl_nats': np.mean(kl),
      'pixel_mse': np.mean((units - pixels) ** 2),
    }
    self.assertEqual(set(metrics), set(expected))
    for name, value in expected.items():
      np.testing.assert_allclose(metrics[name], value, rtol=1e-4, err_msg=name)
    np.testing.assert_allclose(loss, expected['loss'], rtol=1e-4)


class ConditionalVaeLossTest(parameterized.TestCase):
  """The mean of z and the logits are shifted by the row's label."""

  def encode(self, params, images, y):
    flat = images.reshape(-1, 2)
    return flat + params * y, jnp.full(flat.shape, 0.7)

  def decode(self, params, z, y):
    return (2.0 * z - 3.0 * y).reshape(-1, 2, 1, 1)

  @parameterized.parameters('gaussian', 'bernoulli')
  def test_by_hand(self, likelihood):
    y = np.array([[0, 1], [1, 0], [1, 0]], np.float32)
    loss_fn = objectives.make_conditional_vae_loss(
      self.encode,
      self.decode,
      objectives.gaussian_likelihood(0.3)
      if likelihood == 'gaussian'
      else elbo.bernoulli_log_likelihood,
      beta=0.25,
    )
    batch = {'image': IMAGES, 'attributes': y, 'row': ROW}
    loss, metrics = loss_fn(1.5, batch, KEY)

    units = IMAGES.reshape(3, 2) / 255
    mean = units + 1.5 * y
    z = mean + 0.7 * np.array(noise.normal(KEY, ROW, 2))
    pixels = 1 / (1 + np.exp(3.0 * y - 2.0 * z))
    if likelihood == 'gaussian':
      each = scipy.stats.norm.logpdf(units, pixels, 0.3)
    else:
      each = units * np.log(pixels) + (1 - units) * np.log(1 - pixels)
    log_likelihood = each.sum(1)
    kl = (0.5 * (mean**2 + 0.49 - 1) - np.log(0.7)).sum(1)
    expected = {
      'loss': np.mean(0.25 * kl - log_likelihood),
      'elbo_nats': np.mean(log_likelihood - kl),
      'reconstruction_nats': np.mean(log_likelihood),
      'kl_nats': np.mean(kl),
      'pixel_mse': np.mean((units - pixels) ** 2),
    }
    self.assertEqual(set(metrics), set(expected))
    for name, value in expected.items():
      np.testing.assert_allclose(metrics[name], value, rtol=1e-4, err_msg=name)
    np.testing.assert_allclose(loss, expected['loss'], rtol=1e-4)


class ClassifierLossTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.batch = {
      'image': IMAGES,
      'attributes': np.array([[0, 1], [1, 0], [1, 0]], np.float32),
      'row': ROW,
    }

  def logits(self, params, images):
    return params * images.reshape(-1, 2)

  @parameterized.parameters(types.Classes, types.Bits)
  def test_by_hand(self, kind):
    loss_fn = objectives.make_classifier_loss(
      self.logits, kind(('a', 'b')), pixel_noise=0.0, flip=False
    )
    loss, metrics = loss_fn(3.0, self.batch, KEY)
    logits = np.float32(3.0 / 255) * IMAGES.reshape(3, 2)
    y = self.batch['attributes']
    if kind is types.Classes:
      losses = optax.softmax_cross_entropy(logits, y)
      right = logits.argmax(1) == y.argmax(1)
    else:
      losses = optax.sigmoid_binary_cross_entropy(logits, y)
      right = (logits > 0) == (y == 1)
    np.testing.assert_allclose(loss, np.mean(losses), rtol=1e-5)
    np.testing.assert_allclose(metrics['loss'], loss)
    np.testing.assert_allclose(metrics['accuracy'], np.mean(right), rtol=1e-5)

  def test_pixel_noise_is_added_before_the_model(self):
    seen = []

    def logits(params, images):
      seen.append(np.array(images))
      return self.logits(params, images)

    for deviation in (0.0, 0.5):
      loss_fn = objectives.make_classifier_loss(
        logits, CLASSES, deviation, False
      )
      loss_fn(3.0, self.batch, KEY)
    expected = 0.5 * np.array(noise.normal(KEY, ROW, 2)).reshape(IMAGES.shape)
    np.testing.assert_allclose(seen[1] - seen[0], expected, atol=1e-6)

  def test_flip_mirrors_about_half_of_the_images_left_to_right(self):
    seen = []

    def logits(params, images):
      seen.append(np.array(images))
      return params * images[:, 0, :2, 0]

    images = np.arange(64 * 2 * 3, dtype=np.uint8).reshape(64, 2, 3, 1)
    batch = {
      'image': images,
      'attributes': np.ones((64, 2), np.float32),
      'row': np.arange(64),
    }
    objectives.make_classifier_loss(logits, CLASSES, 0.0, True)(1.0, batch, KEY)
    units = images / 255
    same = (np.abs(seen[0] - units) < 1e-6).all((1, 2, 3))
    mirrored = (np.abs(seen[0] - units[:, :, ::-1]) < 1e-6).all((1, 2, 3))
    self.assertTrue((same ^ mirrored).all())
    self.assertBetween(mirrored.sum(), 20, 44)
