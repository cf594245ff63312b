"""Reports: what they say, that they stand alone, and that files are whole."""

import contextlib
import io
import json
import pathlib
import re
import tempfile

import numpy as np
from absl.testing import absltest, parameterized

from lcjax.evaluation import (
  frontiers,
  glossary,
  grids,
  plots,
  reports,
  summary,
  verdicts,
)


def seeds(**rows):
  """Tables of two seeds: the same VAE and noise move all values by 2 * .01.

  Differences of two rows hence vary by 2 * 2e-4 alone.
  """
  tables = []
  for offset in (-0.01, 0.01):
    moved = 0.0
    tables.append({})
    for row, scores in rows.items():
      tables[-1][row] = {name: v + offset + moved for name, v in scores.items()}
      moved += offset / 50
  return tables


def table(**rows):
  return summary.summarise(seeds(**rows))


def said(tables, kind='classes', errors=None):
  """Sentences on tables, without standard errors if none are given."""
  known = errors or [None] * len(tables)
  return verdicts.sentences(
    summary.summarise(tables), verdicts.differences(tables, known, kind), kind
  )


def temporary_folder(test):
  return pathlib.Path(test.enterContext(tempfile.TemporaryDirectory()))


BASELINE = {
  'accuracy': 0.9,
  'worst_class_accuracy': 0.8,
  'frechet': 0.2,
  'diversity': 0.85,
  'knn_recall': 0.8,
}
REAL = {'diversity': 1.15}


class VerdictsTest(parameterized.TestCase):
  @parameterized.named_parameters(
    (
      'both_ways',
      {'accuracy': 0.99, 'worst_class_accuracy': 0.95, 'frechet': 0.5,
       'diversity': 0.5, 'knn_recall': 0.3},
      'actor beats class_mixture on accuracy (+0.090 [+0.087, +0.093]); is '
      'behind class_mixture on Frechet (+0.3000 [+0.2975, +0.3025]). Other '
      'columns: ahead on worst class; behind on diversity, recall.',
    ),
    (
      'worse',
      {'accuracy': 0.5, 'frechet': 0.5},
      'actor is behind class_mixture on Frechet (+0.3000 [+0.2975, +0.3025]) '
      'and accuracy (-0.400 [-0.403, -0.397]).',
    ),
    (
      'better',
      {'frechet': 0.1, 'diversity': 1.3},  # .15 from real, the baseline .3
      'actor beats class_mixture on Frechet (-0.1000 [-0.1025, -0.0975]). '
      'Other columns: ahead on diversity.',
    ),
    (
      'too_varied_is_no_better',
      {'diversity': 1.5},
      'actor has no verdict against class_mixture. Other columns: behind on '
      'diversity.',
    ),
    (
      'within_the_spread',
      {'accuracy': 0.902, 'frechet': 0.2, 'knn_recall': 0.801},
      'actor cannot be told apart from class_mixture on Frechet (+0.0000 '
      '[-0.0025, +0.0025]) and accuracy (+0.002 [-0.001, +0.005]). Other '
      'columns: not told apart on recall.',
    ),
  )  # fmt: skip
  def test_by_hand(self, actor, sentence):
    # t of one degree of freedom: 12.7 * 2e-4 on both sides.
    found = said(seeds(real=REAL, class_mixture=BASELINE, actor=actor))
    self.assertEqual(found, [sentence])

  def test_other_columns_are_corrected_and_the_verdict_is_not(self):
    names = 'frechet', 'accuracy', 'worst_class_accuracy', 'knn_recall'
    gaps = {name: 1.0 for name in names}
    rows = {'class_mixture': dict.fromkeys(names, 2.0), 'actor': {}}
    rows['actor'] = {name: 2.0 + gap for name, gap in gaps.items()}
    # Two-sided p: .028 of 2.2 errors, .012 of 2.5; twice .028 is above .05.
    error = dict.fromkeys(names, 1 / 2.2) | {'worst_class_accuracy': 1 / 2.5}
    errors = {'rows': {}, 'differences': {'actor': {'class_mixture': error}}}
    (found,) = said([rows], errors=[errors])
    self.assertIn('beats class_mixture on accuracy (+1.000 [+0.109', found)
    self.assertIn('ahead on worst class, recall', found)  # 2 * .012, 1 * .028
    error['worst_class_accuracy'] = 1 / 2.2
    (found,) = said([rows], errors=[errors])
    self.assertIn('beats class_mixture on accuracy', found)
    self.assertIn('Other columns: not told apart on worst class, recall', found)

  def test_diversity_is_measured_by_real_images_not_by_1(self):
    rows = {
      'real': {'diversity': 1.15},
      'class_mixture': {'diversity': 1.0},
      'actor': {'diversity': 1.1},
    }
    (found,) = said(seeds(**rows))
    self.assertIn('Other columns: ahead on diversity.', found)
    page = reports.render_html({'rows': table(**rows)})
    self.assertEqual(re.findall(r'<td class="best">([\d.]+)', page), ['1.10'])
    self.assertIn('→real', page)
    del rows['real']  # then nothing says what is better
    self.assertEqual(
      said(seeds(**rows)),
      ['actor has no metric in common with class_mixture.'],
    )
    page = reports.render_html({'rows': table(**rows)})
    self.assertNotIn('class="best"', page)

  @parameterized.parameters((0.9, 1), (0.95, 0))
  def test_memorising(self, ratio, num_sentences):
    rows = seeds(actor={'nearest_train_ratio': ratio})
    self.assertLen(said(rows), num_sentences)

  def test_what_may_memorise_is_not_called_better(self):
    rows = {
      'class_mixture': BASELINE,
      'actor': {'frechet': 0.1, 'accuracy': 0.5, 'nearest_train_ratio': 0.8},
    }
    verdict, reason = said(seeds(**rows))
    self.assertIn(
      'actor is ahead of class_mixture on Frechet (-0.1000 [-0.1025, -0.0975]),'
      ' but is not called better: it may memorise; is behind class_mixture on '
      'accuracy',
      verdict,
    )
    self.assertNotIn('beats', verdict)
    self.assertStartsWith(reason, 'actor may memorise')
    rows['actor']['nearest_train_ratio'] = 0.99
    self.assertIn('beats', said(seeds(**rows))[0])

  def test_one_seed_and_nan(self):
    rows = {
      'class_mixture': BASELINE,
      'actor': {'accuracy': 0.905, 'frechet': 0.19},
      'optimizer': {'accuracy': 0.92, 'frechet': float('nan')},
    }
    errors = {
      'rows': {},
      'differences': {
        'actor': {'class_mixture': {'accuracy': 0.001, 'frechet': 0.006}},
        'optimizer': {'class_mixture': {'accuracy': 0.02, 'frechet': None}},
      },
    }
    self.assertEqual(
      said([rows], errors=[errors]),
      [
        'actor beats class_mixture on accuracy (+0.005 [+0.003, +0.007]); '
        'cannot be told apart from class_mixture on Frechet (-0.0100 [-0.0218, '
        '+0.0018]).',
        'optimizer cannot be told apart from class_mixture on accuracy (+0.020 '
        '[-0.019, +0.059]).',
      ],
    )
    # As of an older version.
    self.assertEqual(
      said([rows]),
      [
        'actor has no interval against class_mixture on Frechet and accuracy.',
        'optimizer has no interval against class_mixture on accuracy.',
      ],
    )

  def test_seeds_that_differ_by_the_same_are_compared_by_images(self):
    tables = [
      {'class_mixture': {'accuracy': one}, 'actor': {'accuracy': one + 0.1}}
      for one in (0.1, 0.3, 0.7)  # not the same number in floats
    ]
    errors = {
      'rows': {},
      'differences': {'actor': {'class_mixture': {'accuracy': 0.1}}},
    }
    (found,) = said(tables, errors=[errors] * 3)
    self.assertIn('cannot be told apart', found)
    self.assertIn('no interval', said(tables)[0])

  def test_a_seed_that_lacks_a_row_is_left_out(self):
    tables = seeds(class_mixture=BASELINE, actor=BASELINE)
    tables += [{'class_mixture': {**BASELINE, 'frechet': 9.0}}]
    found = verdicts.differences(tables, [None] * 3, 'classes')
    gap = found['actor']['class_mixture']['frechet']
    np.testing.assert_allclose(gap['difference'], 0.0, atol=1e-12)
    tables[0]['actor'] = {**BASELINE, 'frechet': None}  # it diverged
    found = verdicts.differences(tables, [None] * 3, 'classes')
    self.assertNotIn('frechet', found['actor']['class_mixture'])
    self.assertIn('accuracy', found['actor']['class_mixture'])

  @parameterized.parameters('classes', 'bits')
  def test_rows_above_real_images_are_named_in_one_sentence(self, kind):
    name = 'accuracy' if kind == 'classes' else 'macro_f1'
    rows = {
      'real': {name: 0.99},
      'real_train': {name: 0.999},
      'prior': {name: 0.5},
      'class_mixture_kept': {name: 0.995},
      'actor': {name: 0.999},
      'optimizer': {name: 0.991},
    }
    sentence = (
      f'{glossary.metric(name).label} above that of held-out images (row real):'
      ' class_mixture_kept (+0.005 [+0.003, +0.007]), actor (+0.009 [+0.007, '
      '+0.011]). That is filtering towards what a classifier likes, no sign of '
      'better images.'
    )
    error = {'real': {name: 0.001}}
    errors = {
      'rows': {'real': {name: 0.001}},
      'differences': {row: error for row in rows},
    }
    self.assertEqual(said([rows], kind, [errors]), [sentence])
    # Seeds share the real images, whose error is no smaller for that.
    tables = [rows]
    for change in (-1e-5, 1e-5):
      tables.append(
        {
          row: {name: scores[name] + (0.0 if row == 'real' else change)}
          for row, scores in rows.items()
        }
      )
    self.assertEqual(said(tables, kind, [errors] * 3), [sentence])
    errors['rows']['real'][name] = 0.1
    self.assertEmpty(said(tables, kind, [errors] * 3))
    self.assertEmpty(said(tables, kind))

  def test_standard_errors_are_of_values_and_of_paired_costs(self):
    rng = np.random.default_rng(0)
    drawn = {
      row: {'frechet': rng.normal(size=9), 'diversity': rng.normal(size=9)}
      for row in ('real', 'class_mixture', 'actor')
    }
    drawn['actor']['frechet'][:] = np.nan
    found = verdicts.standard_errors(drawn, 'classes')
    self.assertIsNone(found['rows']['actor']['frechet'])
    self.assertEqual(
      found['rows']['real']['diversity'], drawn['real']['diversity'].std()
    )
    known = found['differences']['actor']['class_mixture']
    self.assertIsNone(known['frechet'])
    ours, theirs = (
      np.abs(drawn[row]['diversity'] - drawn['real']['diversity'])
      for row in ('actor', 'class_mixture')
    )
    self.assertEqual(known['diversity'], (ours - theirs).std())

  def test_what_saw_no_label_is_set_beside_a_mixture_that_saw_none(self):
    tables = seeds(
      mixture={'frechet': 0.4},
      realism_denoiser={'frechet': 0.3},
      class_mixture={'frechet': 0.1},
    )
    (found,) = said(tables)
    self.assertStartsWith(found, 'realism_denoiser beats mixture on Frechet (')
    page = reports.render_html(
      {
        'rows': summary.summarise(tables),
        'grids': {'mixture': b'1', 'class_mixture': b'2'},
        'grid_labels': ['seven'],
        'attribute_names': ['seven'],
      }
    )
    # Only the one grid has columns that something was requested of.
    self.assertEqual(page.count('class="strip"'), 1)

  def test_a_row_with_more_tries_has_a_baseline_with_as_many(self):
    rows = dict.fromkeys(('class_mixture', 'class_mixture_kept'), BASELINE)
    found = said(seeds(**rows, actor_kept={'frechet': 0.1}))
    self.assertLen(found, 1)
    self.assertStartsWith(found[0], 'actor_kept beats class_mixture_kept on')

  def test_a_mover_is_set_beside_the_narrow_mixture_too(self):
    names = 'class_mixture', 'class_mixture_narrow', 'class_mixture_kept'
    rows = dict.fromkeys(names, BASELINE)
    rows['class_mixture_narrow'] = {**BASELINE, 'frechet': 0.01}
    found = said(seeds(**rows, actor={**BASELINE, 'frechet': 0.1}))
    self.assertLen(found, 2)
    self.assertStartsWith(found[0], 'actor beats class_mixture on Frechet')
    self.assertStartsWith(
      found[1], 'actor is behind class_mixture_narrow on Frechet'
    )

  def test_independent_attributes_have_a_baseline_and_f1(self):
    tables = seeds(
      attribute_mixture={'accuracy': 0.9, 'macro_f1': 0.5},
      actor={'accuracy': 0.9, 'macro_f1': 0.7, 'worst_class_accuracy': 0.9},
    )
    sentence = (
      'actor beats attribute_mixture on F1 (+0.200 [+0.197, +0.203]). Other '
      'columns: not told apart on accuracy.'
    )
    self.assertEqual(said(tables, 'bits'), [sentence])
    rows = summary.summarise(tables)
    known = verdicts.differences(tables, [None] * 2, 'bits')
    self.assertIn(
      'beats attribute_mixture',
      reports.render_html(
        {'rows': rows, 'labels': 'bits', 'differences': known}
      ),
    )
    with contextlib.redirect_stdout(io.StringIO()) as out:
      reports.print_table(rows, kind='bits')
    self.assertIn('F1', out.getvalue())
    self.assertNotIn('Worst', out.getvalue())


class GlossaryTest(absltest.TestCase):
  def test_further_actors_have_their_place_and_their_words(self):
    names = ['optimizer', 'actor_lambda_0.5', 'actor', 'actor_lambda_0.1']
    self.assertEqual(
      glossary.in_order([*names, 'real']),
      ['real', 'actor', 'actor_lambda_0.5', 'actor_lambda_0.1', 'optimizer'],
    )
    self.assertIn('weight 0.5', glossary.row_description('actor_lambda_0.5'))
    tables = seeds(class_mixture=BASELINE, **{'actor_lambda_0.5': BASELINE})
    self.assertIn('actor_lambda_0.5', said(tables)[0])
    rows = summary.summarise(tables)
    self.assertIn('weight 0.5', reports.render_html({'rows': rows}))


class MarkdownTest(absltest.TestCase):
  def test_cells(self):
    rows = table(real={'accuracy': 0.9}, actor={'frechet': 0.2, 'odd': 3.0})
    lines = reports.markdown_table(rows).splitlines()
    self.assertEqual(lines[0], '|  | Accuracy | Frechet | odd |')
    no = '\N{EN DASH}'
    self.assertEqual(lines[2], f'| real | 0.900 ± 0.014 | {no} | {no} |')
    self.assertEqual(
      lines[3], f'| actor | {no} | 0.2000 ± 0.0144 | 3 ± 0.01442 |'
    )

  def test_one_seed_shows_its_standard_error(self):
    rows = summary.summarise([{'actor': {'accuracy': 0.9, 'steps_mean': 3.0}}])
    self.assertIn('no standard errors', reports.spread(rows, 1))
    rows['actor']['accuracy']['error'] = 0.003
    self.assertIn('± 0.003 | 3.0 |', reports.markdown_table(rows))
    self.assertIn('standard error over images', reports.spread(rows, 1))
    self.assertIn('standard error over', reports.render_html({'rows': rows}))
    self.assertIn('deviation over 3 seeds', reports.spread(rows, 3))
    rows['actor']['accuracy']['error'] = None  # NaN, as JSON has it
    self.assertIn('| actor | 0.900 | 3.0 |', reports.markdown_table(rows))

  def test_chosen_columns(self):
    text = reports.markdown_table(table(actor=BASELINE), ['frechet'])
    self.assertNotIn('Accuracy', text)
    self.assertIn('0.2000 ± 0.0141', text)

  def test_print_table(self):
    rows = table(class_mixture_kept=BASELINE, newcomer={'odd': 1.0})
    with contextlib.redirect_stdout(io.StringIO()) as out:
      reports.print_table(rows, kind='classes')
    self.assertIn('class_mixture_kept', out.getvalue())
    self.assertIn('0.900 ± 0.014', out.getvalue())
    self.assertIn('newcomer', out.getvalue())


class NotFiniteTest(absltest.TestCase):
  def test_every_report_names_the_seed(self):
    runs = [
      {'actor': {'accuracy': 0.9, 'frechet': value, 'diversity': value}}
      for value in (float('nan'), 0.01, 0.02)
    ]
    rows = summary.summarise(runs)
    found = summary.not_finite(runs, [7, 8, 9])
    sentence = (
      'Seed 7: Frechet, Diversity of actor are not finite, so there is no mean '
      'over seeds.'
    )
    self.assertEqual(reports.not_finite(found), [sentence])
    no = '| actor | 0.900 ± 0.000 | NaN | NaN |'
    self.assertIn(no, reports.markdown_table(rows))
    page = reports.render_html({'rows': rows, 'not_finite': found})
    self.assertIn(sentence, page)
    self.assertEqual(page.count('<td>NaN</td>'), 2)


class JsonTest(absltest.TestCase):
  def test_what_json_lacks(self):
    report = {'a': np.float32('nan'), 'b': (np.inf, np.int32(3)), 'c': None}
    text = reports.to_json({**report, 'd': np.array([1.5, np.nan])})
    self.assertEqual(
      json.loads(text),
      {'a': None, 'b': [None, 3], 'c': None, 'd': [1.5, None]},
    )


class HtmlTest(absltest.TestCase):
  def setUp(self):
    super().setUp()
    png = grids.png_bytes(grids.tile(np.zeros((2, 3, 4, 4, 1), np.uint8)))
    tables = seeds(
      real={**BASELINE, 'accuracy': 0.999},
      class_mixture=BASELINE,
      actor={**BASELINE, 'accuracy': 0.95, 'latents_per_second': 1000.0},
      newcomer={'frechet': 0.1},
    )
    self.rows = summary.summarise(tables)
    self.report = {
      'title': 'Digits <b>',
      'description': 'What this is & is not.',
      'judge': {'accuracy': 0.9931},
      'rows': self.rows,
      'differences': verdicts.differences(tables, [None] * 2, 'classes'),
      'num_seeds': 2,
      'labels': 'classes',
      'attribute_names': ['zero', 'one', 'two'],
      'grids': {row: png for row in self.rows},
      'grid_labels': ['0', '1', '<2>'],
      'figures': [{'title': 'Curves', 'caption': 'All.', 'png': png}],
      'commands': ['python -m launch.compare --flag="<x>"'],
      'versions': {'jax': '0.10.2'},
      'hardware': 'two cores',
      'seconds': {'vae': 12.3},
      'config': {'vae': {'sizes': (2, 3)}},
      'notes': ['5,000 samples.'],
    }

  def test_says_everything(self):
    html = reports.render_html(self.report)
    rows = re.findall(r'<th scope="row">(\w+)</th>', html)
    self.assertEqual(rows, [*self.rows, 'actor'])  # actor alone has a speed
    for text in (
      '0.993', '0.950', '± 0.014', 'two cores', '0.10.2', '5,000 samples.',
      'launch.compare', 'zero, one, two', '2 seeds', 'class_mixture on',
    ):  # fmt: skip
      self.assertIn(text, html)
    self.assertEqual(html.count('data:image/png;base64,'), len(self.rows) + 1)

  def test_best_is_bold_and_no_reference(self):
    html = reports.render_html(self.report)
    best = re.findall(r'<td class="best">([\d.]+)', html)
    self.assertContainsSubset(['0.950', '0.1000'], best)
    # The test images reach the best worst class, too, but do not compete.
    references = html[html.index('"references"') : html.index('"baselines"')]
    self.assertIn('0.800', references)
    self.assertNotIn('class="best"', references)

  def test_stands_alone_and_escapes(self):
    html = reports.render_html(self.report)
    for text in ('http://', 'https://', '<script', '<link', '@import', 'url('):
      self.assertNotIn(text, html)
    self.assertNotIn('Digits <b>', html)
    self.assertIn('Digits &lt;b&gt;', html)
    self.assertIn('&lt;x&gt;', html)

  def test_what_is_missing_is_left_out(self):
    html = reports.render_html({'title': 'Empty'})
    for text in ('<table', '<img', '<pre', '<details', 'judge', 'None'):
      self.assertNotIn(text, html)

  def test_a_misspelt_key(self):
    with self.assertRaisesRegex(TypeError, 'figurs'):
      reports.render_html({'figurs': []})


class PlotsTest(absltest.TestCase):
  def test_figures_are_png_files(self):
    path = temporary_folder(self) / 'curves.png'
    records = [{'step': step, 'train/loss': 1.0 / step} for step in (1, 2)]
    data = plots.curves({'vae': records, 'empty': []}, path)
    self.assertEqual(path.read_bytes(), data)
    quality = plots.quality_against_compute(
      [0, 10],
      {'accuracy': [0.1, 0.9], 'frechet': [0.5, 0.0]},
      {'actor': {'accuracy': 0.9, 'frechet': None}},
    )
    for png in (data, quality, plots.curves({})):
      self.assertTrue(png.startswith(b'\x89PNG'))

  def test_rows_that_nothing_beats_are_joined(self):
    rows = {
      'fast': {'frechet': 0.3, 'latents_per_second': 100.0},
      'good': {'frechet': 0.1, 'latents_per_second': 10.0},
      'beaten': {'frechet': 0.2, 'latents_per_second': 5.0},
      'slow': {'frechet': 0.05, 'latents_per_second': 1.0},
      'unknown': {'frechet': None, 'latents_per_second': 1.0},
      'real': {'frechet': 0.01},
    }
    with absltest.mock.patch.object(plots.Axes, 'plot', autospec=True) as plot:
      png = frontiers.frontier(rows, ['frechet'], ['fast'])
    self.assertTrue(png.startswith(b'\x89PNG'))
    *points, line = plot.call_args_list
    self.assertEqual(
      [call.args[1:] for call in points],
      [(100.0, 0.3, 's'), (10.0, 0.1, 'o'), (5.0, 0.2, 'o'), (1.0, 0.05, 'o')],
    )
    self.assertEqual(line.args[1:], ([100.0, 10.0, 1.0], [0.3, 0.1, 0.05]))

  def test_what_is_not_finite_is_the_same_picture_as_json_has_it(self):
    # The first metric, too: the legend is that of the first panel.
    pictures = []
    for none in (float('nan'), float('inf'), None):
      scores = {'accuracy': none, 'frechet': none, 'latents_per_second': 5.0}
      pictures.append(
        plots.quality_against_compute(
          [0, 10],
          {'accuracy': [0.1, 0.9], 'frechet': [none, 0.2]},
          {'actor': scores | {'steps': 1}, 'class_mixture': scores},
        )
      )
    self.assertEqual(pictures[0], pictures[1])
    self.assertEqual(pictures[0], pictures[2])

  def test_a_speed_is_written_as_in_the_table(self):
    rows = table(optimizer={'accuracy': 0.5, 'latents_per_second': 1234.5})
    scores = {name: one['mean'] for name, one in rows['optimizer'].items()}
    with absltest.mock.patch.object(
      plots.Figure, 'legend', autospec=True
    ) as legend:
      plots.quality_against_compute(
        [0, 1], {'accuracy': [0.1, 0.5]}, {'optimizer': scores}
      )
    _, _, labels = legend.call_args.args
    self.assertEqual(
      labels, ['optimizer, one start', 'optimizer (1,234 latents/s)']
    )
    self.assertIn('| 1,234 ± 0 |', reports.markdown_table(rows))

  def test_the_legend_names_what_is_not_finite(self):
    with absltest.mock.patch.object(
      plots.Figure, 'legend', autospec=True
    ) as legend:
      plots.quality_against_compute(
        [0, 10],
        {'accuracy': [0.1, 0.9], 'frechet': [None, 0.2]},
        {'actor': {'accuracy': 0.5, 'frechet': None, 'steps': 1}},
      )
    _, _, labels = legend.call_args.args
    self.assertEqual(labels[1], 'actor, Frechet not finite')
    self.assertIn('Frechet not finite', labels[0])


if __name__ == '__main__':
  absltest.main()
