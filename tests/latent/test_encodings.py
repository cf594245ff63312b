"""Encodings of a data set, and functions applied to it in equal batches."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import parameterized

from lcjax.latent import encodings

RNG = np.random.default_rng(0)


class InBatchesTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    chex.clear_trace_counter()

  @parameterized.named_parameters(
    ('divides', 8, 4, 4),
    ('one_over', 9, 4, 4),
    ('one_short', 11, 4, 4),
    ('one_batch', 4, 4, 4),
    # Few rows take the next power of two: few shapes, few compilations.
    ('fewer_rows_than_a_batch', 5, 100, 8),
    ('a_row', 1, 4, 1),
  )
  def test_keeps_every_row_with_one_shape(self, num_rows, batch_size, shape):
    x = RNG.normal(size=(num_rows, 2)).astype(np.float32)
    y = np.arange(num_rows)

    @jax.jit
    @chex.assert_max_traces(n=1)
    def fn(x, y):
      chex.assert_shape(x, (shape, 2))
      return {'sum': x.sum(axis=1) + y, 'x': (x,)}

    found = encodings.in_batches(fn, x, y, batch_size=batch_size)
    chex.assert_trees_all_close(
      found, {'sum': x.sum(axis=1) + y, 'x': (x,)}, rtol=1e-6
    )
    self.assertIsInstance(found['sum'], np.ndarray)

  @parameterized.parameters((False, {(8,), (4,)}), (True, {(8,)}))
  def test_one_shape_serves_any_number_of_rows(self, one_shape, shapes):
    seen = set()

    def fn(rows):
      seen.add(rows.shape)
      return rows

    for count in (20, 3):
      found = encodings.in_batches(
        fn, np.arange(count), batch_size=8, one_shape=one_shape
      )
      np.testing.assert_array_equal(found, np.arange(count))
    self.assertEqual(seen, shapes)

  def test_padding_is_of_true_rows(self):
    seen = []
    x = np.arange(1.0, 6.0)
    encodings.in_batches(
      lambda rows: seen.append(rows) or rows, x, batch_size=3
    )
    self.assertTrue(np.isin(np.concatenate(seen), x).all())


class EncodingsTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.mean = RNG.normal(size=(3, 2)).astype(np.float32)
    self.scale = np.array([[0.1, 1.0], [0.2, 3.0], [0.6, 2.0]], np.float32)
    self.encodings = encodings.Encodings(self.mean, self.scale, np.eye(3))

  def test_mean_scale(self):
    np.testing.assert_allclose(self.encodings.mean_scale, [0.3, 2.0], rtol=1e-6)

  def test_sample_moments(self):
    rows = np.repeat([2, 0], 4000)
    z = self.encodings.sample(0, rows)
    self.assertEqual(z.dtype, np.float32)
    for row, part in ((2, z[:4000]), (0, z[4000:])):
      np.testing.assert_allclose(part.mean(axis=0), self.mean[row], atol=0.1)
      np.testing.assert_allclose(part.std(axis=0), self.scale[row], rtol=0.05)

  def test_sample_of_all_rows_follows_the_seed(self):
    z = self.encodings.sample(4)
    self.assertEqual(z.shape, (3, 2))
    np.testing.assert_array_equal(z, self.encodings.sample(4, np.arange(3)))
    self.assertTrue(np.all(z != self.encodings.sample(5)))
    eps = (z - self.mean) / self.scale
    self.assertLen(np.unique(eps), 6)  # of its own in every row and latent

  def test_encode(self):
    images = RNG.integers(0, 255, (5, 2, 2, 1), dtype=np.uint8)
    attributes = np.eye(5, dtype=np.float32)

    def encode_fn(images):
      flat = jnp.asarray(images, jnp.float32).reshape(-1, 4)
      return flat, flat + 1.0

    found = encodings.encode(encode_fn, images, attributes, batch_size=2)
    np.testing.assert_array_equal(found.mean, images.reshape(5, 4))
    np.testing.assert_array_equal(found.scale, images.reshape(5, 4) + 1.0)
    np.testing.assert_array_equal(found.attributes, attributes)
