"""lcjax.compare on samples that are their own latents."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import lcjax
from lcjax import errors, types
from lcjax.evaluation import judges, judging, metrics
from lcjax.latent import mixtures

KEY = jax.random.key(0)


def identity(params, z):
  return z * params


def posterior(params, x):
  return x * params, jnp.full_like(x, 0.01)


MODEL = lcjax.latent_model(1.0, identity, 4, posterior)
ALONE = lcjax.latent_model(1.0, identity, 4)


def draw(count, seed):
  """Class 0 around 0, class 1 on both sides of it: no Gaussian fits it."""
  rng = np.random.default_rng(seed)
  y = np.arange(count) % 2
  x = rng.normal(size=(count, 4), scale=0.5)
  x[:, 0] += 3.0 * y * rng.choice([-1, 1], count)
  return x.astype(np.float32), y


TRAIN, TEST = draw(200, 1), draw(60, 2)


def judge(x):
  """Logits of the true classes; features are the samples."""
  assert isinstance(x, np.ndarray)
  outside = np.abs(x.reshape(len(x), -1)[:, 0]) - 1.5
  return np.stack([-outside, outside], axis=1), x.reshape(len(x), -1)


def stay(start, target, rows, key):
  return lcjax.Moved(start, start)


def copy(start, target, rows, key):
  """Training samples of the requested class."""
  wanted = target['attributes'].argmax(axis=1)
  found = [
    TRAIN[0][TRAIN[1] == y][row] for y, row in zip(wanted, rows, strict=True)
  ]
  return np.asarray(found)


def compared(movers, train=TRAIN, test=TEST, model=MODEL, **options):
  given = {
    'judge': judge,
    'progress': False,
    'num_components': 1,
    'clock_seconds': 0,
    'steps': judging.Steps(1, 10),
  } | options
  return lcjax.compare(model, train, test, movers, **given)


@pytest.fixture(scope='module')
def table():
  steps = judging.Steps()
  return compared({'stay': stay, 'copy': copy}, seeds=(3, 4), steps=steps)


SPEED = 'latents_per_second', 'training_seconds', 'speed_spread', 'components'


def without_speed(scores):
  return {name: v for name, v in scores.items() if name not in SPEED}


def test_numbers_are_those_of_the_metrics(table):
  row = table.samples['class_gaussian']
  labels = lcjax.encode(MODEL, *TRAIN).labels
  logits, features = judge(row.images)
  y = np.eye(2)[TRAIN[1]]
  # 60 test rows: 20 pairs of 30. The order of test rows is another here.
  order = np.random.default_rng(0).permutation(60)
  kid, kid_std = metrics.kernel_distance(features, TEST[0][order], 20, 30, 0)
  expected = {
    **metrics.classification_scores(
      labels.predict(logits), row.attributes, labels
    ),
    'diversity': metrics.diversity(features, row.attributes, TRAIN[0], y),
    'frechet': metrics.frechet_distance(features, TEST[0]),
    'kid': kid,
    'kid_std': kid_std,
    **{
      name: values.mean()
      for name, values in metrics.neighbour_values(features, TEST[0], 5).items()
    },
    'nearest_train_ratio': np.divide(
      *(
        np.median(metrics.nearest_train_distances(x, TRAIN[0]))
        for x in (row.images, TEST[0])
      )
    ),
    'judges_agree': table.runs[3]['class_gaussian']['judges_agree'],
  }
  found = without_speed(table.runs[3]['class_gaussian'])
  second = {
    'cas', 'second_frechet', 'second_knn_recall', 'authenticity',
    'second_nearest_train_ratio',
  }  # fmt: skip
  assert found.keys() == expected.keys() | second
  for name, value in expected.items():
    np.testing.assert_allclose(found[name], value, rtol=1e-6, err_msg=name)
  np.testing.assert_array_equal(
    row.attributes.mean(axis=0), np.eye(2)[TEST[1]].mean(axis=0)
  )


def test_baselines_are_fits_to_the_encodings(table):
  data = lcjax.encode(MODEL, *TRAIN).encodings
  fitted = mixtures.fit_classes(data.sample(3), data.attributes, 1, 3)
  row = table.samples['class_gaussian']
  z = mixtures.ClassSampler(fitted)(
    row.attributes,
    np.arange(60),
    jax.random.split(jax.random.fold_in(jax.random.key(3), 1001))[0],
  )
  np.testing.assert_array_equal(row.latents, z)


def test_rows_come_by_themselves_and_in_order(table):
  baselines = 'mixture', 'class_gaussian', 'class_mixture'
  references = 'real', 'real_train', 'reconstruction', 'prior'
  assert tuple(table.rows) == (*references, *baselines, 'stay', 'copy')


def test_real_samples_of_the_right_class_win_and_are_found_out(table):
  assert table.rows['copy']['accuracy']['mean'] == 1.0
  (found,) = (s for s in table.sentences if s.startswith('copy is ahead'))
  assert found.startswith('copy is ahead of class_mixture on accuracy (+')
  assert 'is not called better: it may memorise' in found
  assert any(s.startswith('copy may memorise') for s in table.sentences)
  assert table.rows['copy']['authenticity']['mean'] == 0.0
  assert table.rows['real']['authenticity']['mean'] > 0.2
  assert table.rows['copy']['cas']['mean'] > 0.9
  assert 'z_distance' not in table.rows['copy']


def test_what_does_not_move_is_the_prior(table):
  for run in table.runs.values():
    stayed = without_speed(run['stay'])
    assert stayed.pop('z_distance') == 0.0
    assert stayed == without_speed(run['prior'])
  assert table.rows['prior']['accuracy']['mean'] < 0.7


def test_means_and_spreads_are_over_seeds(table):
  values = [table.runs[seed]['prior']['frechet'] for seed in (3, 4)]
  assert values[0] != values[1]
  found = table.rows['prior']['frechet']
  np.testing.assert_allclose(found['mean'], np.mean(values))
  np.testing.assert_allclose(found['std'], np.std(values, ddof=1))
  assert table.rows['real']['accuracy']['std'] == 0.0
  one = compared({})
  prior = one.rows['prior']
  assert prior['frechet']['std'] is None
  share = prior['accuracy']['mean']
  np.testing.assert_allclose(
    prior['accuracy']['error'], np.sqrt(share * (1 - share) / 60)
  )
  assert 'error' not in one.rows['class_mixture']['training_seconds']
  assert 'One seed: ± is the standard error' in one.markdown()


def test_the_interval_of_one_seed_is_paired_over_images():
  found = compared({'stay': stay})
  labels = lcjax.encode(MODEL, *TRAIN).labels
  ours, theirs = (
    (labels.predict(judge(row.images)[0]) == row.attributes).all(axis=1)
    for row in (found.samples[n] for n in ('stay', 'class_mixture'))
  )
  gaps = ours.astype(float) - theirs
  known = found.report['differences']['stay']['class_mixture']['accuracy']
  half = 1.959964 * gaps.std() / np.sqrt(60)
  np.testing.assert_allclose(
    [known['difference'], known['low'], known['high']],
    [gaps.mean(), gaps.mean() - half, gaps.mean() + half],
    rtol=1e-6,
  )


def test_movers_may_be_trained_for_every_seed_and_get_its_noise():
  seen = {}

  def make(seed):
    def mover(start, target, rows, key):
      seen.setdefault(seed, (start, key))
      return lcjax.Moved(start * 0 + seed, start, steps=rows)

    return {'constant': mover}

  table = compared(make, seeds=(0, 5))
  constant = table.samples['constant']
  np.testing.assert_array_equal(constant.latents, np.zeros((60, 4)))
  assert table.rows['constant']['steps_mean']['mean'] == np.arange(60).mean()
  assert (seen[0][0] != seen[5][0]).any()
  assert seen[0][1] != seen[5][1]
  assert any('Seeds differ in movers' in n for n in table.report['notes'])


def test_batches_change_nothing():
  """3,000 rows are three batches; a row's number says which row it is."""

  def mover(start, target, rows, key):
    assert len(rows) <= 1024
    return lcjax.Moved(start, start, satisfied=rows % 2 == 0)

  table = compared({'m': mover}, num_samples=3000)
  assert 'of n = 60 samples in every row' in table.report['notes'][0]
  assert table.runs[0]['m']['satisfied'] == 0.5
  np.testing.assert_array_equal(
    table.samples['m'].latents, table.samples['prior'].latents
  )


def test_draws_of_the_mixture_that_a_constraint_accepts():
  far = lcjax.on_sample(
    MODEL, lambda x, y: jnp.square(jnp.abs(x[0]) - 3 * y[1]), 'attributes',
    tolerance=1.0, takes_target=True,
  )  # fmt: skip
  movers = {'stay': stay, 'copy': copy}
  table = compared(movers, accept=far, tries=9)
  for name in ('class_mixture', 'stay'):
    single, kept = table.rows[name], table.rows[f'{name}_kept']
    assert kept['accuracy']['mean'] > single['accuracy']['mean'] + 0.01
    assert 1.0 < kept['tries']['mean'] <= 9.0 / kept['satisfied']['mean']
    assert 'tries' not in single
  assert 'copy_kept' not in table.rows  # it has no latents to accept
  assert 'class_gaussian_kept' not in table.rows
  assert 'up to 9 tries' in table.report['row_descriptions']['stay_kept']


def test_without_labels_there_are_the_columns_that_need_none():
  table = compared({'stay': stay}, TRAIN[0], TEST[0], judge=None)
  assert tuple(table.rows)[3:] == ('prior', 'mixture', 'stay')
  found = set().union(*table.rows.values())
  assert found == {
    'frechet', 'kid', 'kid_std', 'knn_precision', 'knn_recall', 'density',
    'coverage', 'nearest_train_ratio', 'second_frechet', 'second_knn_recall',
    'second_nearest_train_ratio', 'authenticity', 'latents_per_second',
    'training_seconds', 'z_distance', 'speed_spread', 'components',
  }  # fmt: skip
  assert table.sentences[0].startswith('stay is behind mixture on Frechet (+')
  assert table.markdown().startswith('|  | Frechet |')
  # Components are standardised as a rotation: so are distances.
  np.testing.assert_allclose(
    table.rows['real_train']['frechet']['mean'],
    metrics.frechet_distance(
      table.samples['real_train'].images / TRAIN[0].std(axis=0),
      TEST[0] / TRAIN[0].std(axis=0),
    ),
    rtol=1e-4,
  )


def test_independent_attributes_have_a_baseline_of_their_own():
  def attributes(x):
    return (x[:, :2] > 0).astype(np.float32)

  def two(x):
    return x[:, :2], x

  train, test = (part[0][:, [1, 2, 3, 0]] for part in (TRAIN, TEST))
  table = compared(
    {'stay': stay},
    (train, attributes(train)),
    (test, attributes(test)),
    judge=two,
  )
  assert 'attribute_mixture' in table.rows
  assert table.rows['real']['accuracy']['mean'] == 1.0
  assert any(
    'stay is behind attribute_mixture on' in s for s in table.sentences
  )


def test_a_decoder_alone_is_compared_too():
  table = compared({'stay': stay}, model=ALONE)
  assert tuple(table.rows) == ('real', 'real_train', 'prior', 'stay')
  assert 'z_distance' not in table.rows['stay']
  drawn = lcjax.label_prior(
    ALONE, lambda x: (np.abs(x[:, 0]) > 1.5).astype(int), KEY, 500
  )
  table = compared({}, model=ALONE, data=drawn)
  assert 'class_mixture' in table.rows


def test_a_judge_is_trained_if_none_is_given():
  table = compared({'copy': copy}, judge=None)
  assert table.rows['real']['accuracy']['mean'] > 0.9
  assert table.rows['copy']['accuracy']['mean'] > 0.9
  assert table.report['seconds']['judge'] > 0


@pytest.mark.parametrize('bits', [False, True])
def test_a_second_judge_of_another_kind_agrees_on_real_samples(bits):
  train, test = TRAIN, TEST
  own = judge
  if bits:  # a single one: of labels [N, 1]
    train, test = (TRAIN[0], TRAIN[1][:, None]), (TEST[0], TEST[1][:, None])

    def own(x):
      return judge(x)[0][:, 1:], x

  rows = compared({}, train, test, judge=own).rows
  assert rows['real']['judges_agree']['mean'] > 0.9
  assert rows['prior']['judges_agree']['mean'] < 1.0


def test_a_second_judge_of_two_bits():
  y = (TRAIN[0][:, :2] > 0).astype(np.float32)
  labels = types.Bits(('a', 'b'))
  found = judges.fit_trees(TRAIN[0], y, labels)
  right = labels.predict(found.predict_fn(TEST[0])[0]) == (TEST[0][:, :2] > 0)
  assert right.mean() > 0.9


def test_a_second_judge_may_be_given():
  def opposite(x):
    return -judge(x)[0], x

  table = compared({}, second_judge=opposite)
  assert {s['judges_agree']['mean'] for s in table.rows.values()} == {0.0}
  assert 'decide the same on 0.000 of them' in table.report['notes'][0]
  assert 'judges_agree' not in compared({}, TRAIN[0], TEST[0]).rows['prior']


def as_pictures(part, dtype):
  """16 pixels that all show the samples; or bytes of them."""
  x = np.repeat(part[0][:, :, None], 4, axis=2)
  if dtype == np.uint8:
    x = np.round(np.clip(30 * x + 128, 0, 255))
  return x.astype(dtype), part[1]


@pytest.mark.parametrize('dtype', [np.float32, np.uint8])
def test_the_report_shows_pictures_if_samples_are_like_that(tmp_path, dtype):
  def decode(params, z):
    x = jnp.repeat(z[:, :, None], 4, axis=2)
    if dtype == np.uint8:
      x = jnp.round(jnp.clip(30 * x + 128, 0, 255))
    return x.astype(dtype)

  model = lcjax.latent_model(1.0, decode, 4)
  train, test = as_pictures(TRAIN, dtype), as_pictures(TEST, dtype)
  table = compared(
    {'stay': stay}, train, test, model, judge=None, folder=tmp_path / 'a' / 'b'
  )
  page = (tmp_path / 'a' / 'b' / 'report.html').read_text()
  assert page.count('data:image/png') == len(table.rows) == 4
  assert table.rows['real']['accuracy']['mean'] > 0.8


def test_the_report_says_what_the_table_says(table, tmp_path):
  table.write(tmp_path)
  page = (tmp_path / 'report.html').read_text()
  assert 'data:image/png' not in page
  assert table.sentences and all(text in page for text in table.sentences)
  assert (tmp_path / 'report.md').read_text() == table.markdown()
  stored = json.loads((tmp_path / 'metrics.json').read_text())
  assert stored['rows'] == table.rows
  assert '| copy | 1.000 ± 0.000 |' in table.markdown()
  with pytest.raises(errors.UserError, match='folder'):
    table.write(tmp_path / 'report.md')


def test_progress_is_shown_or_not(capsys):
  compared({})
  assert capsys.readouterr() == ('', '')
  compared({}, judge=None, progress=True)
  said = capsys.readouterr().err
  assert 'judge' in said and 'compare' in said


def moves(**changes):
  """A mover whose result has other fields."""

  def mover(start, target, rows, key):
    found = {'z': start, 'start': start} | {
      name: change(start) for name, change in changes.items()
    }
    return lcjax.Moved(**found)

  return {'m': mover}


def at(start, row, value):
  start = np.array(start)
  start[row] = value
  return start


REFUSED = {
  'labels: another length': (
    {'train': (TRAIN[0], TRAIN[1][:-1])},
    'train: labels: 199 for 200 samples',
  ),
  'test labels: another length': (
    {'test': (TEST[0], TEST[1][:-1])},
    'test: labels: 59 for 60 samples',
  ),
  'test labels: another class': (
    {'test': (TEST[0], TEST[1] + 1)},
    'test: labels: a class has the number 2',
  ),
  'test labels: two classes': (
    {'test': (TEST[0], np.ones((60, 2)))},
    'test: labels: a row has not exactly one class',
  ),
  'test labels: more': (
    {'test': (TEST[0], np.ones((60, 3)))},
    'test: labels: there are 3 attributes instead of 2',
  ),
  'labels of one part': ({'test': TEST[0]}, 'test: give both'),
  'no rows': ({'train': (TRAIN[0][:0], TRAIN[1][:0])}, 'train: samples are'),
  'no test rows': ({'test': (TEST[0][:0], TEST[1][:0])}, 'test: samples are'),
  'samples of text': (
    {'test': (TEST[0].astype(str), TEST[1])},
    'test: samples',
  ),
  'a NaN': ({'train': (TRAIN[0] * np.nan, TRAIN[1])}, 'train: a sample has'),
  'another shape': ({'test': (TEST[0][:, :3], TEST[1])}, 'test: samples are'),
  'a model of others': (
    {
      'train': (TRAIN[0].astype(np.uint8), TRAIN[1]),
      'test': (TEST[0].astype(np.uint8), TEST[1]),
    },
    'model: it decodes to float32 (4,), but train holds uint8 (4,)',
  ),
  'few rows': ({'num_samples': 5}, 'num_neighbours=5 must be at least 1'),
  'no neighbours': ({'num_neighbours': 0}, 'num_neighbours=0'),
  'no seeds': ({'seeds': ()}, 'seeds: []'),
  'a seed twice': ({'seeds': (1, 1)}, 'seeds: [1, 1]'),
  'name of a baseline': (
    {'movers': {'class_mixture': stay}},
    "movers: 'class_mixture' is the name",
  ),
  'no function': ({'movers': {'m': 3}}, "movers['m']: int is not a function"),
  'NaN': (
    {'movers': moves(z=lambda z: at(z, 7, np.nan))},
    "movers['m']: row 7 has a NaN",
  ),
  'fewer latents': (
    {'movers': moves(z=lambda z: z[:-1])},
    "movers['m']: z has the shape (59, 4), it must be (60, 4)",
  ),
  'steps of others': (
    {'movers': moves(steps=lambda z: z)},
    "movers['m']: steps has the shape (60, 4), it must be (60,)",
  ),
  'other samples': (
    {'movers': {'m': lambda start, *_: start[:, :2]}},
    "movers['m']: it returns float32 (60, 2); give lcjax.Moved with z",
  ),
  'nothing': (
    {'movers': {'m': lambda *_: None}},
    "movers['m']: it returns object ()",
  ),
  'no tuple': ({'judge': lambda x: x}, 'judge: it gives a ndarray'),
  'logits of others': (
    {'judge': lambda x: (x, x)},
    'judge: 200 samples give logits of shape (200, 4), it must be (200, 2)',
  ),
  'features of others': (
    {'judge': lambda x: (x[:, :2], x[:-1])},
    'judge: 200 samples give features of shape (199, 4)',
  ),
  'features of nothing': (
    {'judge': lambda x: (x[:, :2], x * np.nan)},
    'judge: its features of real samples have a NaN',
  ),
  'no tries': ({'tries': 0}, 'tries=0'),
  'name of a row with tries': (
    {
      'movers': {'stay': stay, 'stay_kept': stay},
      'accept': lcjax.near(lcjax.encode(MODEL, *TRAIN)),
    },
    "movers: 'stay_kept' is the row of 'stay' with rejection",
  ),
  'accept of what is not requested': (
    {
      'accept': lcjax.on_sample(
        MODEL, lambda x, y: x[0] * y[0], 'length', 1.0, takes_target=True
      )
    },
    "target: no 'length'",
  ),
  'second judge: no tuple': (
    {'second_judge': lambda x: x},
    'second_judge: it gives a ndarray',
  ),
  'second judge without labels': (
    {'train': TRAIN[0], 'test': TEST[0], 'second_judge': judge},
    'second_judge: without labels',
  ),
  'data without labels': (
    {'data': lcjax.encode(MODEL, TRAIN[0])},
    'data: there are no labels, but train has some',
  ),
  'a class of one': (
    {'train': (TRAIN[0], np.eye(200, dtype=int)[0])},
    "data: the class '1' has 1 rows",
  ),
}


@pytest.mark.parametrize('name', REFUSED)
def test_an_argument_that_does_not_fit_is_named(name):
  changes, said = REFUSED[name]
  with pytest.raises(errors.UserError) as raised:
    compared(**({'movers': {'stay': stay}} | changes))
  assert str(raised.value).startswith(said)
  assert '\n' not in str(raised.value)
