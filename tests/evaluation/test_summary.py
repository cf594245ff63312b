"""Means over seeds by hand, and seeds that diverged."""

import numpy as np
from absl.testing import absltest

from lcjax.evaluation import summary


class SummariseTest(absltest.TestCase):
  def test_mean_and_sample_standard_deviation(self):
    table = summary.summarise(
      [
        {'real': {'accuracy': 1.0}, 'actor': {'frechet': 2.0, 'accuracy': 0.5}},
        {'real': {'accuracy': 4.0}, 'actor': {}},
      ]
    )
    self.assertEqual(table['real']['accuracy']['mean'], 2.5)
    self.assertEqual(table['real']['accuracy']['std'], np.sqrt(4.5))
    self.assertEqual(table['actor']['frechet'], {'mean': 2.0, 'std': None})
    self.assertEqual(table['actor']['accuracy'], {'mean': 0.5, 'std': None})
    self.assertEqual(list(table), ['real', 'actor'])
    self.assertEqual(list(table['actor']), ['frechet', 'accuracy'])

  def test_a_seed_that_diverged_is_no_missing_seed(self):
    for value in (float('nan'), float('inf'), None):
      runs = [{'actor': {'frechet': v, 'accuracy': 0.5}} for v in (value, 0.02)]
      table = summary.summarise(runs)
      self.assertTrue(np.isnan(table['actor']['frechet']['mean']))
      self.assertTrue(np.isnan(table['actor']['frechet']['std']))
      self.assertEqual(table['actor']['accuracy'], {'mean': 0.5, 'std': 0.0})
      self.assertEqual(
        summary.not_finite(runs, [4, 5]),
        [{'seed': 4, 'row': 'actor', 'metrics': ['frechet']}],
      )


if __name__ == '__main__':
  absltest.main()
