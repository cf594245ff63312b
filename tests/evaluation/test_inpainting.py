"""What is known of images, starts that agree with it, spreads of answers."""

import numpy as np
import pytest

from lcjax.evaluation import inpainting


@pytest.mark.parametrize(
  ('height', 'share', 'rows'),
  [(8, 0.5, 4), (28, 0.25, 7), (3, 0.01, 1), (3, 0.99, 2)],
)
def test_something_is_known_and_something_is_not(height, share, rows):
  assert inpainting.num_known(height, share) == rows


def test_the_mask_is_1_in_known_rows():
  mask = inpainting.known_mask((4, 2, 3), 1)
  assert mask.shape == (4, 2, 3)
  np.testing.assert_array_equal(mask.sum(axis=(1, 2)), [6, 0, 0, 0])


def test_the_nearest_of_each_part_agrees_best_where_it_is_known():
  rng = np.random.default_rng(0)
  images = rng.integers(0, 256, (5, 4, 3, 1), np.uint8)
  pool = rng.integers(0, 256, (12, 4, 3, 1), np.uint8)
  pool[7, :2] = images[1, :2]  # the same above, another one below
  found = inpainting.nearest(images, pool, 2, 3)
  assert found.shape == (5, 3)
  assert found[1, 1] == 7
  for image, chosen in zip(images, found, strict=True):
    gaps = np.square(pool[:, :2] / 255.0 - image[:2] / 255.0).sum(
      axis=(1, 2, 3)
    )
    for part, index in enumerate(chosen):
      own = slice(4 * part, 4 * part + 4)
      assert index == 4 * part + gaps[own].argmin()


def test_the_spread_is_a_variance_of_what_is_not_known():
  answers = np.zeros((2, 3, 2, 1, 1), np.uint8)
  answers[:, :, 0] = np.array([0, 100, 200], np.uint8)[None, :, None, None]
  answers[1, :, 1] = np.array([0, 51, 102], np.uint8)[:, None, None]
  # Of the second image, .2 squared; the first one's answers are the same.
  assert inpainting.spread(answers, 1) == pytest.approx(0.02)
