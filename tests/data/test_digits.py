"""The split of the digits: a partition, stratified, always the same."""

import numpy as np
from absl.testing import absltest
from sklearn import datasets

from lcjax import types
from lcjax.data import dataset, digits

SIZES = {'train': 1077, 'validation': 270, 'test': 450}


def joined(images, attributes):
  """Sorted rows of pixels and class: a data set without its order."""
  flat = images.reshape(len(images), -1).astype(np.float64)
  rows = np.concatenate([flat, attributes.argmax(1)[:, None]], axis=1)
  return rows[np.lexsort(rows.T)]


class DigitsTest(absltest.TestCase):
  def setUp(self):
    super().setUp()
    self.splits = {split: digits.load(split) for split in SIZES}

  def test_forms(self):
    for split, (images, attributes, labels) in self.splits.items():
      self.assertEqual(images.shape, (SIZES[split], 8, 8, 1))
      self.assertEqual(images.dtype, np.uint8)
      self.assertEqual((images.min(), images.max()), (0, 255))
      self.assertEqual(attributes.dtype, np.float32)
      np.testing.assert_array_equal(attributes.sum(axis=1), 1.0)
      np.testing.assert_array_equal(np.unique(attributes), [0.0, 1.0])
      self.assertEqual(labels, types.Classes(tuple('0123456789')))

  def test_splits_are_a_partition_of_all_rows(self):
    scans, classes = datasets.load_digits(return_X_y=True)
    expected = joined(np.round(scans * 255 / 16), np.eye(10)[classes])
    found = joined(
      np.concatenate([split[0] for split in self.splits.values()]),
      np.concatenate([split[1] for split in self.splits.values()]),
    )
    np.testing.assert_array_equal(found, expected)

  def test_every_class_has_its_share_in_every_split(self):
    _, classes = datasets.load_digits(return_X_y=True)
    shares = np.bincount(classes) / len(classes)
    for _, attributes, _ in self.splits.values():
      counts = attributes.sum(axis=0)
      np.testing.assert_allclose(counts, shares * len(attributes), atol=1.5)

  def test_a_split_is_always_the_same(self):
    np.random.seed(1)
    for split, (images, attributes, _) in self.splits.items():
      again = dataset.load('digits', split)
      np.testing.assert_array_equal(again.images, images)
      np.testing.assert_array_equal(again.attributes, attributes)
