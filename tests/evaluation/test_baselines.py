"""Baselines: the number of components of a mixture is chosen."""

import numpy as np

import lcjax
from lcjax.evaluation import baselines
from tests.movers import clusters


def test_held_out_rows_choose_the_number_of_components():
  _, data = clusters.make()
  draw = baselines.fit(data, (1, 2), 0).draw
  same = lcjax.mixture_start(data, (1, 2), seed=0)
  np.testing.assert_array_equal(draw.model.means, same.model.means)
