"""What a Dataset refuses, and how `load` answers names it does not know."""

import numpy as np
from absl.testing import parameterized

from lcjax import errors, types
from lcjax.data import dataset


def make(images=(3, 4, 5, 1), attributes=(3, 2), dtype=np.uint8):
  return dataset.Dataset(
    np.zeros(images, dtype),
    np.zeros(attributes, np.float32),
    types.Bits(('a', 'b')),
  )


class DatasetTest(parameterized.TestCase):
  def test_size_and_shape(self):
    data = make()
    self.assertLen(data, 3)
    self.assertEqual(data.image_shape, (4, 5, 1))

  @parameterized.named_parameters(
    ('float_images', {'dtype': np.float32}, 'images must be uint8'),
    ('no_channels', {'images': (3, 4, 5)}, 'images must be uint8'),
    ('rows', {'attributes': (4, 2)}, r'attributes must be \(3, 2\)'),
    ('names', {'attributes': (3, 3)}, r'attributes must be \(3, 2\)'),
    ('flat', {'attributes': (3,)}, r'attributes must be \(3, 2\)'),
  )
  def test_refuses(self, parts, message):
    with self.assertRaisesRegex(ValueError, message):
      make(**parts)

  def test_unknown_names_are_the_users_to_mend(self):
    with self.assertRaisesRegex(errors.UserError, "'mnits'.*digits"):
      dataset.load('mnits', 'train')
    with self.assertRaisesRegex(errors.UserError, "'dev'.*validation"):
      dataset.load('digits', 'dev')
