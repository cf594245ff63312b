"""Baselines: the number of components of a mixture is chosen."""

import numpy as np
import pytest

import lcjax
from lcjax.evaluation import baselines
from tests.movers import clusters


@pytest.mark.parametrize('wanted', [1, 2, 4])
def test_the_cost_chooses_the_number_of_components(wanted):
  _, data = clusters.make()
  asked = []

  def cost(draw):
    asked.append(len(draw.model.weights))
    return abs(len(draw.model.weights) - 2 * wanted)  # of two classes

  found = baselines.fit(data, (1, 2, 4), 0, cost)
  assert asked == [2, 4, 8]
  assert len(found.draw.model.weights) == 2 * wanted
  alone = baselines.labelled(data, (1, 2, 4), 0, cost)
  assert alone['class_mixture'].scores['components'] == 2 * wanted
  assert alone['class_gaussian'].scores['components'] == 2
  without = baselines.fit_unlabelled(data, (2, 8), 0, cost)
  scores = baselines.contender(without).scores
  assert scores['components'] == (8 if wanted == 4 else 2)


def test_a_single_number_costs_no_choice():
  _, data = clusters.make()

  def cost(draw):
    raise AssertionError('nothing to choose')

  for number in (3, (3,)):
    found = baselines.fit(data, number, 0, cost)
    assert len(found.draw.model.weights) == 6


def test_without_a_cost_held_out_rows_choose():
  _, data = clusters.make()
  draw = baselines.fit(data, (1, 2), 0).draw
  same = lcjax.mixture_start(data, (1, 2), seed=0)
  np.testing.assert_array_equal(draw.model.means, same.model.means)
