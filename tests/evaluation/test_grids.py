"""Grids: pixels are where they belong."""

import numpy as np
from absl.testing import absltest

from lcjax.evaluation import grids


class GridsTest(absltest.TestCase):
  def test_tile_puts_pixels_where_they_belong(self):
    images = np.arange(2 * 3 * 2 * 2, dtype=np.uint8).reshape(2, 3, 2, 2, 1)
    grid = grids.tile(images, pad=1, scale=2)
    self.assertEqual(grid.shape, (9, 14, 1))
    np.testing.assert_array_equal(
      grid[5:9:2, 10:14:2, 0], images[1, 2, :, :, 0]
    )
    self.assertTrue((grid[4] == 255).all())

  def test_labelled_grid_keeps_the_images(self):
    images = np.full((2, 3, 8, 8, 3), 7, np.uint8)
    bare = grids.labelled_grid(images, [], [], cell_pixels=16)
    self.assertEqual(bare.shape, (34, 52, 3))
    page = grids.labelled_grid(images, ['a', 'b'], ['x', 'long', 'z'], 16)
    np.testing.assert_array_equal(page[-34:, -52:], bare)
    with self.assertRaises(ValueError):
      grids.labelled_grid(images, ['a'], [])


if __name__ == '__main__':
  absltest.main()
