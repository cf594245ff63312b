"""Success, leakage and pixel errors of edits, by hand."""

import numpy as np
import pytest

from lcjax.evaluation import edit_scores

# Four edits of three attributes: 0 twice, then 1 twice.
CHANGED = np.array([0, 0, 1, 1])
BEFORE = np.array([[0, 0, 0], [1, 0, 1], [0, 0, 0], [0, 1, 0]])
REQUESTED = np.array([[1, 0, 0], [0, 0, 1], [0, 1, 0], [0, 0, 0]])
# The first and the last succeed; attribute 2 flips in the first and the third,
# attribute 0 in the third.
PREDICTED = np.array([[1, 0, 1], [1, 0, 1], [1, 0, 1], [0, 0, 0]])


def test_success_looks_at_the_changed_attribute_alone():
  np.testing.assert_array_equal(
    edit_scores.succeeded(PREDICTED, REQUESTED, CHANGED),
    [True, False, False, True],
  )


def test_success_of_classes_is_the_class():
  predicted, requested = np.eye(3)[[2, 0, 1]], np.eye(3)[[2, 1, 1]]
  np.testing.assert_array_equal(
    edit_scores.succeeded(predicted, requested, np.array([2, 1, 1])),
    [True, False, True],
  )


def test_leakage_counts_the_edits_of_other_attributes():
  # 0: one of the edits of 1; 1: none of the edits of 0; 2: two of all four.
  np.testing.assert_allclose(
    edit_scores.leakage(PREDICTED, BEFORE, CHANGED), [0.5, 0.0, 0.5]
  )


def test_an_attribute_that_is_the_only_one_edited_cannot_leak():
  rows = CHANGED == 0
  np.testing.assert_allclose(
    edit_scores.leakage(PREDICTED[rows], BEFORE[rows], CHANGED[rows]),
    [np.nan, 0.0, 0.5],
  )


def test_leakage_table():
  np.testing.assert_allclose(
    edit_scores.leakage_table(PREDICTED, BEFORE, CHANGED),
    [[np.nan, 0.0, 0.5], [0.5, np.nan, 0.5], [np.nan, np.nan, np.nan]],
  )


def test_mean_by_group():
  means = edit_scores.mean_by(np.array([1, 0, 1, 1]), np.array([0, 0, 2, 2]), 3)
  np.testing.assert_allclose(means, [0.5, np.nan, 1.0])


def test_pixel_errors_are_in_units_of_the_pixel_range():
  images = np.zeros((2, 2, 2, 1), np.uint8)
  others = images.copy()
  others[0] = 255  # whichever way the difference goes
  others[1, 0, 0] = 51
  expected = [1.0, 0.2**2 / 4]
  np.testing.assert_allclose(
    edit_scores.pixel_errors(images, others), expected, rtol=1e-6
  )
  np.testing.assert_allclose(
    edit_scores.pixel_errors(others, images), expected, rtol=1e-6
  )
  with pytest.raises(ValueError, match='uint8'):
    edit_scores.pixel_errors(images / 255.0, others)


def test_turns_by_hand():
  # Added: 2, then 0. The second image has 2 already, the third has both.
  y = np.array([[0, 0, 0, 1], [0, 1, 1, 0], [1, 0, 1, 0], [0, 0, 0, 0]])
  before = np.array([[1, 0, 0, 1], [0, 1, 1, 0], [1, 0, 1, 0], [0, 0, 0, 0]])
  predicted = np.array([[1, 0, 0, 0], [1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 0]])
  found = edit_scores.score_turn(predicted, before, y, [2, 0])
  # Of images 0, 1 and 3, which lack 0, it holds in two.
  assert found['added'] == pytest.approx(2 / 3)
  assert found['before'] == pytest.approx(1 / 3)
  assert found['num_lacking'] == 3
  assert found['earlier'] == pytest.approx(1 / 2)  # of images 0 and 3
  assert found['all'] == pytest.approx(1 / 3)  # image 1, that had 2
  # Attributes 1 and 3: image 0 loses 3, image 2 gets 1.
  assert found['leakage'] == pytest.approx(2 / 8)
  first = edit_scores.score_turn(predicted, before, y, [2])
  assert np.isnan(first['earlier'])
  assert first['all'] == first['added'] == pytest.approx(1 / 2)
