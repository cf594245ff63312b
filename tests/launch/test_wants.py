"""How `config.want` composes constraints, on rules of a point in the plane."""

import numpy as np

from configs import base
from lcjax.constraints import compose
from lcjax.experiment import wants
from tests.constraints.test_compose import POINTS, RIGHT, UPPER, above

REALISM, SMALL = above(0, -2.0, 'realism'), above(1, -1.5, 'small')
PARTS = {'realism': REALISM, 'attributes': RIGHT, 'near': UPPER}
OWN = {'realism': 2.0, 'attributes': 3.0, 'near': 0.0}
FURTHER = {'small': (SMALL, 5.0)}


def make(text):
  config = base.get_config()
  config.constraints.small = {'kind': 'my_file:small'}
  config.want = text
  return wants.Want(FURTHER, wants.parse(config))


def same(found, expected):
  for z in POINTS[:20]:
    for one, other in zip(found(z, {}), expected(z, {}), strict=True):
      np.testing.assert_allclose(one, other, rtol=1e-6)


def test_without_a_text_all_hold_with_their_own_weights():
  found = make('').compose(PARTS, OWN)
  assert [part.name for part in found.parts] == [*PARTS_NAMES, 'small']
  assert found.weights == (2.0, 3.0, 0.0, 5.0)


PARTS_NAMES = [part.name for part in PARTS.values()]


def test_a_text_multiplies_weights_and_leaves_out_what_it_does_not_name():
  found = make('all(realism, 2*attributes, not(small))').compose(PARTS, OWN)
  expected = compose.all_of(
    REALISM, RIGHT, compose.negate(SMALL), weights=[2.0, 6.0, 5.0]
  )
  same(found, expected)


def test_realism_drops_out_of_the_denoiser():
  for text, expected in (
    ('', compose.all_of(RIGHT, UPPER, SMALL, weights=[3.0, 0.0, 5.0])),
    ('all(realism, attributes)', compose.all_of(RIGHT, weights=[3.0])),
    (
      'all(realism, 2*any(attributes, small))',
      compose.all_of(compose.any_of(RIGHT, SMALL), weights=[10.0]),
    ),
    (
      'all(not(realism), attributes)',
      compose.all_of(compose.negate(REALISM), RIGHT, weights=[2.0, 3.0]),
    ),
  ):
    same(make(text).compose(PARTS, OWN, wants.OF_DENOISER), expected)
  assert make('realism').compose(PARTS, OWN, wants.OF_DENOISER) is None
  only = wants.ALL.compose({'realism': REALISM}, OWN, wants.OF_DENOISER)
  assert only is None
