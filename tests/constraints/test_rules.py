"""Rules of images whose truth is computed by hand."""

import numpy as np
import pytest

from lcjax import errors, rules


def image(*lines):
  """An image [H, W, 1] of lines of '.', 0, and '#', 1."""
  return np.array([[c == '#' for c in line] for line in lines])[..., None] * 1.0


def scores(rule, *images):
  found = rule(np.stack(images))
  assert found.shape == (len(images),) and found.dtype == np.float32
  return found.tolist()


EMPTY = image('....', '....', '....', '....')
BAR = image('.#..', '.#..', '.#..', '.#..')  # upright, 1 wide
RIGHT = image('...#', '..#.', '.#..', '#...')  # leans by one pixel per row
LEFT = RIGHT[:, ::-1]
WIDE = image('.##.', '.##.', '.##.', '.##.')
RING = image('####', '#..#', '#..#', '####')
OPEN = image('####', '#..#', '#..#', '##.#')
CORNER = image('.##.', '#..#', '#..#', '.##.')  # closed by corners alone
TWO = image('#####', '#.#.#', '#####', '.....', '.....')


def test_ink_is_the_share_of_bright_pixels():
  rule = rules.ink(low=0.25, high=0.5)
  assert scores(rule, EMPTY, BAR, WIDE, RING) == [0, 1, 1, 0]  # 0 .25 .5 .75
  assert scores(rules.ink(low=0.1), 0.4 * WIDE) == [0]
  assert scores(rules.ink(low=0.1, brightness=0.3), 0.4 * WIDE) == [1]


def test_a_soft_score_is_a_half_at_the_ends_of_the_band():
  rule = rules.ink(low=0.25, softness=0.5)  # of 0, .25, .5 and .75
  assert scores(rule, EMPTY, BAR, WIDE, RING) == [0.25, 0.5, 0.75, 0.75]
  rule = rules.ink(low=0.25, softness=0.125)
  assert scores(rule, EMPTY, BAR, WIDE, RING) == [0, 0.5, 1, 1]
  hard = rules.ink(low=0.25)
  soft = np.array(scores(rule, EMPTY, BAR, WIDE, RING))
  assert scores(hard, EMPTY, BAR, WIDE, RING) == (soft >= 0.5).tolist()


def test_slant_is_in_pixels_per_row():
  assert scores(rules.slant(0.99, 1.01), BAR, RIGHT, LEFT) == [0, 1, 0]
  assert scores(rules.slant(-0.01, 0.01), BAR, WIDE, RIGHT) == [1, 1, 0]
  assert scores(rules.slant(high=0.0, low=-9), LEFT, RIGHT, EMPTY) == [1, 0, 0]


def test_thickness_is_twice_the_area_by_the_perimeter():
  # BAR: 8 / 10; WIDE: 16 / 12; RING: 24 / (16 + 8).
  for one, width in ((BAR, 0.8), (WIDE, 4 / 3), (RING, 1.0)):
    rule = rules.thickness(width - 1e-6, width + 1e-6)
    assert scores(rule, one, EMPTY) == [1, 0]


def test_symmetry_compares_with_the_mirror():
  # The mirror of BAR does not overlap with it; half of OPEN's lowest row does.
  assert scores(rules.symmetry(1.0), WIDE, RING, BAR, EMPTY) == [1, 1, 0, 0]
  assert scores(rules.symmetry(high=0.0, low=0.0), BAR, WIDE) == [1, 0]
  share = 1 - 2 / 22
  rule = rules.symmetry(share - 1e-6, share + 1e-6)
  assert scores(rule, OPEN, RING) == [1, 0]


def test_holes_are_enclosed_dark_regions():
  assert scores(rules.holes(), EMPTY, RING, OPEN, CORNER, BAR) == [
    0,
    1,
    0,
    1,
    0,
  ]
  assert scores(rules.holes(least_pixels=5), RING) == [0]
  assert scores(rules.holes(2, 2), TWO, 1.0 - TWO) == [1, 0]
  assert scores(rules.holes(0, 0), RING, EMPTY) == [0, 1]


def test_soft_holes_are_those_at_several_levels_of_brightness():
  dim = RING.copy()
  dim[0, 1] = 0.55  # closed below that: at .3, .4 and .5 of five
  rule = rules.holes(softness=0.2)
  np.testing.assert_allclose(scores(rule, RING, dim, OPEN), [1, 0.6, 0])
  assert scores(rules.holes(), RING, dim, OPEN) == [1, 1, 0]
  none = rules.holes(0, 0, softness=0.2)
  np.testing.assert_allclose(scores(none, RING, dim, OPEN), [0, 0.4, 1])


def test_mean_colour_is_that_of_every_channel():
  red, dull = np.zeros((2, 4, 4, 3))
  red[..., 0] = 0.8
  dull[:2] = 0.5
  rule = rules.mean_colour((0.75, 0.0, 0.0), tolerance=0.06)
  assert scores(rule, red, dull) == [1, 0]
  assert scores(rules.mean_colour((0.25,) * 3, 0.01), red, dull) == [0, 1]


def test_images_may_lack_channels():
  rule = rules.holes()
  assert rule(np.stack([RING[..., 0], BAR[..., 0]])).tolist() == [1, 0]


def test_every_rule_has_its_name():
  for name, make in rules.TABLE.items():
    assert make is getattr(rules, name)


@pytest.mark.parametrize(
  'make, text',
  [
    (lambda: rules.ink(0.5, 0.4), 'rule ink: low=0.5 must be at most high=0.4'),
    (lambda: rules.slant(softness=-1), 'rule slant: softness=-1'),
    (lambda: rules.holes(brightness=2), 'rule holes: brightness=2'),
    (
      lambda: rules.mean_colour((2, 0, 0)),
      'rule mean_colour: colour=(2, 0, 0)',
    ),
    (
      lambda: rules.mean_colour((1, 0, 0))(BAR[None]),
      'colour has 3 values, the images have 1 channels',
    ),
    (lambda: rules.ink()(np.ones((3, 4))), 'the samples have the shape (3, 4)'),
  ],
)
def test_a_mistake_is_one_line(make, text):
  with pytest.raises(errors.UserError) as caught:
    make()
  assert text in str(caught.value) and '\n' not in str(caught.value)
